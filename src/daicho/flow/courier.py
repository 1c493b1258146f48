"""Does what the instances of a process manager recorded: sends their commands, sets their timers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from daicho.core.codec import encode_json
from daicho.core.errors import HistoryError, NotRunning, Rejected, StoreError
from daicho.core.ids import derived_id, event_id
from daicho.core.instance import Instance
from daicho.core.messages import Command, RecordedEvent
from daicho.core.process_events import Issued, ProcessMoved
from daicho.core.process_machine import Cause, Change
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment
from daicho.core.stored import recorded
from daicho.core.streams import category_of
from daicho.core.times import to_text
from daicho.flow.instances import Instances
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import CommandSender, Envelope
from daicho.ports.dead_letter_store import DeadLetterStore, ParkedEvent
from daicho.ports.event_store import CommandOutcome, EventStore, Selection
from daicho.ports.probe import Probe
from daicho.ports.scheduler import NEVER, STUCK, Scheduler, Timer
from daicho.read.feed import Page
from daicho.read.processor import parked

__all__ = ["ASK", "TIMER", "Courier", "Errands"]

_log = logging.getLogger("daicho")
_AT_ONCE = 64
ASK, TIMER = "ask", "timer"
"""Names of timers: ask what became of a command, one of an instance's own."""
_ASK_AFTER, _ASK_AT_MOST = 5.0, 60.0
_HOPEFUL = 4
"""So many times an answer is simply asked for."""
_ANSWERS = {"done", "rejected", "failed"}


