"""Read models: one typed table for each generation, one SQL view for the live one."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from daicho.adapters.stores.postgres.lines import Rows
from daicho.adapters.stores.postgres.sets import PostgresSets
from daicho.adapters.stores.postgres.tables import Table, public, table_for
from daicho.adapters.stores.postgres.together import Together
from daicho.core.errors import StoreFailed, WiringError
from daicho.core.words import check_searchable
from daicho.ports.view_store import Mark, TableSpec, ViewChange

__all__ = ["PostgresViews"]


class PostgresViews(PostgresSets):
    async def open_table(self, table: TableSpec) -> None:
        compiled = self._table(table)
        async with self._transaction() as transaction:
            await transaction.rows(self._queries["note_table"], (compiled.name, compiled.generation))
            stored = _shape(await transaction.rows(self._queries["columns"], (compiled.table_name,)))
            if not stored:
                for statement in compiled.create:
                    await transaction.rows(statement)
            elif stored != compiled.shape():
                raise WiringError(
                    f"table {compiled.table_name} was built for other rows",
                    why=f"its columns are {stored}, not {compiled.shape()}",
                    do="rebuild the projection into a new generation",
                    table=compiled.table_name,
                )

    async def live_generation(self, name: str) -> int | None:
        rows = await self._read(self._queries["live_generation"], (name,))
        return rows[0][0] if rows else None

    async def generations(self, name: str) -> Sequence[int]:
        return [number for (number,) in await self._read(self._queries["generations"], (name,))]

    async def shape_fits(self, table: TableSpec) -> bool:
        compiled = self._table(table)
        stored = _shape(await self._read(self._queries["columns"], (compiled.table_name,)))
        return not stored or stored == compiled.shape()

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        rows = await self._read(*self._table(table).plain(after, limit))
        return [(key, public(json.loads(text, parse_float=Decimal))) for key, text in rows]

    async def switch(self, table: TableSpec) -> None:
        compiled = self._table(table)
        async with self._transaction() as transaction:
            await transaction.changed(self._queries["make_live"], (compiled.generation, compiled.name))
            stored = await transaction.rows(self._queries["columns"], (compiled.table_name,))
            if not stored:
                raise StoreFailed(
                    f"there is no table {compiled.name!r} of generation {compiled.generation}",
                    do="call `open_table` first",
                )
            shown = await transaction.rows(self._queries["columns"], (compiled.view_name,))
            # a view that gets no other columns keeps what was granted on it, and the views that look at it
            is_ours = _shape(stored) == compiled.shape()
            if not is_ours or list(compiled.public_shape().items())[: len(shown)] != shown:
                await transaction.rows(compiled.drop_view)
            await transaction.rows(compiled.put_view if is_ours else compiled.put_view_of(_shape(stored)))

    async def drop_table(self, table: TableSpec) -> None:
        compiled = self._table(table)
        async with self._transaction() as transaction:
            forgotten = await transaction.rows(self._queries["forget_table"], (compiled.name, compiled.generation))
            if forgotten == [(True,)]:
                await transaction.rows(compiled.drop_view)
            await transaction.rows(compiled.drop)

    async def get(self, table: TableSpec, key: str) -> Any | None:
        compiled = self._table(table)
        found = await self._read(compiled.by_key, (key,))
        return compiled.codec.from_columns(found[0]) if found else None

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        compiled = self._table(table)
        return compiled.keyed(await self._read(*compiled.get_many(keys)))

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
        compiled = self._table(table)
        rows = await self._read(*compiled.find(equals, order_by, descending, limit, offset))
        return list(map(compiled.codec.from_columns, rows))

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
        compiled = self._table(table)
        return compiled.in_order(await self._read(*compiled.page(equals, order_by, descending, limit, after)))

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        check_searchable(table.row_type)
        compiled = self._table(table)
        asked = compiled.search(text, equals, limit, offset)
        rows = await self._read(*asked) if asked is not None else []
        return list(map(compiled.codec.from_columns, rows))

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        [(number,)] = await self._read(*self._table(table).count(equals))
        return int(number)

    async def settle(self, table: TableSpec) -> None:
        """What is committed is found."""

    async def commit(self, change: ViewChange) -> None:
        together = Together(self._queries, self._time(), change.advance)
        if change.advance is not None:
            together.park(change.advance.processor, change.parked)
        together.went_through(None if change.advance is None else change.advance.processor, change.retried)
        for each in (change, *change.beside):
            self._table(each.table).write(together, each.upserts, each.deletes)
        together.check(await self._rows(together.text, together.values))
        if change.advance is not None:
            self._committed_lazily()

    def _table(self, table: TableSpec) -> Table:
        return table_for(self._location.schema, table)


def _shape(columns: Rows) -> dict[str, str]:
    return dict[str, str](columns)
