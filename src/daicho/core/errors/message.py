"""A message cannot be accepted as it is."""

from daicho.core.errors.root import DaichoError

__all__ = [
    "EventTooLarge",
    "InvalidMessage",
    "KeyReused",
    "MessageError",
    "NotAuthorised",
    "UnknownMessage",
]


class MessageError(DaichoError):
    """A message cannot be accepted as it is; sending it again unchanged gives the same answer."""

    code = "D110"


class InvalidMessage(MessageError):
    """A field is missing, unknown, of the wrong type or out of its declared bounds. `data["path"]` names it."""

    code = "D111"


class UnknownMessage(MessageError):
    """No part of this application handles the message; `data["similar"]` lists names that look alike."""

    code = "D112"


class KeyReused(MessageError):
    """An idempotency key was sent again with a different command; the first one stands."""

    code = "D113"


class NotAuthorised(MessageError):
    """The authorisation hook refused the actor. Raise it from the hook."""

    code = "D114"


class EventTooLarge(MessageError):
    """One encoded event is over the limit (1 MiB unless the App says otherwise). Nothing was written."""

    code = "D115"
