"""Commands that other services send to this one, which owns what they are about."""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence

from daicho.core.errors import (
    ConcurrencyError,
    DaichoError,
    InvalidMessage,
    MessageError,
    NotRunning,
    Rejected,
    StoreError,
    UnknownMessage,
)
from daicho.core.ids import is_uuid
from daicho.core.messages import Command
from daicho.core.segments import Segment
from daicho.core.times import to_text
from daicho.flow.hearing import Ear, Heard
from daicho.flow.line import Line, replies_of
from daicho.flow.wire import Answer, answer_message, envelope_of
from daicho.ports.checkpoint_store import CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.command_sender import CommandSender
from daicho.ports.event_bus import BusMessage, Channel, Delivery
from daicho.ports.probe import Probe

__all__ = ["Owned"]

_log = logging.getLogger("daicho")
_ATTEMPTS = 5


class Owned(Ear):
    """Handles the commands of one partition through the gateway, and answers each.

    Different keys side by side, each key in order. A command that comes again is known by its id, and gets the same
    answer. What was not answered is not acknowledged, so it comes again.
    """

    def __init__(
        self,
        service: str,
        channel: Channel,
        segment: Segment,
        commands: Mapping[str, type[Command]],
        send: CommandSender,
        line: Line,
        checkpoints: CheckpointStore,
        clock: Clock,
        probe: Probe,
    ) -> None:
        super().__init__(f"commands:{service}", channel, segment, checkpoints)
        self._service, self._commands, self._send, self._line = service, commands, send, line
        self._clock, self._probe = clock, probe

    async def take(self, deliveries: Sequence[Delivery], token: int, position: int) -> Heard:
        by_key: dict[str, list[BusMessage]] = {}
        for delivery in deliveries:
            by_key.setdefault(delivery.message.subject, []).append(delivery.message)
        found = await asyncio.gather(*[self._in_order(each) for each in by_key.values()], return_exceptions=True)
        replies: dict[str, list[BusMessage]] = {}
        errors = list[BaseException]()
        for each in found:
            if isinstance(each, BaseException):
                errors.append(each)
                continue
            for sender, reply in each:
                replies.setdefault(sender, []).append(reply)
        self._probe("owned.handled")
        for sender, messages in sorted(replies.items()):
            channel = replies_of(sender)
            bus = await self._line.ready(channel)
            await bus.publish(channel, 0, messages)
        self._probe("owned.answered")
        if errors:
            raise errors[0]  # the store is in trouble, not the commands: all come again
        return Heard(position, deliveries)

    async def _in_order(self, messages: Sequence[BusMessage]) -> list[tuple[str, BusMessage]]:
        answered = list[tuple[str, BusMessage]]()
        for message in messages:
            self._probe("owned.before")
            try:
                answer = await self._handled(message)
            except InvalidMessage as error:
                if not self._can_answer(message):
                    # there is no service to tell, and no command that anybody waits for
                    _log.error("%s passed over a message from %r: %s", self.name, message.source[:80], error)
                    continue
                answer = Answer(state="failed", reason=str(error))
            at, new = to_text(self._clock.now()), self._clock.new_id()
            answered.append((message.source, answer_message(answer, message.id, self._service, id=new, at=at)))
        return answered

    @staticmethod
    def _can_answer(message: BusMessage) -> bool:
        name = message.source
        return is_uuid(message.id) and name.isascii() and name.replace("_", "a").isalnum()

    async def _handled(self, message: BusMessage) -> Answer:
        """Raises InvalidMessage for what is malformed, StoreError, NotRunning."""
        cls = self._commands.get(message.type)
        if cls is None and not self._can_answer(message):
            raise InvalidMessage("this is no command", do="look at who writes to the channel")
        if cls is None:
            error = UnknownMessage(f"{self._service} handles no {message.type[:255]}", do="send it to who does")
            return Answer(state="failed", reason=str(error))
        envelope = envelope_of(message, cls)
        attempt = 0
        while True:
            attempt += 1
            try:
                receipt = await self._send(envelope)
            except Rejected as error:
                return Answer(state="rejected", reason=error.what)
            except ConcurrencyError as error:
                if envelope.expected is not None:
                    return Answer(state="failed", reason=str(error))
                if attempt >= _ATTEMPTS:
                    raise  # only bad luck: it comes again
            except (StoreError, NotRunning):
                raise
            except (MessageError, DaichoError) as error:
                return Answer(state="failed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - the user's code: tried again, then told to who sent it
                _log.exception(
                    "%s %s of %s failed (attempt %s)", envelope.name, envelope.command_id, message.source, attempt
                )
                if attempt >= _ATTEMPTS:
                    return Answer(state="failed", reason=f"{type(error).__name__}: {error}")
            else:
                position = int(receipt.position)
                return Answer(state="done", stream=receipt.stream or None, version=receipt.version, position=position)
            await self._clock.sleep(random.uniform(0.5, 1) * 0.02 * 2**attempt)  # noqa: S311 - jitter
