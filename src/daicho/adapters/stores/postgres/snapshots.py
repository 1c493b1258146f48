"""One snapshot for each stream."""

from collections.abc import Callable, Sequence
from datetime import datetime

from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.riders import Riders
from daicho.adapters.stores.postgres.together import json_text
from daicho.ports.snapshot_store import Snapshot

__all__ = ["PostgresSnapshots"]


def _later(old: Snapshot, new: Snapshot) -> Snapshot:
    return old if old.fold == new.fold and old.version > new.version else new


class PostgresSnapshots(Part):
    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._saves = Riders(self._write_snapshots, what="snapshots", merge=_later)

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        rows = await self._read(self._queries["load_snapshot"], (stream,))
        if not rows:
            return None
        [(name, version, fold, state)] = rows
        return Snapshot(stream=name, version=version, fold=fold, state=state)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        self._opened()
        await self._saves.add(snapshot.stream, snapshot)

    async def drop_snapshots(self, stream: str | None = None) -> int:
        await self._saves.settle()
        if stream is None:
            return await self._changed(self._queries["drop_snapshots"])
        return await self._changed(self._queries["drop_snapshot"], (stream,))

    async def _write_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        await self._changed(self._queries["save_snapshots"], (json_text(snapshots),))
