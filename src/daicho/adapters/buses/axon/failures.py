"""What Axon Server and the way to it may say, as Daicho's errors."""

from grpc import StatusCode
from grpc.aio import AioRpcError

from daicho.core.errors import BusError, BusRefused, BusUnavailable

__all__ = ["InvalidSequence", "translated", "unanswered"]

_CODE = "axoniq-errorcode"
"""In the trailers."""
_SEQUENCE = "AXONIQ-2000"
_KEPT_OUT = ("AXONIQ-1000", "AXONIQ-1001")
_TOO_LARGE = ("AXONIQ-2001", "AXONIQ-2002")
_NO_CONTEXT = "AXONIQ-1302"
_SOON = ("AXONIQ-2100", "AXONIQ-2102", "AXONIQ-6000")
"""No leader yet, a configuration that is changing, an event store that is not open yet."""
_PASSING = {
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.CANCELLED,
    StatusCode.ABORTED,
    StatusCode.UNKNOWN,
    StatusCode.INTERNAL,
}
"""The connection was lost, or the server gave up for reasons of its own: a disk, a fellow that did not answer."""


class InvalidSequence(Exception):
    """The events are not the next ones of their aggregate: somebody else appended to it."""


def translated(error: AioRpcError, url: str) -> BusError | InvalidSequence:
    """The error to raise instead; the given one should be its cause."""
    status, text = error.code(), error.details() or ""
    code = next((str(value) for name, value in error.trailing_metadata() or () if name == _CODE), "")
    if code == _SEQUENCE:
        return InvalidSequence(text)
    why = f"{text or status.name.lower()}" + (f" ({code})" if code and code not in text else "")
    if code in _KEPT_OUT or status in (StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED):
        return BusRefused(
            f"{url} does not let us in", why=why, do="write the application's token: axon://:token@host:8124/context"
        )
    if code == _NO_CONTEXT:
        return BusRefused(f"{url} has no such context", why=why, do="create it, or name another one")
    if code in _TOO_LARGE or status is StatusCode.RESOURCE_EXHAUSTED:
        return BusRefused(
            f"{url} does not take so much at once",
            why=why,
            do="raise axoniq.axonserver.max-message-size on the server, or say less",
        )
    if code in _SOON or status in _PASSING:
        return BusUnavailable(f"{url} does not answer", why=why, do="check that the server runs and can be reached")
    return BusRefused(f"{url} refused", why=why, do="look into the server's log")


def unanswered(url: str, why: str) -> BusUnavailable:
    return BusUnavailable(f"{url} does not answer", why=why, do="check that the server runs and can be reached")