class Errands:
    """Everything that is done for the instances of one Process class, whatever it was that said so."""

    def __init__(
        self,
        instances: Instances,
        local: Collection[type[Command]],
        send: CommandSender,
        post: Callable[[Envelope], Awaitable[Any]],
        store: EventStore,
        log: CommandLog,
        scheduler: Scheduler,
        registry: Registry,
        clock: Clock,
        probe: Probe,
        wake: Callable[[], None],
    ) -> None:
        """
        local  the commands that are handled in this App; others are posted, and answered some time
        wake   tells that timers were set
        """
        self.instances, self.definition = instances, instances.definition
        self._local, self._send, self._post = local, send, post
        self._store, self._log, self._scheduler, self.registry = store, log, scheduler, registry
        self._clock, self._probe, self._wake = clock, probe, wake

    # -- commands -------------------------------------------------------------------------------------------------

    async def command(self, record: RecordedEvent[ProcessMoved], issued: Issued, *, again: bool) -> None:
        """Sends it, unless it was answered already, and records the answer."""
        instance = await self._present(record.event.key)
        step = instance.by_command.get(issued.command_id)
        if step is None or step.state != "sent" or step.event_id != record.event_id:
            return
        envelope = self._envelope(record, issued, again=again or step.failures > 0)
        if isinstance(envelope, str):
            await self._answer(record, issued.command_id, "failed", envelope, None)
            return
        self._probe("courier.before")
        if type(envelope.command) not in self._local:
            await self._post(envelope)
            await self._ask_later(record.event.key, issued.command_id, 0)
            return
        try:
            receipt = await self._send(envelope)
        except Rejected as refusal:
            await self._answer(record, issued.command_id, "rejected", refusal.what, None)
        except (StoreError, NotRunning):
            raise  # the store is in trouble, not the command: the whole page is tried again
        except Exception as error:  # noqa: BLE001 - the user's code: told, and tried again later
            _log.error("%s: %s failed", self.definition.name, issued.name, exc_info=error)
            await self._answer(record, issued.command_id, "failed", f"{type(error).__name__}: {error}", None)
        else:
            self._probe("courier.sent")
            first = event_id(receipt.correlation_id, issued.command_id, 0) if receipt.events else None
            await self._answer(record, issued.command_id, "done", None, first)

    async def heard(self, outcome: CommandOutcome) -> None:
        """What became of a command that was posted, if it is one of ours and the answer is there. May be told twice."""
        if outcome.handler != self.definition.name or outcome.state not in _ANSWERS or outcome.cause is None:
            return
        found = await self._store.read(Selection(event_id=outcome.cause), limit=1)
        if found and category_of(found[0].stream) == self.definition.category:
            record = recorded(found[0], self.registry)
            await self._answer(record, outcome.command_id, outcome.state, outcome.reason, None)

    async def _answer(
        self, record: RecordedEvent[ProcessMoved], command_id: str, state: Any, reason: str | None, first: str | None
    ) -> None:
        cause = Cause(
            now=self._clock.now(),
            event_id=first or record.event_id,
            correlation_id=record.correlation_id,
            actor=record.actor,
            tenant=record.tenant,
            hops=int(record.metadata.get("hops", "0")) + 1,
        )

        async def decide(instance: Instance) -> list[Change]:
            return self.instances.machine.answered(instance, command_id, state, reason, cause)

        await self.instances.change(record.event.key, decide)
        self._probe("courier.answered")

    async def _present(self, key: str) -> Instance:
        found: list[Instance] = []

        async def look(instance: Instance) -> list[Change]:
            found.append(instance)
            return []

        await self.instances.change(key, look)
        return found[-1]

    def _envelope(self, record: RecordedEvent[ProcessMoved], issued: Issued, *, again: bool) -> Envelope | str:
        """The command on its way, or why it cannot be."""
        try:
            command = self.instances.machine.command(issued)
        except (KeyError, msgspec.MsgspecError) as error:
            return f"the code of {self.definition.cls.__name__} has no such command any more: {error}"
        return Envelope(
            command=command,
            command_id=issued.command_id,
            correlation_id=record.correlation_id,
            name=issued.name,
            actor=record.actor,
            tenant=record.tenant,
            cause=record.event_id,
            handler=self.definition.name,
            hops=int(record.metadata.get("hops", "0")) + 1,
            may_repeat=again,
            trusted=True,
        )

    # -- timers ---------------------------------------------------------------------------------------------------

    async def timers(self, records: Sequence[RecordedEvent[ProcessMoved]]) -> None:
        """Brings the durable timers in line with what was recorded. Again, it changes nothing in effect: a timer that
        has fired already fires in vain."""
        net: dict[str, Timer | None] = {}
        for record in records:
            moved = record.event
            for timer in moved.timers:
                net[timer.timer_id] = self._timer(timer.timer_id, timer.due, record.stream, TIMER, moved.key)
            net.update(dict.fromkeys(moved.ended))
            if moved.trigger == "hand":
                net[derived_id(_STUCK_NOTES, record.stream)] = None
            if moved.stuck is not None:
                note = derived_id(_STUCK_NOTES, record.stream)
                net[note] = self._timer(note, NEVER, record.stream, STUCK, moved.key)
        if kept := [timer for timer in net.values() if timer is not None]:
            await self._scheduler.set_timers(kept)
            self._wake()
        if gone := [timer_id for timer_id, timer in net.items() if timer is None]:
            await self._scheduler.drop_timers(gone)

    def _timer(self, timer_id: str, due: str, stream: str, name: str, key: str, **more: Any) -> Timer:
        payload = encode_json({"key": key, **more})
        return Timer(timer_id=timer_id, due=due, group=self.definition.name, key=stream, name=name, payload=payload)

    async def _ask_later(self, key: str, command_id: str, times: int) -> None:
        pause = min(_ASK_AT_MOST, _ASK_AFTER * 2**times)
        due = to_text(self._clock.now() + timedelta(seconds=pause))
        stream, timer_id = self.instances.stream_of(key), derived_id(command_id, "ask")
        timer = self._timer(timer_id, due, stream, ASK, key, command=command_id, times=times)
        await self._scheduler.set_timers([timer])
        self._wake()

    async def due(self, timer: Timer) -> None:
        """A timer of one of the instances has come up. Raises StoreError, HistoryError; otherwise it is dealt with."""
        told = msgspec.json.decode(timer.payload or b"{}", type=dict[str, Any])
        if timer.name == ASK:
            await self._ask(told["key"], told["command"], told["times"])
            return
        now = self._clock.now()

        async def decide(instance: Instance) -> list[Change]:
            cause = Cause(
                now=now,
                event_id=None,
                correlation_id=instance.correlation_id,
                actor=instance.actor,
                tenant=instance.tenant,
            )
            return self.instances.machine.fired(instance, timer.timer_id, cause)

        await self.instances.change(told["key"], decide)
        self._probe("timer.fired")
        await self._scheduler.move_timer(timer, None)

    async def _ask(self, key: str, command_id: str, times: int) -> None:
        outcome = await self._log.outcome(command_id)
        is_answered = outcome is not None and outcome.state in _ANSWERS
        if not is_answered and times < _HOPEFUL:  # to look whether it is still waited for costs more than to ask again
            await self._ask_later(key, command_id, times + 1)
            return
        step = (await self._present(key)).by_command.get(command_id)
        if step is not None and step.state == "sent" and step.issued.command_id == command_id:
            if outcome is None or not is_answered:
                await self._ask_later(key, command_id, times + 1)
                return
            await self.heard(msgspec.structs.replace(outcome, cause=step.event_id, handler=self.definition.name))
        await self._scheduler.drop_timers([derived_id(command_id, "ask")])


