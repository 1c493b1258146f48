"""Values that come from outside must be what the message's annotations say."""

from collections.abc import Awaitable, Callable

import msgspec

from daicho.core.codec import decoder_for, encoder_for, invalid
from daicho.core.errors import TooManyHops
from daicho.core.messages import Command, Receipt
from daicho.ports.command_sender import Envelope
from daicho.write.pipeline import Handler

__all__ = ["Validation"]

_MOST_HOPS = 64


class Validation:
    """Raises InvalidMessage with the path of the wrong field, before anything is decided.

    Constructing a struct checks names, not types: the way through the codec checks types and declared bounds.
    """

    def __init__(self) -> None:
        self._encode = encoder_for("msgpack")
        self._decoders: dict[type[Command], Callable[[bytes], Command]] = {}

    def __call__(self, envelope: Envelope, proceed: Handler) -> Awaitable[Receipt]:
        if not envelope.trusted:
            self._check(envelope.command)
        if envelope.hops > _MOST_HOPS:
            raise TooManyHops(
                f"{envelope.name} is {envelope.hops} commands away from the outside",
                why="event handlers and commands most likely go round in a circle",
                do=f"`daicho trace {envelope.correlation_id}` shows the way it came",
                correlation_id=envelope.correlation_id,
            )
        return proceed(envelope)

    def _check(self, command: Command) -> None:
        cls = type(command)
        decode = self._decoders.get(cls)
        if decode is None:
            decode = self._decoders[cls] = decoder_for(cls)
        try:
            decode(self._encode(command))
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise invalid(f"command {cls.__name__}", error) from error
