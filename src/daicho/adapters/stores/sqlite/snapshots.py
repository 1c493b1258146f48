"""One snapshot for each stream."""

from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.reading import read_narrow
from daicho.adapters.stores.sqlite.writer import Transaction
from daicho.ports.event_store import Narrow, Selection
from daicho.ports.snapshot_store import Snapshot

__all__ = ["SqliteSnapshots"]

_LOAD, _SAVE = statement("load_snapshot"), statement("save_snapshot")
_DROP, _DROP_ALL = statement("drop_snapshot"), statement("drop_snapshots")


class SqliteSnapshots(Part):
    async def load_snapshot(self, stream: str) -> Snapshot | None:
        await self._settled()
        rows = await self._here(lambda connection: connection.execute(_LOAD, (stream,)))
        if not rows:
            return None
        [(name, version, fold, state)] = rows
        return Snapshot(stream=name, version=version, fold=fold, state=state)

    async def load(self, stream: str, fold: str, *, limit: int) -> tuple[Snapshot | None, list[Narrow]]:
        def look(connection: Connection) -> tuple[Snapshot | None, list[Narrow]]:
            kept = [row for row in connection.execute(_LOAD, (stream,)) if row[2] == fold]
            found = Snapshot(stream=stream, version=kept[0][1], fold=fold, state=kept[0][3]) if kept else None
            before = 0 if found is None else found.version - 1
            return found, read_narrow(connection, Selection(stream=stream, after_version=before), limit)

        return await self._here(look)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        values = (snapshot.stream, snapshot.version, snapshot.fold, snapshot.state)
        self._ride(lambda transaction: transaction.connection.execute(_SAVE, values))

    async def drop_snapshots(self, stream: str | None = None) -> int:
        def work(transaction: Transaction) -> int:
            if stream is None:
                transaction.connection.execute(_DROP_ALL)
            else:
                transaction.connection.execute(_DROP, (stream,))
            return transaction.connection.changes()

        return await self._write(work)