_STUCK_NOTES = "5b3f7a52-6d0e-5c6a-9d2e-6f2d2a1c7e10"


class Courier:
    """Follows the streams of one Process class, or a segment of them, and runs the errands that are recorded there.

    Streams side by side, each in order. What was done before a crash is done again under the same ids, so without
    effect.
    """

    def __init__(
        self,
        errands: Errands,
        store: EventStore,
        checkpoints: CheckpointStore,
        letters: DeadLetterStore,
        probe: Probe,
        segment: Segment = WHOLE,
    ) -> None:
        self.refused = ""
        self.category = errands.definition.category
        self.segment, self.name = segment, segment.name(f"courier:{self.category}")
        self.types = frozenset([ProcessMoved.__message_name__])
        self._errands, self._store, self._checkpoints, self._letters = errands, store, checkpoints, letters
        self._probe = probe
        self._may_repeat_to = 0

    async def locate(self) -> str:
        return self.name

    async def refusal(self) -> str:
        return self.refused

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        return self.refused

    async def begin(self, checkpoint: Checkpoint) -> int:
        self._errands.instances.forget()
        # whoever ran this before may have sent commands that the checkpoint does not cover
        self._may_repeat_to = await self._store.head()
        return checkpoint.position

    async def advance(self, move: Advance) -> None:
        await self._checkpoints.advance(move)

    async def consume(self, page: Page, indexes: list[int], token: int, position: int) -> int:
        trouble: list[ParkedEvent] = []
        by_stream: dict[str, list[RecordedEvent[ProcessMoved]]] = {}
        for index in indexes:
            stored = page.events[index]
            if category_of(stored.stream) != self.category or not self.segment.holds(stored.stream):
                continue
            record = page.record(index)
            if isinstance(record, HistoryError):
                trouble.append(parked(stored, stored.stream, record))
            else:
                by_stream.setdefault(stored.stream, []).append(record)
        if not by_stream and not trouble:
            return position
        await self._errands.timers([record for records in by_stream.values() for record in records])
        self._probe("courier.timed")
        turn = asyncio.Semaphore(_AT_ONCE)
        with_commands = [records for records in by_stream.values() if any(r.event.commands for r in records)]
        answers = await asyncio.gather(*[self._run(each, turn) for each in with_commands], return_exceptions=True)
        if errors := [answer for answer in answers if answer is not None]:
            raise errors[0]
        self._probe("courier.after")
        if trouble:
            await self._letters.park(self.name, token, position, page.last, trouble)
        else:
            await self._checkpoints.advance(Advance(processor=self.name, token=token, old=position, new=page.last))
        return page.last

    async def _run(self, records: Sequence[RecordedEvent[ProcessMoved]], turn: asyncio.Semaphore) -> None:
        async with turn:
            for record in records:
                for issued in record.event.commands:
                    again = record.position <= self._may_repeat_to or record.event.trigger in ("retry", "hand")
                    await self._errands.command(record, issued, again=again)

    async def retry(self, token: int, position: int) -> None:
        """Runs the errands of parked records again."""
        letters = await self._letters.letters(self.name, states=("retry",))
        for letter in letters:
            [stored] = await self._store.read(Selection(event_id=letter.event_id), limit=1)
            try:
                record = recorded(stored, self._errands.registry)
            except HistoryError as error:
                await self._letters.retried(self.name, [letter.number], error=f"{type(error).__name__}: {error}")
                continue
            await self._errands.timers([record])
            await self._run([record], asyncio.Semaphore(1))
            await self._letters.retried(self.name, [letter.number])
