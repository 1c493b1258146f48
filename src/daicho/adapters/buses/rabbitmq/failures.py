"""What RabbitMQ and the way to it may say, as Daicho's errors."""

import asyncio

from aiormq import exceptions as said

from daicho.core.errors import BusError, BusRefused, BusUnavailable

__all__ = ["FAILURES", "translated"]

FAILURES = (said.AMQPError, OSError, EOFError, RuntimeError, asyncio.InvalidStateError, TimeoutError)
"""What the client library raises: of a connection that is gone, also RuntimeError."""

_KEPT_OUT = (said.AuthenticationError, said.ProbableAuthenticationError, said.ConnectionNotAllowed)
_SOON = (
    "is down or inaccessible",
    "does not have a replica on the local node",
    "process is stopped by supervisor",
    "CONNECTION_FORCED",
    "timed out",
)
"""A broker that has just started may not have its streams yet."""
_REFUSED = (
    said.ChannelAccessRefused,
    said.ChannelNotFoundEntity,
    said.ChannelPreconditionFailed,
    said.ChannelLockedResource,
)


def translated(error: BaseException, url: str) -> BusError:
    """The error to raise instead; the given one should be its cause."""
    text = " ".join(map(str, error.args)).strip() or str(error) or type(error).__name__
    if isinstance(error, _KEPT_OUT):
        return BusRefused(
            f"{url} does not let us in", why=text, do="check user, password, virtual host and the user's permissions"
        )
    if any(words in text for words in _SOON):
        return BusUnavailable(f"{url} cannot serve now", why=text, do="wait, or look at the broker's log")
    if isinstance(error, said.PublishError):
        return BusRefused(
            f"{url} has no queue for this message", why="its partition was deleted", do="declare the channel again"
        )
    if isinstance(error, said.ChannelNotFoundEntity):
        return BusRefused(f"{url} does not have it", why=text, do="declare the channel (again)")
    if isinstance(error, _REFUSED):
        return BusRefused(f"{url} refused", why=text, do="the broker's words say what it is about")
    if isinstance(error, said.DeliveryError):
        return BusUnavailable(f"{url} did not take a message", why=text, do="look at the broker's log and disk")
    return BusUnavailable(f"{url} does not answer", why=text, do="check that the broker runs and can be reached")
