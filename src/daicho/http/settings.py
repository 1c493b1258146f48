"""What the HTTP face allows."""

from dataclasses import dataclass

from daicho.core.errors import ConfigurationError

__all__ = ["HttpSettings"]


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """Limits and choices of `create(app, settings=...)`. Raises ConfigurationError for what cannot be meant."""

    largest_body: int = 1024 * 1024
    """Bytes of a request; of a larger one, no more is read."""
    deepest_body: int = 64
    """How far JSON may be nested."""
    slowest_body: float = 30.0
    """Seconds in which the whole body of a request must have come."""
    longest_wait: float = 30.0
    """Seconds; a client that asks to wait longer (`Prefer: wait=`) waits so long."""
    stale_after: float = 5.0
    """Seconds that a query waits for `Min-Position` unless the client says how long."""
    require_match: bool = False
    """Every command must say which version it has seen, with `If-Match` or `If-None-Match: *`; else only those of a
    `Route(..., if_match=True)`."""
    page: int = 100
    """Events of one page of `GET /events`. Full pages never change as long as it is the same."""
    heartbeat: float = 15.0
    """Seconds between two comments that keep a stream alive."""
    slowest_reader: float = 30.0
    """Seconds that a client may take to read one message of a stream before it is cut off; it can go on from there."""
    problem_types: str = "urn:daicho:problem:"
    """What the `type` of a problem begins with; the error's code follows."""

    def __post_init__(self) -> None:
        for name in ("largest_body", "deepest_body", "slowest_body", "page", "heartbeat", "slowest_reader"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"HttpSettings({name}={getattr(self, name)!r})", do="give more than 0")
        if self.longest_wait < 0 or self.stale_after < 0:
            raise ConfigurationError("a wait cannot be negative", do="give 0 or more seconds")
        if self.page > 1000:
            raise ConfigurationError(
                f"HttpSettings(page={self.page})", why="a page is held in memory", do="at most 1000"
            )
