"""Tables of rows."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from daicho.adapters.stores.memory.checkpoints import move_checkpoint
from daicho.adapters.stores.memory.contents import Contents, Shelf, StoredTable
from daicho.adapters.stores.memory.letters import park_all, went_through
from daicho.adapters.stores.memory.rows import decode, encode, opened, shape_of
from daicho.core.errors import NoSuchField, WiringError
from daicho.core.words import check_searchable, matches, terms, words_of
from daicho.ports.view_store import Mark, TableSpec, ViewChange

__all__ = ["MemoryViews"]


class MemoryViews(Shelf):
    async def open_table(self, table: TableSpec) -> None:
        async with self._critical() as contents:
            shape = shape_of(table.row_type)
            stored = contents.tables.setdefault((table.name, table.generation), StoredTable(shape))
            if stored.shape != shape:
                raise WiringError(
                    f"generation {table.generation} of {table.name!r} was built for other rows",
                    why=f"its fields are {stored.shape}, those of {table.row_type.__name__} are {shape}",
                    do="build a new generation",
                )

    async def live_generation(self, name: str) -> int | None:
        async with self._critical() as contents:
            return contents.live.get(name)

    async def generations(self, name: str) -> Sequence[int]:
        async with self._critical() as contents:
            return sorted(generation for table, generation in contents.tables if table == name)

    async def shape_fits(self, table: TableSpec) -> bool:
        async with self._critical() as contents:
            stored = contents.tables.get((table.name, table.generation))
            return stored is None or stored.shape == shape_of(table.row_type)

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        async with self._critical() as contents:
            rows = opened(contents, table).rows
            keys = sorted(key for key in rows if after is None or key > after)
            return [(key, msgspec.msgpack.decode(rows[key])) for key in keys[:limit]]

    async def switch(self, table: TableSpec) -> None:
        async with self._critical() as contents:
            opened(contents, table)
            contents.live[table.name] = table.generation

    async def drop_table(self, table: TableSpec) -> None:
        async with self._critical() as contents:
            contents.tables.pop((table.name, table.generation), None)
            if contents.live.get(table.name) == table.generation:
                del contents.live[table.name]

    async def get(self, table: TableSpec, key: str) -> Any | None:
        return (await self.get_many(table, [key])).get(key)

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        async with self._critical() as contents:
            rows = opened(contents, table).rows
            return {key: decode(table, rows[key]) for key in keys if key in rows}

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
        async with self._critical() as contents:
            found = _matching(contents, table, equals)
        _order(table, found, order_by, descending)
        return [row for _, row in found[offset : None if limit is None else offset + limit]]

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
        async with self._critical() as contents:
            found = _matching(contents, table, equals)
        _order(table, found, order_by, descending)
        if after is not None:
            last = (_sortable(after.value), after.key) if order_by else after.key
            places = ((_place(key, row, order_by), (key, row)) for key, row in found)
            found = [each for place, each in places if (place < last if descending else place > last)]
        return found[:limit]

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        check_searchable(table.row_type)
        async with self._critical() as contents:
            rows = [row for _, row in _matching(contents, table, equals)]
        asked = terms(text)
        found = [(len(words), row) for row in rows if asked and matches(asked, words := words_of(row))]
        found.sort(key=lambda ranked: ranked[0])
        return [row for _, row in found[offset : offset + limit]]

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        async with self._critical() as contents:
            return len(_matching(contents, table, equals))

    async def settle(self, table: TableSpec) -> None:
        """What is committed is found."""

    async def commit(self, change: ViewChange) -> None:
        async with self._critical() as contents:
            # whatever can be refused comes before the first write: nothing here is undone
            written = [
                (
                    opened(contents, each.table).rows,
                    {key: encode(row) for key, row in each.upserts.items()},
                    each.deletes,
                )
                for each in (change, *change.beside)
            ]
            if change.advance is not None:
                move_checkpoint(contents, change.advance, self._time())
                park_all(contents, change.advance.processor, change.parked, self._time())
            went_through(contents, change.retried)
            for rows, upserts, deletes in written:
                rows.update(upserts)
                for key in deletes:
                    rows.pop(key, None)


def _matching(contents: Contents, table: TableSpec, equals: Mapping[str, object]) -> list[tuple[str, Any]]:
    """(key, row), by key."""
    _check_fields(table, equals)
    stored = opened(contents, table).rows
    rows = ((key, decode(table, stored[key])) for key in sorted(stored))
    return [(key, row) for key, row in rows if all(getattr(row, name) == value for name, value in equals.items())]


def _order(table: TableSpec, rows: list[tuple[str, Any]], order_by: str | None, descending: bool) -> None:
    if order_by is not None:
        _check_fields(table, [order_by])
    rows.sort(key=lambda each: _place(each[0], each[1], order_by), reverse=descending)


def _place(key: str, row: Any, order_by: str | None) -> Any:
    return key if order_by is None else (_sortable(getattr(row, order_by)), key)


def _check_fields(table: TableSpec, names: Mapping[str, object] | Sequence[str]) -> None:
    for name in names:
        if name not in table.row_type.__struct_fields__:
            raise NoSuchField(
                f"rows of {table.name!r} have no field {name!r}",
                do=f"use one of {', '.join(table.row_type.__struct_fields__)}",
                field=name,
            )


def _sortable(value: Any) -> tuple[bool, Any]:
    """None comes first, as in SQLite."""
    return (value is not None, value.value if isinstance(value, Enum) else value)
