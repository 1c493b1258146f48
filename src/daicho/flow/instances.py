"""The instances of one process manager: loaded from their streams, moved on one at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from daicho.core.codec import encode_json
from daicho.core.conditions import ABSENT
from daicho.core.errors import ConcurrencyError, DuplicateEventId
from daicho.core.ids import derived_id
from daicho.core.instance import Instance
from daicho.core.messages import RecordedEvent
from daicho.core.process_definition import Definition
from daicho.core.process_events import ProcessMoved
from daicho.core.process_machine import Change, Machine
from daicho.core.registry import Registry
from daicho.core.stored import NewEvent, all_recorded, recorded
from daicho.core.streams import stream_name
from daicho.core.times import to_text
from daicho.ports.epochs import Epochs
from daicho.ports.event_store import Appended, AppendRequest, EventStore, Selection, StreamWrite
from daicho.ports.probe import Probe

__all__ = ["Append", "Decide", "Instances"]

_KEPT = 4096
_PAGE = 500
_CONFLICTS = 50


class Append(Protocol):
    def __call__(self, request: AppendRequest, /) -> Awaitable[Appended]:
        """Durable when it returns. Raises ConcurrencyError, DuplicateEventId, StoreError."""
        ...


Decide = Callable[[Instance], Awaitable[list[Change]]]


class Instances:
    """Whoever moves an instance, here or in another process, does so on top of all that was recorded: who is
    overtaken decides anew."""

    def __init__(
        self, definition: Definition, store: EventStore, append: Append, registry: Registry, probe: Probe
    ) -> None:
        self.definition, self.machine = definition, Machine(definition)
        self._store, self._append, self._registry, self._probe = store, append, registry, probe
        self._epochs = store if isinstance(store, Epochs) else None
        self._epoch: int | None = None
        """Of the store, when the first of those that are kept was loaded."""
        self._kept: OrderedDict[str, Instance] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._version = ProcessMoved.__schema_version__

    def stream_of(self, key: str) -> str:
        return stream_name(self.definition.category, key)

    async def load(self, key: str) -> Instance:
        """As it is recorded now. Raises StoreError, HistoryError."""
        stream = self.stream_of(key)
        instance = Instance(self.definition.category, key, stream)
        while True:
            selection = Selection(stream=stream, after_version=instance.version, beyond_head=True)
            page = await self._store.read(selection, limit=_PAGE)
            instance.fold(all_recorded(page, self._registry))
            if len(page) < _PAGE:
                return instance

    async def change(self, key: str, decide: Decide) -> list[Change]:
        """Records what `decide` finds is to be done next, and returns it. `decide` may be asked several times.

        Raises what `decide` raises, StoreError.
        """
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        try:
            async with lock:
                return await self._change(key, decide)
        finally:
            if not lock.locked() and not getattr(lock, "_waiters", None):
                self._locks.pop(key, None)

    async def _change(self, key: str, decide: Decide) -> list[Change]:
        for attempt in range(_CONFLICTS):
            epoch = None if self._epochs is None else self._epochs.epoch
            if epoch != self._epoch:  # what they were made of may be lost
                self._kept.clear()
                self._epoch = epoch
            instance = self._kept.pop(key, None) or await self.load(key)
            before = instance.version
            changes = await decide(instance)  # an instance that this spoils is not kept
            if not changes:
                self._keep(key, instance)
                return []
            self._probe("process.decided")
            events = tuple(self._event(change) for change in changes)
            write = StreamWrite(stream=instance.stream, events=events, expected=before or ABSENT)
            try:
                appended = await self._append(AppendRequest(writes=(write,), epoch=epoch))
            except (ConcurrencyError, DuplicateEventId):
                if attempt + 1 == _CONFLICTS:
                    raise
                continue
            self._probe("process.moved")
            if not appended.duplicate and epoch == self._epoch:
                self._keep(key, instance)
            return changes
        raise AssertionError("unreachable")

    def forget(self) -> None:
        """Another process may have moved them meanwhile."""
        self._kept.clear()

    def _keep(self, key: str, instance: Instance) -> None:
        self._kept[key] = instance
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def _event(self, change: Change) -> NewEvent:
        cause, moved = change.cause, change.moved
        metadata = {"command": f"{moved.process} {moved.trigger}", "handler": self.definition.name}
        if cause.event_id is not None:
            metadata["cause"] = cause.event_id
        metadata["hops"] = str(cause.hops)
        return NewEvent(
            event_id=change.event_id,
            type=ProcessMoved.__message_name__,
            schema_version=self._version,
            data=self._registry.encode(moved),
            occurred_at=to_text(cause.now),
            correlation_id=cause.correlation_id,
            causation_id=derived_id(change.event_id, "step"),
            actor=cause.actor,
            tenant=cause.tenant,
            metadata=encode_json(metadata),
        )

    async def waiting(self, instance: Instance) -> Sequence[RecordedEvent[Any]]:
        """The events that came before the start, in the order in which they came. Raises HistoryError, StoreError."""
        found: list[RecordedEvent[Any]] = []
        for each in sorted(instance.waiting.values(), key=lambda w: w.position):
            [stored] = await self._store.read(Selection(event_id=each.event_id), limit=1)
            found.append(recorded(stored, self._registry))
        return found
