"""One snapshot for each stream."""

from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.writer import Transaction
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
