"""How long an answer may be kept outside, and by whom. A query handler says it; the door tells caches."""

from dataclasses import dataclass

from daicho.core.errors import WiringError

__all__ = ["Cache"]


@dataclass(frozen=True, kw_only=True)
class Cache:
    """`@query_handler(cache=Cache(seconds=5, stale=30))`: caches may keep the answer.

    An edge cache that is told which rows changed (`App(edge=...)`) drops the answer when one that it depends on does,
    so `seconds` there only bounds what happens if it cannot be told.
    """

    seconds: float
    """How long it is fresh."""
    stale: float = 0
    """How long after that a cache may still show it while it fetches the next one."""
    edge: float | None = None
    """How long it is fresh for caches that many use, if not as long: an edge cache that is told what changed may keep
    an answer for hours, and a browser, which nobody tells, for a moment."""
    shared: bool = False
    """Whether one answer is for all: also a query that needs a credential may then be kept by caches that many use.
    Without it, what was asked with a credential is kept by the caller's own cache alone."""
    vary: tuple[str, ...] = ()
    """Further request headers that the answer depends on."""

    def __post_init__(self) -> None:
        if self.seconds < 0 or self.stale < 0 or (self.edge or 0) < 0:
            raise WiringError(f"{self!r} is about the past", do="give 0 seconds or more")
