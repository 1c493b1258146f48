"""Master data: rows written directly."""

from typing import Generic, TypeVar

from daicho.core.errors import InvalidMessage
from daicho.core.messages import Row
from daicho.core.projection import Crud
from daicho.ports.view_store import TableSpec, ViewChange, ViewStore
from daicho.read.changes import Changes

__all__ = ["CrudTable"]

RowT = TypeVar("RowT", bound=Row)


class CrudTable(Generic[RowT]):
    """Put, get, delete and find for one Crud part. Each write is durable when it returns."""

    def __init__(self, part: Crud[RowT], store: ViewStore, changes: Changes) -> None:
        self._part, self._store, self._changes = part, store, changes
        self._table = TableSpec(part.name, 1, part.row_type)

    async def put(self, *rows: RowT) -> None:
        """Inserts or replaces the rows, all or none."""
        for row in rows:
            if not isinstance(row, self._part.row_type):
                raise InvalidMessage(f"{row!r} is not a {self._part.row_type.__name__}", do="put rows of that class")
        upserts = {self._part.key_of(row): row for row in rows}
        await self._store.commit(ViewChange(table=self._table, upserts=upserts, deletes=[]))
        self._changes.tell(self._part.name, upserts)

    async def delete(self, *keys: str) -> None:
        await self._store.commit(ViewChange(table=self._table, upserts={}, deletes=list(keys)))
        self._changes.tell(self._part.name, dict.fromkeys(keys))

    async def get(self, key: str) -> RowT | None:
        return await self._store.get(self._table, key)

    async def find(
        self, *, order_by: str | None = None, descending: bool = False, limit: int | None = None, **equals: object
    ) -> list[RowT]:
        return await self._store.find(self._table, equals, order_by=order_by, descending=descending, limit=limit)
