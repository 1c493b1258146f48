"""At the door of a server, or on the way to it."""

from typing import Any

from daicho.core.errors.root import DaichoError

__all__ = [
    "AccessError",
    "EdgeUnavailable",
    "NotAuthenticated",
    "Overloaded",
    "ServerFailed",
    "ServerUnreachable",
    "TooManyRequests",
]


class AccessError(DaichoError):
    """Something at the door of a server, or on the way to it. The request was not carried out."""

    code = "D720"


class NotAuthenticated(AccessError):
    """No credential came with the request, or one that is forged, expired, revoked, or for somebody else."""

    code = "D721"


class TooManyRequests(AccessError):
    """A caller asked more than it may in that time. `retry_after` says after how many seconds there is room again."""

    code = "D722"

    def __init__(self, what: str, *, retry_after: float, **data: Any) -> None:
        super().__init__(
            what,
            why="each credential, tenant or address may ask so much and no more",
            do=f"wait {retry_after:.0f} s",
            retry_after=retry_after,
            **data,
        )
        self.retry_after = retry_after


class Overloaded(AccessError):
    """The server has more to do than it can, and turned the request away before it began. Reads go first."""

    code = "D723"

    def __init__(self, what: str, *, retry_after: float, **data: Any) -> None:
        super().__init__(
            what, why="it would have waited too long", do="try again a little later", retry_after=retry_after, **data
        )
        self.retry_after = retry_after


class ServerUnreachable(AccessError):
    """A client got no answer, although it tried again. A command may or may not have been carried out; sent again with
    the same key it counts once."""

    code = "D727"


class ServerFailed(AccessError):
    """A server answered that it has a fault, or with something that is no answer of Daicho's."""

    code = "D728"


class EdgeUnavailable(AccessError):
    """An edge cache did not take a purge. It is tried again; until then the cache may show what it has."""

    code = "D726"
