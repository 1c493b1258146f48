"""The three tables of a join as one: made, compared and dropped together; read as its result."""

from collections.abc import Mapping, Sequence
from typing import Any

from daicho.core.join import JoinFold, SideFold
from daicho.ports.view_store import Mark, TableSpec, ViewChange, ViewStore

__all__ = ["JoinTables", "side_table"]


def side_table(side: SideFold, generation: int) -> TableSpec:
    """Of one build. It is never switched to, so it is no view, and readers do not see it."""
    return TableSpec(side.table, generation, side.kept)


class JoinTables(ViewStore):
    """A view store in which the result of a join carries its sides with it."""

    def __init__(self, store: ViewStore, fold: JoinFold[Any]) -> None:
        self._store, self._fold = store, fold

    def _sides(self, table: TableSpec) -> list[TableSpec]:
        return [side_table(side, table.generation) for side in (self._fold.left, self._fold.right)]

    async def open_table(self, table: TableSpec) -> None:
        """Its own first: a build that was interrupted is then known by it, and dropped whole."""
        for each in (table, *self._sides(table)):
            await self._store.open_table(each)

    async def drop_table(self, table: TableSpec) -> None:
        for each in (*self._sides(table), table):
            await self._store.drop_table(each)

    async def shape_fits(self, table: TableSpec) -> bool:
        return all([await self._store.shape_fits(each) for each in (table, *self._sides(table))])

    async def live_generation(self, name: str) -> int | None:
        return await self._store.live_generation(name)

    async def generations(self, name: str) -> Sequence[int]:
        return await self._store.generations(name)

    async def switch(self, table: TableSpec) -> None:
        await self._store.switch(table)

    async def commit(self, change: ViewChange) -> None:
        await self._store.commit(change)

    # -- reading --------------------------------------------------------------------------------------------------

    async def get(self, table: TableSpec, key: str) -> Any | None:
        return await self._store.get(table, key)

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        return await self._store.get_many(table, keys)

    async def find(
        self,
        table: TableSpec,
        equals: Mapping[str, object],
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Any]:
        return await self._store.find(
            table, equals, order_by=order_by, descending=descending, limit=limit, offset=offset
        )

    async def page(
        self,
        table: TableSpec,
        equals: Mapping[str, object],
        *,
        limit: int,
        order_by: str | None = None,
        descending: bool = False,
        after: Mark | None = None,
    ) -> list[tuple[str, Any]]:
        return await self._store.page(table, equals, limit=limit, order_by=order_by, descending=descending, after=after)

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        return await self._store.plain(table, limit=limit, after=after)

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        return await self._store.search(table, text, equals, limit=limit, offset=offset)

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        return await self._store.count(table, equals)

    async def settle(self, table: TableSpec) -> None:
        await self._store.settle(table)
