"""Aggregates, out of their history and back: hot ones from memory, old ones from a snapshot and the events after it."""

import asyncio
import logging
import sys
from collections import OrderedDict
from datetime import datetime
from hashlib import blake2b
from typing import Any

from daicho.core.behaviour import Behaviour
from daicho.core.collecting import uncollected
from daicho.core.founding import FOUNDED, HasFounding
from daicho.core.freezing import Freezer
from daicho.core.messages import Event, replace
from daicho.core.registry import Registry
from daicho.core.streams import check_place
from daicho.core.times import to_text
from daicho.ports.epochs import Epochs
from daicho.ports.event_store import EventStore, Narrow, Selection
from daicho.ports.snapshot_store import Snapshot, SnapshotStore
from daicho.ports.state_store import StateStore, StateWrite
from daicho.write.appending import Submission
from daicho.write.foundation import Foundation, fold_page, is_whole

__all__ = ["Held", "Repository"]

_FIRST_PAGE = 128
_PAGE = 1000
_FEW = 100
"""Events that may be decoded without a word to the garbage collector."""
_SEAL = 8
_log = logging.getLogger("daicho")


class Held:
    """A state in memory, and the appends that have been decided on top of it but are not durable yet.

    It may run ahead of the store (by appends in flight) or behind it (another process wrote). Neither can do harm:
    every append says which version it was decided on, and the store refuses it if that is not the version there is.
    """

    __slots__ = ("behaviour", "epoch", "pending", "position", "snapshot_version", "state", "version")

    def __init__(self, behaviour: Behaviour, state: Any, version: int, position: int, snapshot_version: int) -> None:
        self.behaviour, self.state, self.version, self.position = behaviour, state, version, position
        self.snapshot_version = snapshot_version
        self.pending: Submission | None = None
        self.epoch: int | None = None
        """Of the store, before it was loaded."""


