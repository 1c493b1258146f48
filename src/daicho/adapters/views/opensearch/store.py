"""Read models in OpenSearch or Elasticsearch: one index for each generation, one document for each row.

The version of a document is the position of the last event that its row has seen, which makes repeating harmless: the
engine refuses what is not newer (`version_type=external`). Its own memory of what was deleted lasts a minute only, so a
deleted row leaves a document behind, its mark.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from daicho.adapters.views.opensearch.bulk import Got, Line, fetch, remove, write
from daicho.adapters.views.opensearch.engine import Engine
from daicho.adapters.views.opensearch.freshness import Freshness
from daicho.adapters.views.opensearch.location import parse_url
from daicho.adapters.views.opensearch.positions import Positions
from daicho.adapters.views.opensearch.reading import Reader
from daicho.adapters.views.opensearch.rows import mark
from daicho.adapters.views.opensearch.tables import WORD_COUNT, Names, Order, Table, table_for
from daicho.adapters.views.opensearch.wire import Wire
from daicho.core.errors import WiringError
from daicho.core.times import to_text
from daicho.core.words import check_searchable, terms
from daicho.ports.read_store import Placed
from daicho.ports.storage import Finding
from daicho.ports.view_store import Mark, TableSpec, ViewChange

__all__ = ["SearchReadStore"]


class SearchReadStore:
    """The port `ReadStore`, with search. Rows are ordered by any field but nested ones.

    Reads of many rows are not frozen in time: rows that are moved by a commit meanwhile may be met twice or not at
    all, those that stay are met once.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        self._location = parse_url(url)
        self._now = now
        self._wire = Wire(self._location)
        self._positions = Positions(self._wire, self._location.prefix)
        self._engine = Engine(self._wire, self._location.prefix)
        self._fresh = Freshness(self._wire)
        self._reader = Reader(self._wire, self._fresh)

    @property
    def url(self) -> str:
        return self._location.url

    async def open(self) -> None:
        self._wire.open()
        try:
            await self._engine.greet()
            await self._engine.create(self._positions.index, self._positions.creation())
        except BaseException:
            await self._wire.close()
            raise

    async def close(self) -> None:
        await self._wire.close()

    async def examine(self) -> list[Finding]:
        return await self._engine.examine()

    def describe(self) -> dict[str, Any]:
        return {**self._engine.describe(), "url": self.url, "prefix": self._location.prefix}

    # tables

    async def open_table(self, table: TableSpec) -> None:
        compiled = self._table(table)
        if await self._engine.create(compiled.index, compiled.creation()):
            return
        stored = (await self._engine.tables(compiled.index)).get(compiled.generation)
        if stored != compiled.codec.shape:
            raise WiringError(
                f"index {compiled.index} was built for other rows",
                why=f"their shape is {stored}, not {compiled.codec.shape}",
                do="rebuild the projection into a new generation",
                index=compiled.index,
            )

    async def live_generation(self, name: str) -> int | None:
        indices = await self._engine.behind(Names(self._location.prefix, name).live)
        return max((int(index.rpartition("-")[2]) for index in indices), default=None)

    async def generations(self, name: str) -> Sequence[int]:
        return sorted(await self._engine.tables(Names(self._location.prefix, name).every_generation))

    async def shape_fits(self, table: TableSpec) -> bool:
        compiled = self._table(table)
        stored = await self._engine.tables(compiled.index)
        return not stored or stored.get(compiled.generation) == compiled.codec.shape

    async def switch(self, table: TableSpec) -> None:
        compiled = self._table(table)
        await self._engine.show(compiled.index)
        await self._fresh.refresh(compiled.index)
        await self._engine.lead(compiled.names.live, compiled.index)

    async def drop_table(self, table: TableSpec) -> None:
        await self._engine.drop(self._table(table).index)

    # rows by key

    async def get(self, table: TableSpec, key: str) -> Any | None:
        return (await self.get_many(table, [key])).get(key)

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        placed = await self.get_placed(table, keys)
        return {key: each.row for key, each in placed.items() if each.row is not None}

    async def get_placed(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Placed]:
        compiled = self._table(table)
        return {key: _placed(compiled, got) for key, got in (await fetch(self._wire, compiled, keys)).items()}

    # rows by condition

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
        query, order = compiled.matching(equals), compiled.order(order_by, descending)
        found = await self._reader.read(compiled, query, order, offset=offset, limit=limit)
        return list(map(compiled.codec.row, found))

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
        order = compiled.order(order_by, descending)
        start = None if after is None else compiled.marked(order_by, after)
        found = await self._reader.read(compiled, compiled.matching(equals), order, after=start, limit=limit)
        return [(document.row_key, compiled.codec.row(document)) for document in found]

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        compiled = self._table(table)
        start = None if after is None else compiled.marked(None, Mark(after))
        await self._fresh.refresh(compiled.index)
        found = await self._reader.read(compiled, compiled.matching({}), Order(), after=start, limit=limit)
        return [(document.row_key, msgspec.json.decode(document.row)) for document in found]

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        check_searchable(table.row_type)
        compiled = self._table(table)
        asked = terms(text)
        query = compiled.searching(asked, equals)
        if not asked:
            return []
        found = await self._reader.read(compiled, query, Order(WORD_COUNT), offset=offset, limit=limit)
        return list(map(compiled.codec.row, found))

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        compiled = self._table(table)
        return await self._reader.count(compiled, compiled.matching(equals))

    async def settle(self, table: TableSpec) -> None:
        await self._fresh.refresh(self._table(table).index)

    # writing

    def check(self, change: ViewChange) -> None:
        for _ in _lines(self._table(change.table), change, self._time()):
            pass

    async def commit(self, change: ViewChange) -> None:
        compiled, advance, at = self._table(change.table), change.advance, self._time()
        lines = list(_lines(compiled, change, at))  # before anything is sent: what cannot be kept stops all of it
        with self._wire.at_work():
            standing = None if advance is None else await self._positions.next_of(advance)
            try:
                await write(self._wire, compiled, lines)
            finally:
                self._fresh.wrote(compiled.index)
            if advance is not None and standing is not None:
                await self._positions.move(standing, advance, at)

    async def fence(self, processor: str, token: int) -> int | None:
        return await self._positions.fence(processor, token, self._time())

    async def forget(self, processor: str) -> None:
        await self._positions.forget(processor)

    async def sweep(self, table: TableSpec, up_to: int, before: datetime) -> int:
        compiled = self._table(table)
        marks = compiled.marks(up_to, to_text(before))
        swept = 0
        while True:
            await self._fresh.refresh(compiled.index)
            found = await self._reader.versions(compiled, marks)
            removed = await remove(self._wire, compiled, found) if found else 0
            self._fresh.wrote(compiled.index)
            swept += removed
            if not removed:
                return swept

    async def furthest(self, table: TableSpec, after: int, before: int) -> int | None:
        compiled = self._table(table)
        await self._fresh.refresh(compiled.index)
        return await self._reader.furthest(compiled, compiled.between(after, before))

    def _table(self, table: TableSpec) -> Table:
        return table_for(self._location.prefix, table)

    def _time(self) -> str:
        return to_text(self._now())


def _lines(table: Table, change: ViewChange, at: str) -> Iterator[Line]:
    """What is in both will be deleted."""
    table.codec.check(change.upserts.values())
    gone = set(change.deletes)
    for key, row in change.upserts.items():
        if key not in gone:
            yield Line(key, _seen(change, key), table.codec.document(key, row, _seen(change, key)))
    for key in gone:
        yield Line(key, _seen(change, key), mark(_seen(change, key), at))


def _seen(change: ViewChange, key: str) -> int:
    try:
        return change.seen[key]
    except KeyError:
        raise WiringError(
            f"a change of {change.table.name!r} does not say what the row {key!r} has seen",
            why="rows in a search engine guard themselves by the position of the last event that they have seen",
            do="give `seen` for every changed key",
            key=key,
        ) from None


def _placed(table: Table, got: Got) -> Placed:
    document = got.document
    return Placed(None if document.key is None else table.codec.row(document), got.version)
