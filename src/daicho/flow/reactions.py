"""Event handlers: an event becomes commands, or a side effect, once."""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from daicho.core.collaborators import Supply
from daicho.core.errors import DaichoError, HistoryError, MessageError, NotRunning, Rejected, StoreError
from daicho.core.fingerprint import fingerprint
from daicho.core.handlers import EventHandler
from daicho.core.ids import derived_id
from daicho.core.messages import Command, Context, RecordedEvent
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment
from daicho.core.stored import StoredEvent, recorded
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.command_sender import CommandSender, Envelope
from daicho.ports.dead_letter_store import DeadLetterStore, ParkedEvent
from daicho.ports.event_store import EventStore, Selection
from daicho.ports.probe import Probe
from daicho.read.feed import Page
from daicho.read.mended import ask_if_mended
from daicho.read.processor import parked

__all__ = ["Reaction"]

_log = logging.getLogger("daicho")
_EFFECTS_AT_ONCE = 16
_EVENTS_AT_ONCE, _COMMANDS_AT_ONCE = 500, 1000
_ATTEMPTS = 5


class _Failed(NamedTuple):
    error: Exception
    may_pass: bool
    """Whether it may go through another time."""


class Reaction:
    """Runs one event handler.

    Commands carry ids that follow from the event's, so one that was handled before a crash is recognised, not
    handled again. A refusal by the business is an answer and is noted; an error parks the event and its followers of
    the same stream: after a few attempts if it may pass, as that of a side effect or of a command's handler may.
    """

    def __init__(
        self,
        part: EventHandler,
        supply: Supply | None,
        sender: CommandSender,
        store: EventStore,
        checkpoints: CheckpointStore,
        letters: DeadLetterStore,
        registry: Registry,
        clock: Clock,
        probe: Probe,
        deciding: Mapping[type[Command], str],
        segment: Segment = WHOLE,
    ) -> None:
        """
        deciding  by command, a fingerprint of the code that decides it
        segment   of the streams, by their names, those that it deals with
        """
        self.refused = ""
        self.part, self.segment, self.name = part, segment, segment.name(f"reaction:{part.name}")
        self.types = frozenset(registry.names_of(part.events))
        self._supply, self._send = supply, sender
        self._store, self._checkpoints, self._letters = store, checkpoints, letters
        self._registry, self._clock, self._probe = registry, clock, probe
        self._effect = part.has_side_effect
        self._commands = part.commands
        decided = sorted((command.__message_name__, deciding.get(command, "")) for command in part.commands)
        self._code = fingerprint(part.function, decided, registry.code_of(part.events))
        self._at_once = _EFFECTS_AT_ONCE
        self._parked: set[str] = set()
        self._may_repeat_to = 0
        self._sent = 0

    async def locate(self) -> str:
        return self.name

    async def refusal(self) -> str:
        return self.refused

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        return self.refused

    async def begin(self, checkpoint: Checkpoint) -> int:
        await ask_if_mended(self._letters, self.name, self._code)
        self._parked = await self._letters.parked_keys(self.name)
        # whoever ran this before may have sent commands for events that the checkpoint does not cover
        self._may_repeat_to = await self._store.head()
        return checkpoint.position

    async def advance(self, move: Advance) -> None:
        await self._checkpoints.advance(move)

    async def consume(self, page: Page, indexes: list[int], token: int, position: int) -> int:
        trouble: list[ParkedEvent] = []
        records: list[RecordedEvent[Any]] = []
        end = page.last
        for index in indexes:
            stored = page.events[index]
            if not self.segment.holds(stored.stream):
                continue
            record = page.record(index)
            if stored.stream in self._parked:
                trouble.append(parked(stored, stored.stream, None))
            elif isinstance(record, HistoryError):
                self._park(trouble, stored, record)
            elif len(records) == self._at_once:
                end = stored.position - 1
                break
            else:
                records.append(record)
        if not records and not trouble:
            return position  # of no concern here: that we have come this far can be noted later
        self._sent = 0
        await self._handle(records, trouble)
        if not self._effect and records:
            # small steps, whatever an event leads to: what is sent between two checkpoints is looked up after a crash
            self._at_once = max(1, min(_EVENTS_AT_ONCE, _COMMANDS_AT_ONCE * len(records) // max(1, self._sent)))
        self._probe("reaction.after")
        if trouble:
            trouble.sort(key=lambda letter: letter.position)
            await self._letters.park(self.name, token, position, end, trouble)
        else:
            await self._checkpoints.advance(Advance(processor=self.name, token=token, old=position, new=end))
        return end

    async def _handle(
        self, records: Sequence[RecordedEvent[Any]], trouble: list[ParkedEvent], most: int = _ATTEMPTS
    ) -> None:
        """Different streams side by side; each stream in order, and not beyond its first failure."""
        by_stream: dict[str, list[RecordedEvent[Any]]] = {}
        for record in records:
            by_stream.setdefault(record.stream, []).append(record)
        groups = list(by_stream.values())
        if len(groups) == 1:
            await self._handle_stream(groups[0], trouble, most)
            return
        # all come to an end before an error goes on: nothing may still be at work when the page is tried again
        streams = [self._handle_stream(group, trouble, most) for group in groups]
        answers = await asyncio.gather(*streams, return_exceptions=True)
        if errors := [answer for answer in answers if answer is not None]:
            raise errors[0]

    async def _handle_stream(self, group: Sequence[RecordedEvent[Any]], trouble: list[ParkedEvent], most: int) -> None:
        for record in group:
            if record.stream in self._parked:
                trouble.append(parked(record, record.stream, None))
                continue
            error, attempts = await self._attempt(record, most)
            if error is not None:
                self._park(trouble, record, error, attempts)

    async def _attempt(self, record: RecordedEvent[Any], most: int) -> tuple[Exception | None, int]:
        """Handles one event, again and with longer and longer pauses while it fails by something that may pass; other
        streams go on meanwhile. The last error, None if it went through, and how often it was tried."""
        attempt = 0
        while True:
            attempt += 1
            self._probe("reaction.before")
            failed = await (self._act(record) if self._effect else self._command(record, again=attempt > 1))
            if failed is None or not failed.may_pass or attempt >= most:
                return failed and failed.error, attempt
            await self._clock.sleep(random.uniform(0.5, 1) * 0.02 * 2**attempt)  # noqa: S311 - jitter

    def _park(
        self,
        trouble: list[ParkedEvent],
        stored: StoredEvent | RecordedEvent[Any],
        error: BaseException,
        attempts: int = 1,
    ) -> None:
        first = stored.stream not in self._parked
        self._parked.add(stored.stream)
        trouble.append(parked(stored, stored.stream, error if first else None, attempts, self._code))
        if first:
            _log.error("%s parked %s at position %s: %r", self.name, stored.stream, stored.position, error)

    # -- commands -------------------------------------------------------------------------------------------------

    async def _command(self, record: RecordedEvent[Any], *, again: bool = False) -> _Failed | None:
        """Sends the commands that the event leads to. The first error that is not an answer; None if there is none."""
        try:
            commands = self.decided(record)
        except Exception as error:  # noqa: BLE001 - the user's code: parked and told
            return _Failed(error, may_pass=False)  # it has nothing but the event: it would raise again
        self._sent += len(commands)
        if len(commands) == 1:
            answers = [await _caught(self._send(self.envelope(record, commands[0], 0, again=again)))]
        else:
            sending = [self._send(self.envelope(record, command, n, again=again)) for n, command in enumerate(commands)]
            answers = await asyncio.gather(*sending, return_exceptions=True)
        for command, answer in zip(commands, answers, strict=True):
            if not isinstance(answer, BaseException) or isinstance(answer, Rejected):
                continue
            if isinstance(answer, (StoreError, NotRunning)) or not isinstance(answer, Exception):
                raise answer  # the store is in trouble, not the event: the whole page is tried again
            if not isinstance(answer, MessageError):
                _log.error("%s: %s failed", self.name, type(command).__message_name__, exc_info=answer)
            return _Failed(answer, may_pass=not isinstance(answer, DaichoError))
        return None

    def decided(self, record: RecordedEvent[Any]) -> list[Command]:
        """The commands that the event leads to. Raises what the user's code raises."""
        extras = self._supply(self._context(record)) if self._supply else ()
        commands = list(self.part.function(record.event, *extras))
        for command in commands:
            if not isinstance(command, self._commands):
                raise TypeError(f"{self.part.name} yielded {command!r}, which its annotation does not name")
        return commands

    def envelope(self, record: RecordedEvent[Any], command: Command, n: int, *, again: bool = False) -> Envelope:
        """The n-th command of the event, on its way; `again` if it may have been sent before."""
        metadata = record.metadata
        return Envelope(
            command=command,
            command_id=derived_id(record.event_id, f"{self.part.name}:{n}"),
            correlation_id=record.correlation_id,
            name=type(command).__message_name__,
            actor=record.actor,
            tenant=record.tenant,
            occurred_at=record.occurred_at if metadata.get("occurred") == "given" else None,
            cause=record.event_id,
            handler=self.part.name,
            hops=int(metadata.get("hops", "0")) + 1,
            metadata={"traceparent": metadata["traceparent"]} if "traceparent" in metadata else {},
            may_repeat=again or record.position <= self._may_repeat_to,
            trusted=True,
        )

    def _context(self, record: RecordedEvent[Any]) -> Context:
        return Context(
            now=record.occurred_at,
            command_id=derived_id(record.event_id, self.part.name),
            correlation_id=record.correlation_id,
            actor=record.actor,
            tenant=record.tenant,
            metadata=record.metadata,
        )

    # -- side effects ---------------------------------------------------------------------------------------------

    async def _act(self, record: RecordedEvent[Any]) -> _Failed | None:
        """Runs the side effect. None if it went through."""
        extras = self._supply(self._context(record)) if self._supply else ()
        try:
            await self.part.function(record.event, *extras)
        except Exception as error:  # noqa: BLE001 - the user's code: tried again, then parked and told
            return _Failed(error, may_pass=True)
        return None

    # -- dead letters ---------------------------------------------------------------------------------------------

    async def retry(self, token: int, position: int) -> None:
        """Handles parked events again, each once, stream by stream in order; stops a stream at its first failure."""
        letters = await self._letters.letters(self.name, states=("retry",))
        failed: dict[str, str] = {}
        done: list[int] = []
        for letter in letters:
            if letter.key in failed:
                continue
            found = await self._store.read(Selection(event_id=letter.event_id), limit=1)
            trouble: list[ParkedEvent] = []
            try:
                record = recorded(found[0], self._registry)
                self._parked.discard(letter.key)
                self._may_repeat_to = max(self._may_repeat_to, record.position)
                await self._handle([record], trouble, most=1)
            except HistoryError as error:
                trouble.append(parked(found[0], letter.key, error))
            finally:
                self._parked.add(letter.key)
            if trouble:
                failed[letter.key] = trouble[0].error or "failed again"
            else:
                done.append(letter.number)
        if done:
            await self._letters.retried(self.name, done)
        for key, reason in failed.items():
            numbers = [letter.number for letter in letters if letter.key == key and letter.number not in done]
            await self._letters.retried(self.name, numbers, error=reason, code=self._code)
        self._parked = await self._letters.parked_keys(self.name)


async def _caught(answer: Any) -> Any:
    try:
        return await answer
    except Exception as error:  # noqa: BLE001 - handed to the caller as a value, like gather does
        return error
