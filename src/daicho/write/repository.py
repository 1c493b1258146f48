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
from daicho.core.freezing import Freezer
from daicho.core.messages import Event, replace
from daicho.core.registry import Registry
from daicho.core.times import to_text
from daicho.ports.event_store import EventStore, Narrow, Selection
from daicho.ports.snapshot_store import Snapshot, SnapshotStore
from daicho.write.appending import Submission

__all__ = ["Held", "Repository"]

_FIRST_PAGE = 128
_PAGE = 1000
_SEAL = 8
_log = logging.getLogger("daicho")


class Held:
    """A state in memory, and the appends that have been decided on top of it but are not durable yet.

    It may run ahead of the store (by appends in flight) or behind it (another process wrote). Neither can do harm:
    every append says which version it was decided on, and the store refuses it if that is not the version there is.
    """

    __slots__ = ("behaviour", "pending", "position", "snapshot_version", "state", "version")

    def __init__(self, behaviour: Behaviour, state: Any, version: int, position: int, snapshot_version: int) -> None:
        self.behaviour, self.state, self.version, self.position = behaviour, state, version, position
        self.snapshot_version = snapshot_version
        self.pending: Submission | None = None


class Repository:
    """Loads states and keeps the hot ones.

    A snapshot is taken when more than `snapshot_after` events came since the last one; it is keyed by a fingerprint of
    the code that folds, and one made by other code is ignored and replaced.
    """

    def __init__(
        self,
        events: EventStore,
        snapshots: SnapshotStore,
        registry: Registry,
        *,
        snapshot_after: int = 100,
        hot: int = 10_000,
    ) -> None:
        self._events, self._snapshots, self._registry = events, snapshots, registry
        self._snapshot_after, self._most_hot = snapshot_after, hot
        self._hot: OrderedDict[str, Held] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Held | None]] = {}
        self._freezers: dict[str, Freezer] = {}

    def through(self, events: EventStore) -> "Repository":
        """For one command on what `events` sees, which may never come to be: nothing of it is kept."""
        other = Repository(events, self._snapshots, self._registry, snapshot_after=sys.maxsize, hot=1)
        other._freezers = self._freezers
        return other

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
        snapshot, page = await self._events.load(stream, behaviour.fold_code, limit=_FIRST_PAGE)
        is_last = len(page) < _FIRST_PAGE
        state, version, position = behaviour.fresh(), 0, 0
        if snapshot is not None:
            thawed = self._thawed(behaviour, snapshot, bool(page) and page[0][1] == snapshot.version)
            if thawed is not None:
                (state,), version, position, page = thawed, snapshot.version, page[0][0], page[1:]
            else:
                page = await self._after(stream, 0)
                is_last = len(page) < _PAGE
        held = Held(behaviour, state, version, position, snapshot_version=version)
        while page:
            held.state = behaviour.fold(held.state, self._decoded(page), stream)
            held.position, held.version = page[-1][:2]
            if is_last:
                break
            page = await self._after(stream, held.version)
            is_last = len(page) < _PAGE
        return held

    async def _after(self, stream: str, version: int) -> list[Narrow]:
        return await self._events.read_narrow(Selection(stream=stream, after_version=version), limit=_PAGE)

    def _decoded(self, page: list[Narrow]) -> list[Event]:
        decode = self._registry.decode
        with uncollected():
            return [decode(name, version, data, position) for position, _, name, version, data in page]

    async def at(self, behaviour: Behaviour, stream: str, moment: int | datetime | None) -> Any:
        """The state after version `moment`, or as far as it had occurred by then; the present one for None.

        A fresh object, which the caller may keep. By time: every event that had *occurred* by the moment, as it is
        known today, also one that was recorded later.
        """
        selection = Selection(stream=stream)
        if moment is None:
            return (await self.load(behaviour, stream)).state
        state = behaviour.fresh()
        if isinstance(moment, datetime):
            selection = Selection(stream=stream, until=to_text(moment))
        else:
            thawed = await self._thaw(behaviour, stream, moment)
            start = 0
            if thawed is not None:
                state, start = thawed
            selection = Selection(stream=stream, after_version=start, up_to_version=moment)
        while page := await self._events.read_narrow(selection, limit=_PAGE):
            state = behaviour.fold(state, self._decoded(page), stream)
            if len(page) < _PAGE:
                break
            selection = Selection(
                stream=stream,
                after_version=page[-1][1],
                up_to_version=selection.up_to_version,
                until=selection.until,
            )
        return state

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
        thawed = self._thawed(behaviour, snapshot, bool(await self._events.read(last, limit=1)))
        return None if thawed is None else (thawed[0], snapshot.version)

    def _thawed(self, behaviour: Behaviour, snapshot: Snapshot, is_of_this_history: bool) -> tuple[Any] | None:
        """The state alone, which may be anything; None if the snapshot is damaged or cannot be read."""
        stream, seal, state = snapshot.stream, snapshot.state[:_SEAL], snapshot.state[_SEAL:]
        if seal != _sealed(snapshot, state) or not is_of_this_history:
            _log.warning("the snapshot of %s at version %s is damaged and was ignored", stream, snapshot.version)
            return None
        try:
            return (self._freezer(behaviour).thaw(state),)
        except Exception as error:  # noqa: BLE001 - another msgspec, another Python: replayed instead
            _log.warning("the snapshot of %s at version %s was ignored: %r", stream, snapshot.version, error)
            return None

    def snapshot_if_due(self, stream: str, held: Held) -> Snapshot | None:
        """A snapshot of the state as it is, if more than enough events came since the last. Save it once the events
        are durable."""
        if held.version - held.snapshot_version <= self._snapshot_after:
            return None
        held.snapshot_version = held.version  # also when it cannot be frozen: do not try at every event
        frozen = self._freezer(held.behaviour).freeze(held.state)
        if frozen is None:
            return None
        snapshot = Snapshot(stream=stream, version=held.version, fold=held.behaviour.fold_code, state=b"")
        return replace(snapshot, state=_sealed(snapshot, frozen) + frozen)

    async def save(self, snapshot: Snapshot) -> None:
        await self._snapshots.save_snapshot(snapshot)

    def unfrozen(self) -> dict[str, str]:
        """Categories whose states cannot be snapshotted, and why."""
        return {name: f.why_not for name, f in self._freezers.items() if f.why_not}


def _sealed(snapshot: Snapshot, state: bytes) -> bytes:
    """A checksum: a snapshot with a flipped bit would be a wrong state that nobody notices."""
    place = f"{snapshot.stream}\0{snapshot.version}\0{snapshot.fold}\0".encode()
    return blake2b(place + state, digest_size=_SEAL).digest()
