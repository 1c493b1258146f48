"""Read models: one typed table for each generation, one SQL view for the live one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daicho.adapters.stores.sqlite.checkpoints import move_checkpoint
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.letters import park_all, went_through
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.sets import SqliteSets
from daicho.adapters.stores.sqlite.tables import Table, table_for
from daicho.adapters.stores.sqlite.writer import Transaction
from daicho.core.errors import NotSearchable, StoreFailed, WiringError
from daicho.core.words import check_searchable
from daicho.ports.view_store import Mark, TableSpec, ViewChange

__all__ = ["SqliteViews"]

_NOTE, _LIVE = statement("note_table"), statement("live_generation")
_GENERATIONS, _MAKE_LIVE = statement("generations"), statement("make_live")
_FORGET, _COLUMNS, _SEARCHES = statement("forget_table"), statement("columns"), statement("has_fts")


def _stored_shape(connection: Connection, table: Table) -> dict[str, str]:
    return {name: declared.upper() for name, declared in connection.execute(_COLUMNS, (table.table_name,))}


def _open_table(transaction: Transaction, table: Table) -> None:
    connection = transaction.connection
    stored = _stored_shape(connection, table)
    if stored and stored != table.shape():
        raise WiringError(
            f"table {table.table_name} was built for other rows",
            why=f"its columns are {stored}, not {table.shape()}",
            do="rebuild the projection into a new generation",
            table=table.table_name,
        )
    if table.searched and not connection.execute(_SEARCHES):
        raise NotSearchable(
            f"rows of {table.name!r} cannot be searched",
            why="this SQLite library was built without FTS5",
            do="take ?driver=apsw, which brings its own, or leave out `search=` in the row class",
        )
    if not stored:
        for text in table.create:
            connection.execute(text)
    connection.execute(_NOTE, (table.name, table.generation))


def _switch(transaction: Transaction, table: Table) -> None:
    connection = transaction.connection
    stored = _stored_shape(connection, table)
    if not stored:
        raise _no_table(table)
    connection.execute(table.drop_view)
    connection.execute(table.create_view(stored))
    connection.execute(_MAKE_LIVE, (table.generation, table.name))


def _drop(transaction: Transaction, table: Table) -> None:
    connection = transaction.connection
    live = connection.execute(_LIVE, (table.name,))
    if live and live[0][0] == table.generation:
        connection.execute(table.drop_view)
    for text in table.drop:
        connection.execute(text)
    connection.execute(_FORGET, (table.name, table.generation))


def _commit(transaction: Transaction, writes: Sequence[Callable[[Connection], None]], change: ViewChange) -> None:
    if change.advance is not None:
        move_checkpoint(transaction, change.advance)
        park_all(transaction, change.advance.processor, change.parked)
    went_through(transaction, None if change.advance is None else change.advance.processor, change.retried)
    for write in writes:
        write(transaction.connection)


def _no_table(table: Table) -> StoreFailed:
    return StoreFailed(
        f"there is no table {table.name!r} of generation {table.generation}", do="call `open_table` first"
    )


class SqliteViews(SqliteSets):
    async def open_table(self, table: TableSpec) -> None:
        compiled = table_for(table)
        await self._write(lambda transaction: _open_table(transaction, compiled))

    async def live_generation(self, name: str) -> int | None:
        rows = await self._here(lambda connection: connection.execute(_LIVE, (name,)))
        return rows[0][0] if rows else None

    async def generations(self, name: str) -> Sequence[int]:
        return [number for (number,) in await self._here(lambda connection: connection.execute(_GENERATIONS, (name,)))]

    async def shape_fits(self, table: TableSpec) -> bool:
        compiled = table_for(table)
        stored = await self._here(lambda connection: _stored_shape(connection, compiled))
        return not stored or stored == compiled.shape()

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        compiled = table_for(table)

        def read(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
            text, bound, names = compiled.plain(_stored_shape(connection, compiled), after, limit)
            return [(key, dict(zip(names, values, strict=True))) for key, *values in connection.execute(text, bound)]

        return await self._aside(read)

    async def switch(self, table: TableSpec) -> None:
        compiled = table_for(table)
        await self._write(lambda transaction: _switch(transaction, compiled))

    async def drop_table(self, table: TableSpec) -> None:
        compiled = table_for(table)
        await self._write(lambda transaction: _drop(transaction, compiled))

    async def get(self, table: TableSpec, key: str) -> Any | None:
        compiled = table_for(table)
        return await self._here(lambda connection: compiled.get(connection, key))

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        compiled = table_for(table)
        if len(keys) <= 100:
            return await self._here(lambda connection: compiled.get_many(connection, keys))
        return await self._aside(lambda connection: compiled.get_many(connection, keys))

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
        compiled = table_for(table)
        text, bound = compiled.find(equals, order_by, descending, limit, offset)
        return await self._aside(
            lambda connection: [compiled.row(values) for values in connection.execute(text, bound)]
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
        compiled = table_for(table)
        text, bound = compiled.page(equals, order_by, descending, limit, after)
        return await self._aside(
            lambda connection: [(key, compiled.row(values)) for key, *values in connection.execute(text, bound)]
        )

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        check_searchable(table.row_type)
        compiled = table_for(table)
        asked = compiled.search(text, equals, limit, offset)
        if asked is None:
            return []
        return await self._aside(lambda connection: [compiled.row(values) for values in connection.execute(*asked)])

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        text, bound = table_for(table).count(equals)
        rows = await self._aside(lambda connection: connection.execute(text, bound))
        return int(rows[0][0])

    async def settle(self, table: TableSpec) -> None:
        """What is committed is found."""

    async def commit(self, change: ViewChange) -> None:
        every = (change, *change.beside)
        weight = sum(len(each.upserts) + len(each.deletes) for each in every)
        writes = [table_for(each.table).writing(each.upserts, each.deletes) for each in every]
        await self._write(lambda transaction: _commit(transaction, writes, change), weight=weight)
