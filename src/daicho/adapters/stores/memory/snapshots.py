"""One snapshot for each stream."""

from daicho.adapters.stores.memory.contents import Shelf
from daicho.ports.event_store import Narrow
from daicho.ports.snapshot_store import Snapshot

__all__ = ["MemorySnapshots"]


class MemorySnapshots(Shelf):
    async def load_snapshot(self, stream: str) -> Snapshot | None:
        async with self._critical() as contents:
            return contents.snapshots.get(stream)

    async def load(self, stream: str, fold: str, *, limit: int) -> tuple[Snapshot | None, list[Narrow]]:
        async with self._critical() as contents:
            found = contents.snapshots.get(stream)
            found = found if found is not None and found.fold == fold else None
            first = found.version if found else 1
            events = [event for event in contents.kept(stream) if event.version >= first][:limit]
            return found, [(e.position, e.version, e.type, e.schema_version, e.data) for e in events]

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        async with self._critical() as contents:
            there = contents.snapshots.get(snapshot.stream)
            if there is None or there.fold != snapshot.fold or there.version <= snapshot.version:
                contents.snapshots[snapshot.stream] = snapshot

    async def drop_snapshots(self, stream: str | None = None) -> int:
        async with self._critical() as contents:
            dropped = list(contents.snapshots) if stream is None else [stream] if stream in contents.snapshots else []
            for name in dropped:
                del contents.snapshots[name]
            return len(dropped)
