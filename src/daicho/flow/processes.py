"""Feeds a process manager: each event goes to the instance it concerns, once."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from daicho.core.errors import HistoryError, NotRunning, StoreError
from daicho.core.instance import Instance
from daicho.core.messages import RecordedEvent
from daicho.core.process_machine import Change
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment
from daicho.core.stored import StoredEvent, recorded
from daicho.flow.instances import Instances
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.dead_letter_store import DeadLetterStore, ParkedEvent
from daicho.ports.event_store import EventStore, Selection
from daicho.ports.probe import Probe
from daicho.read.feed import Page
from daicho.read.mended import ask_if_mended
from daicho.read.processor import parked

__all__ = ["ProcessFeeder"]

_log = logging.getLogger("daicho")
_AT_ONCE = 64


class ProcessFeeder:
    """Runs one Process class, or a segment of its instances.

    What an event leads to is one record in the instance's stream, whose id follows from the event's: handled again
    after a crash, it is recognised. An event whose handler raises is parked, with what follows for the same instance;
    other instances go on. One that cannot even be read is parked by its own stream.
    """

    def __init__(
        self,
        instances: Instances,
        store: EventStore,
        checkpoints: CheckpointStore,
        letters: DeadLetterStore,
        registry: Registry,
        clock: Clock,
        probe: Probe,
        segment: Segment = WHOLE,
    ) -> None:
        """
        segment  of the instances, by their streams' names, those that it deals with
        """
        self.refused = ""
        self.definition = instances.definition
        self.segment, self.name = segment, segment.name(self.definition.name)
        self.types = frozenset(registry.names_of(self.definition.events))
        self._instances, self._store, self._checkpoints, self._letters = instances, store, checkpoints, letters
        self._registry, self._clock, self._probe = registry, clock, probe
        self._parked: set[str] = set()

    async def locate(self) -> str:
        return self.name

    async def refusal(self) -> str:
        return self.refused

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        return self.refused

    async def begin(self, checkpoint: Checkpoint) -> int:
        await ask_if_mended(self._letters, self.name, self.definition.code)
        self._parked = await self._letters.parked_keys(self.name)
        self._instances.forget()
        return checkpoint.position

    async def advance(self, move: Advance) -> None:
        await self._checkpoints.advance(move)

    async def consume(self, page: Page, indexes: list[int], token: int, position: int) -> int:
        trouble: list[ParkedEvent] = []
        by_key: dict[str, list[RecordedEvent[Any]]] = {}
        for index in indexes:
            stored, record = page.events[index], page.record(index)
            if stored.stream in self._parked:
                trouble.append(parked(stored, stored.stream, None))
            elif isinstance(record, HistoryError):
                self._park(trouble, stored, stored.stream, record)
            elif (key := self._key(record, trouble)) is not None and self._concerns(key):
                by_key.setdefault(key, []).append(record)
        if not by_key and not trouble:
            return position
        turn = asyncio.Semaphore(_AT_ONCE)
        groups = [self._feed(key, records, trouble, turn) for key, records in by_key.items()]
        # all come to an end before an error goes on: nothing may still be at work when the page is tried again
        answers = await asyncio.gather(*groups, return_exceptions=True)
        if errors := [answer for answer in answers if answer is not None]:
            raise errors[0]
        self._probe("process.fed")
        if trouble:
            trouble.sort(key=lambda letter: letter.position)
            await self._letters.park(self.name, token, position, page.last, trouble)
        else:
            await self._checkpoints.advance(Advance(processor=self.name, token=token, old=position, new=page.last))
        return page.last

    def _concerns(self, key: str) -> bool:
        return self.segment.holds(self._instances.stream_of(key))

    def _key(self, record: RecordedEvent[Any], trouble: list[ParkedEvent]) -> str | None:
        try:
            key = self.definition.key_of(record.event)
            self._instances.stream_of(key)
        except Exception as error:  # noqa: BLE001 - the user's code: parked and told
            if self.segment.holds(record.stream):
                self._park(trouble, record, record.stream, error)
            return None
        return key

    async def _feed(
        self, key: str, records: Sequence[RecordedEvent[Any]], trouble: list[ParkedEvent], turn: asyncio.Semaphore
    ) -> None:
        """In order, and not beyond the first failure."""
        stream = self._instances.stream_of(key)
        async with turn:
            for record in records:
                if stream in self._parked:
                    trouble.append(parked(record, stream, None))
                    continue
                if (error := await self._handle(key, record)) is not None:
                    self._park(trouble, record, stream, error)

    async def _handle(self, key: str, record: RecordedEvent[Any]) -> Exception | None:
        async def decide(instance: Instance) -> list[Change]:
            early = await self._instances.waiting(instance) if type(record.event) in self.definition.starts else ()
            return self._instances.machine.happened(instance, record, self._clock.now(), early)

        try:
            await self._instances.change(key, decide)
        except (StoreError, NotRunning):
            raise
        except Exception as error:  # noqa: BLE001 - the user's code: parked and told
            return error
        return None

    def _park(
        self, trouble: list[ParkedEvent], stored: StoredEvent | RecordedEvent[Any], key: str, error: BaseException
    ) -> None:
        self._parked.add(key)
        trouble.append(parked(stored, key, error, 1, self.definition.code))
        _log.error("%s parked %s at position %s: %r", self.name, key, stored.position, error)

    async def retry(self, token: int, position: int) -> None:
        """Handles parked events again, each once, instance by instance in order; stops one at its first failure."""
        letters = await self._letters.letters(self.name, states=("retry",))
        failed: dict[str, str] = {}
        done: list[int] = []
        for letter in letters:
            if letter.key in failed:
                continue
            [stored] = await self._store.read(Selection(event_id=letter.event_id), limit=1)
            error: Exception | None = None
            try:
                record = recorded(stored, self._registry)
                key = self.definition.key_of(record.event)
                if self._concerns(key):
                    error = await self._handle(key, record)
            except (StoreError, NotRunning):
                raise
            except Exception as other:  # noqa: BLE001 - the user's code: told
                error = other
            if error is None:
                done.append(letter.number)
            else:
                failed[letter.key] = f"{type(error).__name__}: {error}"
        if done:
            await self._letters.retried(self.name, done)
        for key, reason in failed.items():
            numbers = [letter.number for letter in letters if letter.key == key and letter.number not in done]
            await self._letters.retried(self.name, numbers, error=reason, code=self.definition.code)
        self._parked = await self._letters.parked_keys(self.name)
