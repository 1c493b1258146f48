"""Commands for other services: kept in the command log, sent over the bus until they are answered."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from zlib import crc32

import msgspec

from daicho.core.errors import BusError, InvalidMessage
from daicho.core.messages import Command, Receipt
from daicho.core.segments import WHOLE, Segment
from daicho.core.streams import Position
from daicho.core.times import to_text
from daicho.flow.hearing import Ear, Heard
from daicho.flow.line import Line
from daicho.flow.outcomes import Outcomes
from daicho.flow.wire import answer_of, command_message
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import CommandSender, Envelope
from daicho.ports.event_bus import BusMessage, Channel, Delivery
from daicho.ports.event_store import CommandOutcome
from daicho.ports.probe import Probe
from daicho.read.feed import Feed
from daicho.read.processor import Processor
from daicho.read.progress import Progress

__all__ = ["Answers", "Routed", "Sender", "Sending"]

_log = logging.getLogger("daicho")
_OUTSTANDING = 2000
"""So many commands of one service are under way at most: those behind them wait in the log."""
_MANY = 200
_LOOK_EVERY = 0.5
_SEND_AGAIN = 10.0


class Routed:
    """A CommandSender that handles here what is handled here, and posts what another service handles."""

    def __init__(
        self, here: CommandSender, post: Callable[[Envelope], Awaitable[str]], remote: Mapping[type[Command], str]
    ) -> None:
        self._here, self._post, self._remote = here, post, remote

    async def __call__(self, envelope: Envelope) -> Receipt:
        if type(envelope.command) not in self._remote:
            return await self._here(envelope)
        await self._post(envelope)
        return Receipt(
            command_id=envelope.command_id,
            stream="",
            version=0,
            position=Position(0),
            events=(),
            correlation_id=envelope.correlation_id,
        )


class Sending:
    """Which commands go to one service."""

    def __init__(self, service: str, channel: Channel, key_fields: Mapping[str, str], checkpoints: CheckpointStore):
        """`key_fields`: by the command's name, the field of it that says what it is about; empty for none."""
        self.name, self.types, self.refused, self.segment = f"remote:{service}", frozenset[str](), "", WHOLE
        self.service, self.channel, self.key_fields, self._checkpoints = service, channel, key_fields, checkpoints

    async def locate(self) -> str:
        return self.name

    async def refusal(self) -> str:
        return self.refused

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        return self.refused

    async def begin(self, checkpoint: Checkpoint) -> int:
        return checkpoint.position

    async def advance(self, move: Advance) -> None:
        await self._checkpoints.advance(move)

    async def retry(self, token: int, position: int) -> None:
        """Nothing is ever parked here."""


class Sender(Processor[Sending]):
    """Sends what is pending, oldest first, and again after a while as long as there is no answer.

    One process at a time does it for all that post. A command has the same id however often it is sent, and whoever
    handles it knows it again.
    """

    def __init__(
        self,
        sending: Sending,
        source: str,
        line: Line,
        log: CommandLog,
        feed: Feed,
        checkpoints: CheckpointStore,
        progress: Progress,
        owner: str,
        probe: Probe,
    ) -> None:
        super().__init__(sending.name, sending, feed, checkpoints, progress, owner)
        self._source, self._line, self._log, self._probe = source, line, log, probe
        self._called = asyncio.Event()
        self._sent: dict[str, float] = {}

    def allow(self, may_run: bool) -> None:
        super().allow(may_run)
        self._called.set()

    def nudge(self) -> None:
        """Something was posted."""
        self._called.set()

    async def _step(self, position: int) -> int:
        raise NotImplementedError  # there are no pages

    async def _work(self, position: int) -> None:
        channel = self.consumer.channel
        self._sent.clear()
        try:
            await self._line.ready(channel)
            self.state = "live"
            while self._moving is None and self._may_run and not self._is_lost:
                self._called.clear()
                began = time.monotonic()
                outstanding = await self._send(channel)
                if outstanding >= _MANY:  # so that looking through them is not all that is done
                    await asyncio.sleep(min(time.monotonic() - began, 0.2))
                try:
                    async with asyncio.timeout(_LOOK_EVERY):
                        await self._called.wait()
                except TimeoutError:
                    continue
        except BusError:
            self._line.doubt(channel)
            raise

    async def _send(self, channel: Channel) -> int:
        """Returns how many are under way."""
        sending, now = self.consumer, time.monotonic()
        pending = await self._log.pending(limit=_OUTSTANDING, names=list(sending.key_fields))
        self._sent = {each.command_id: self._sent[each.command_id] for each in pending if each.command_id in self._sent}
        partitions: dict[int, list[BusMessage]] = {}
        for outcome in pending:
            at = self._sent.get(outcome.command_id)
            if at is not None and now - at < _SEND_AGAIN:
                continue
            try:
                message = command_message(outcome, self._source, sending.key_fields[outcome.name])
            except msgspec.MsgspecError:
                _log.exception("%s %s cannot be sent as it stands in the log", outcome.name, outcome.command_id)
                self._sent[outcome.command_id] = now
                continue
            partitions.setdefault(crc32(message.subject.encode()) & (channel.partitions - 1), []).append(message)
        if not partitions:
            return len(pending)
        self._probe("remote.before")
        answers = await asyncio.gather(
            *[self._publish(channel, partition, messages) for partition, messages in partitions.items()],
            return_exceptions=True,
        )
        self._probe("remote.sent")
        if errors := [answer for answer in answers if answer is not None]:
            raise errors[0]
        return len(pending)

    async def _publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        await self._line.bus.publish(channel, partition, messages)
        self._sent.update(dict.fromkeys([message.id for message in messages], time.monotonic()))


class Answers(Ear):
    """Hears what became of the commands that this service sent, and notes it in the command log."""

    def __init__(
        self,
        service: str,
        channel: Channel,
        segment: Segment,
        log: CommandLog,
        checkpoints: CheckpointStore,
        outcomes: Outcomes,
        clock: Clock,
        probe: Probe,
    ) -> None:
        super().__init__(f"replies:{service}", channel, segment, checkpoints)
        self._log, self._outcomes, self._clock, self._probe = log, outcomes, clock, probe

    async def take(self, deliveries: Sequence[Delivery], token: int, position: int) -> Heard:
        self._probe("replies.before")
        last = {delivery.message.subject: delivery.message for delivery in deliveries}
        await asyncio.gather(*map(self._note, last.values()))
        self._probe("replies.noted")
        return Heard(position, deliveries)

    async def _note(self, message: BusMessage) -> None:
        try:
            answer = answer_of(message)
        except InvalidMessage as error:
            # nobody is kept waiting by it: whatever it was to answer is sent again, and answered again
            _log.error("%s passed over a message from %r: %s", self.name, message.source[:80], error)
            return
        sent = await self._log.outcome(message.subject)
        if sent is None or sent.state != "pending":
            return  # it was answered before
        known: CommandOutcome = msgspec.structs.replace(
            sent,
            state=answer.state,
            reason=answer.reason,
            stream=answer.stream,
            version=answer.version,
            position=answer.position,
            payload=None,
            finished_at=to_text(self._clock.now()),
        )
        await self._log.record(known)
        await self._outcomes.tell(known)
