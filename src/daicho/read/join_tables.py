"""The three tables of a join as one: made, compared and dropped together; read as its result."""

from typing import Any

from daicho.core.join import JoinFold, SideFold
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.forwarding import Forwarding

__all__ = ["JoinTables", "side_table"]


def side_table(side: SideFold, generation: int) -> TableSpec:
    """Of one build. It is never switched to, so it is no view, and readers do not see it."""
    return TableSpec(side.table, generation, side.kept)


class JoinTables(Forwarding[ViewStore]):
    """A view store in which the result of a join carries its sides with it."""

    def __init__(self, store: ViewStore, fold: JoinFold[Any]) -> None:
        super().__init__(store)
        self._fold = fold

    def _sides(self, table: TableSpec) -> list[TableSpec]:
        return [side_table(side, table.generation) for side in (self._fold.left, self._fold.right)]

    async def open_table(self, table: TableSpec) -> None:
        """Its own first: a build that was interrupted is then known by it, and dropped whole."""
        for each in (table, *self._sides(table)):
            await self.store.open_table(each)

    async def drop_table(self, table: TableSpec) -> None:
        for each in (*self._sides(table), table):
            await self.store.drop_table(each)

    async def shape_fits(self, table: TableSpec) -> bool:
        return all([await self.store.shape_fits(each) for each in (table, *self._sides(table))])