class Repository:
    """Loads states and keeps the hot ones.

    A snapshot is taken when more than `snapshot_after` events came since the last one; it is keyed by a fingerprint of
    the code that folds, and one made by other code is ignored and replaced.

    Where the state is what is kept, it is loaded from its row. That is true whatever this process was told and whoever
    else writes: events behind the row (of a process that keeps none) are folded on top, and without a row the state is
    folded from where its history begins.
    """

    def __init__(
        self,
        events: EventStore,
        snapshots: SnapshotStore,
        registry: Registry,
        states: StateStore,
        *,
        snapshot_after: int = 100,
        hot: int = 10_000,
    ) -> None:
        self._events, self._snapshots, self._registry, self._states = events, snapshots, registry, states
        self._foundation = Foundation(events, states, registry)
        self._epochs = events if isinstance(events, Epochs) else None
        self._snapshot_after, self._most_hot = snapshot_after, hot
        self._hot: OrderedDict[str, Held] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Held | None]] = {}
        self._freezers: dict[str, Freezer] = {}

    def through(self, events: EventStore) -> "Repository":
        """For one command on what `events` sees, which may never come to be: nothing of it is kept."""
        other = Repository(events, self._snapshots, self._registry, self._states, snapshot_after=sys.maxsize, hot=1)
        other._freezers, other._epochs = self._freezers, None
        return other

    @property
    def epoch(self) -> int | None:
        """What an append is to say about when it was decided: see AppendRequest."""
        return None if self._epochs is None else self._epochs.epoch

    # -- hot states -----------------------------------------------------------------------------------------------

    def held(self, stream: str) -> Held | None:
        held = self._hot.get(stream)
        if held is not None:
            self._hot.move_to_end(stream)
        return held

    def is_loading(self, stream: str) -> bool:
        return stream in self._loading

    def evict(self, stream: str, held: Held) -> None:
        """Forgets the state, unless a newer one took its place."""
        if self._hot.get(stream) is held:
            del self._hot[stream]

    def forget(self) -> None:
        """All hot states: events that they were made of may be gone."""
        self._hot.clear()

    def drop(self, stream: str) -> None:
        """Forgets the state, whichever it is: it holds what nobody may know any more."""
        self._hot.pop(stream, None)

    async def fetch(self, behaviour: Behaviour, stream: str) -> Held:
        """The hot state, loaded if need be; loads of one stream that run at once are one load."""
        held = self.held(stream)
        if held is not None:
            return held
        while loading := self._loading.get(stream):
            shared = await asyncio.shield(loading)
            if shared is not None:  # else whoever loaded it was cancelled
                return shared
        loading = self._loading[stream] = asyncio.get_running_loop().create_future()
        try:
            held = await self.load(behaviour, stream)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                loading.set_result(None)
            else:
                loading.set_exception(error)
                loading.exception()
            raise
        else:
            self._hot[stream] = held
            if len(self._hot) > self._most_hot:
                self._shed()
            loading.set_result(held)
            return held
        finally:
            del self._loading[stream]

    def _shed(self) -> None:
        for stream, held in self._hot.items():
            if held.pending is None or held.pending.done():
                del self._hot[stream]
                return

    # -- restoring ------------------------------------------------------------------------------------------------

    async def load(self, behaviour: Behaviour, stream: str) -> Held:
        """The state as it is stored, and nobody else's."""
        epoch = self.epoch
        load = self._load_kept if behaviour.keeps_state else self._load_events
        held = await load(behaviour, stream)
        held.epoch = epoch
        return held

    async def _load_events(self, behaviour: Behaviour, stream: str) -> Held:
        snapshot, page = await self._events.load(stream, behaviour.fold_code, limit=_FIRST_PAGE)
        is_last = len(page) < _FIRST_PAGE
        state, version, position = behaviour.fresh(), 0, 0
        if snapshot is not None:
            is_there = bool(page) and page[0][1] == snapshot.version
            thawed = self._thawed(behaviour, snapshot, page[0][0] if is_there else None)
            if thawed is not None:
                (state,), version, position, page = thawed, snapshot.version, page[0][0], page[1:]
            else:
                page = await self._after(stream, 0)
                is_last = len(page) < _PAGE
        held = Held(behaviour, state, version, position, snapshot_version=version)
        while page:
            if page[0][1] != held.version + 1 or page[-1][1] - held.version != len(page):
                return await self._founded(behaviour, stream)
            held.position, held.version = page[-1][:2]
            following = None if is_last else Selection(stream=stream, after_version=held.version)
            held.state, page = await self._folded_ahead(behaviour, held.state, page, stream, following)
            is_last = len(page) < _PAGE
        return held

    async def _after(self, stream: str, version: int) -> list[Narrow]:
        return await self._events.read_narrow(Selection(stream=stream, after_version=version), limit=_PAGE)

    async def _folded_ahead(
        self, behaviour: Behaviour, state: Any, page: list[Narrow], stream: str, following: Selection | None
    ) -> tuple[Any, list[Narrow]]:
        """The state behind the page, and the page that follows, which the store looks for in the meantime."""
        if following is None:
            return self._folded(behaviour, state, page, stream), []
        coming = asyncio.create_task(self._events.read_narrow(following, limit=_PAGE))
        try:
            await asyncio.sleep(0)  # so that it is asked before this thread is busy
            return self._folded(behaviour, state, page, stream), await coming
        except BaseException:
            coming.cancel()
            raise

    def _folded(self, behaviour: Behaviour, state: Any, page: list[Narrow], stream: str) -> Any:
        try:
            events = self._decoded(page)
        except HasFounding:
            return fold_page(behaviour, self._registry, state, page, stream)
        return behaviour.fold(state, events, stream)

    def _decoded(self, page: list[Narrow]) -> list[Event]:
        if len(page) <= _FEW:
            return self._registry.decode_all(page)
        with uncollected():
            return self._registry.decode_all(page)

    # -- kept states ----------------------------------------------------------------------------------------------

    async def load_any(self, behaviour: Behaviour, stream: str) -> Held:
        """The state as it is stored, whichever way that is: for a stream that is between the two."""
        epoch = self.epoch
        held = await self._load_kept(behaviour, stream)
        held.epoch = epoch
        return held

    async def _load_kept(self, behaviour: Behaviour, stream: str) -> Held:
        row, page = await self._events.load_state(stream, limit=_PAGE)
        if row is None:
            if not page:
                return Held(behaviour, behaviour.fresh(), 0, 0, snapshot_version=0)
            return await self._founded(behaviour, stream)
        state = behaviour.kept.decode(row.schema_version, row.data, stream)
        held = Held(behaviour, state, row.version, row.position, snapshot_version=row.version)
        while page:
            if not is_whole([event[1] for event in page], held.version):
                return await self._founded(behaviour, stream)
            held.state = fold_page(behaviour, self._registry, held.state, page, stream)
            held.position, held.version = page[-1][:2]
            if len(page) < _PAGE:
                break
            page = await self._after(stream, held.version)
        return held

    async def _founded(self, behaviour: Behaviour, stream: str) -> Held:
        """From where the kept history begins, which is not the first event."""
        state, version, position = await self._foundation.folded(behaviour, stream)
        return Held(behaviour, state, version, position, snapshot_version=version)

    @staticmethod
    def kept(behaviour: Behaviour, state: Any) -> StateWrite | None:
        """What an append is to say about the row of the stream. Raises UnkeepableState."""
        if not behaviour.keeps_state:
            return None
        return StateWrite(data=behaviour.kept.encode(state), schema_version=behaviour.state_version)

    async def at(self, behaviour: Behaviour, stream: str, moment: int | datetime | None) -> Any:
        """The state after version `moment`, or as far as it had occurred by then; the present one for None.

        A fresh object, which the caller may keep. By time: every event that had *occurred* by the moment, as it is
        known today, also one that was recorded later.
        """
        selection = Selection(stream=stream)
        if moment is None:
            return (await self.load(behaviour, stream)).state
        if not isinstance(moment, datetime):
            check_place(moment, "at", "a datetime with a time zone")
        if behaviour.keeps_state:
            return await self._kept_at(behaviour, stream, moment)
        state, version = behaviour.fresh(), 0
        if isinstance(moment, datetime):
            wanted = Selection(stream=stream, types=(FOUNDED,))
            if await self._states.base(stream) is not None or await self._events.read(wanted, limit=1):
                return await self._foundation.by_time(behaviour, stream, moment)
            selection = Selection(stream=stream, until=to_text(moment))
        else:
            thawed = await self._thaw(behaviour, stream, moment)
            if thawed is not None:
                state, version = thawed
            selection = Selection(stream=stream, after_version=version, up_to_version=moment)
        page = await self._events.read_narrow(selection, limit=_PAGE)
        while page:
            if isinstance(moment, int) and not is_whole([event[1] for event in page], version):
                return (await self._foundation.folded(behaviour, stream, moment))[0]
            version = page[-1][1]
            is_last = len(page) < _PAGE or version == moment
            following = None if is_last else replace(selection, after_version=version)
            state, page = await self._folded_ahead(behaviour, state, page, stream, following)
        if isinstance(moment, int) and version < moment and version < await self._events.stream_version(stream):
            return (await self._foundation.folded(behaviour, stream, moment))[0]  # which tells what is missing
        return state

    async def _kept_at(self, behaviour: Behaviour, stream: str, moment: int | datetime) -> Any:
        """As far as events are kept."""
        if isinstance(moment, datetime):
            return await self._foundation.by_time(behaviour, stream, moment)
        held = await self.load(behaviour, stream)
        if moment >= held.version:
            return held.state
        return behaviour.fresh() if moment <= 0 else (await self._foundation.folded(behaviour, stream, moment))[0]

    # -- snapshots ------------------------------------------------------------------------------------------------

    def _freezer(self, behaviour: Behaviour) -> Freezer:
        freezer = self._freezers.get(behaviour.category)
        if freezer is None:
            freezer = self._freezers[behaviour.category] = Freezer(behaviour.fresh(), behaviour.state_hint)
        return freezer

    async def _thaw(self, behaviour: Behaviour, stream: str, not_after: int) -> tuple[Any, int] | None:
        """State and version out of a snapshot; None unless it is whole, of this code and of this history."""
        snapshot = await self._snapshots.load_snapshot(stream)
        if snapshot is None or snapshot.fold != behaviour.fold_code or snapshot.version > not_after:
            return None
        last = Selection(stream=stream, after_version=snapshot.version - 1, up_to_version=snapshot.version)
        found = await self._events.read(last, limit=1)
        thawed = self._thawed(behaviour, snapshot, found[0].position if found else None)
        return None if thawed is None else (thawed[0], snapshot.version)

    def _thawed(self, behaviour: Behaviour, snapshot: Snapshot, position: int | None) -> tuple[Any] | None:
        """The state alone, which may be anything; None if the snapshot is damaged, cannot be read, or is of another
        history. `position`: of the event that has its version now; None if there is none."""
        stream, seal, state = snapshot.stream, snapshot.state[:_SEAL], snapshot.state[_SEAL:]
        if position is None or seal != _seal(snapshot, position, state):
            _log.warning(
                "the snapshot of %s at version %s is damaged, or of a history that was lost, and was ignored",
                stream,
                snapshot.version,
            )
            return None
        try:
            return (self._freezer(behaviour).thaw(state),)
        except Exception as error:  # noqa: BLE001 - another msgspec, another Python: replayed instead
            _log.warning("the snapshot of %s at version %s was ignored: %r", stream, snapshot.version, error)
            return None

    def snapshot_if_due(self, stream: str, held: Held) -> Snapshot | None:
        """A snapshot of the state as it is, if more than enough events came since the last. To be given to `save` once
        the events are durable."""
        if held.version - held.snapshot_version <= self._snapshot_after or held.behaviour.keeps_state:
            return None
        held.snapshot_version = held.version  # also when it cannot be frozen: do not try at every event
        frozen = self._freezer(held.behaviour).freeze(held.state)
        if frozen is None:
            return None
        return Snapshot(stream=stream, version=held.version, fold=held.behaviour.fold_code, state=frozen)

    async def save(self, snapshot: Snapshot, position: int) -> None:
        """`position`: of the last event that is in it."""
        state = _seal(snapshot, position, snapshot.state) + snapshot.state
        await self._snapshots.save_snapshot(replace(snapshot, state=state))

    def unfrozen(self) -> dict[str, str]:
        """Categories whose states cannot be snapshotted, and why."""
        return {name: f.why_not for name, f in self._freezers.items() if f.why_not}


def _seal(snapshot: Snapshot, position: int, state: bytes) -> bytes:
    """A checksum: a snapshot with a flipped bit would be a wrong state that nobody notices. So would one whose events
    were lost in a failover, written by who still waited to write it: other events get their versions then, never their
    positions."""
    place = f"{snapshot.stream}\0{snapshot.version}\0{snapshot.fold}\0{int(position)}\0".encode()
    return blake2b(place + state, digest_size=_SEAL).digest()
