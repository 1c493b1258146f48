"""Read models in one Redis."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis.asyncio import Redis

from daicho.adapters.views.redis.examination import findings
from daicho.adapters.views.redis.location import parse_url
from daicho.adapters.views.redis.reading import Asked, Reading
from daicho.adapters.views.redis.tables import Table, live_key, place_key, shapes_key, table_for
from daicho.adapters.views.redis.wire import Argument, Wire
from daicho.core.errors import LostLease, NoSuchTable, NotSearchable, StoreFailed, StoreUnavailable, WiringError
from daicho.ports.read_store import Placed
from daicho.ports.storage import Finding
from daicho.ports.view_store import Mark, TableSpec, ViewChange

__all__ = ["RedisReadStore"]

_AT_ONCE = 1000
"""Keys in one command."""
_OLDEST = (6, 0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RedisReadStore:
    """Fulfils `daicho.ports.read_store.ReadStore` on a Redis server from 6.0 on, or on the node of a cluster that has
    the prefix.

    A commit of up to 500 rows and a megabyte is one step; a larger one is many, the position with the last. All of
    them check token and position, and rows take only what is newer. What was committed is as durable as the server's
    `appendfsync` makes it; rows and position are lost, or put back, together.

    Fields named in `Row(index=...)` are found by, ordered by and paged through without a look at other rows; on others
    every row of the table is looked at. Floats that are not finite cannot be kept: JSON has none.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        self._location = parse_url(url)
        self._prefix = self._location.prefix
        self._now = now
        self._wire = Wire(self._location)
        self._checked: set[TableSpec] = set()
        self._version = ""

    @property
    def url(self) -> str:
        return self._location.url

    async def open(self) -> None:
        if self._wire.is_open:
            return
        self._wire.open()
        try:
            self._version = _checked_version(self.url, await self._info())
        except BaseException:
            await self._wire.close()
            raise

    async def close(self) -> None:
        await self._wire.close()
        self._checked.clear()

    # tables

    async def open_table(self, table: TableSpec) -> None:
        compiled = table_for(self._prefix, table)
        shape = msgspec.json.encode(compiled.shape(), order="deterministic")
        await self._wire.call("HSETNX", compiled.shapes, table.generation, shape)
        await self._check(table)

    async def live_generation(self, name: str) -> int | None:
        found = await self._wire.call("HGET", live_key(self._prefix), name)
        return None if found is None else int(found)

    async def generations(self, name: str) -> Sequence[int]:
        return sorted(map(int, await self._wire.call("HKEYS", shapes_key(self._prefix, name))))

    async def shape_fits(self, table: TableSpec) -> bool:
        """Also whether it has the same indexes: one that was not kept from the first row on would find too little."""
        stored = await self._shape(table)
        return stored is None or stored == table_for(self._prefix, table).shape()

    async def switch(self, table: TableSpec) -> None:
        compiled = table_for(self._prefix, table)
        if not await self._wire.run("switch", [compiled.shapes, compiled.live], [table.generation, table.name]):
            raise _no_table(table)

    async def drop_table(self, table: TableSpec) -> None:
        compiled = table_for(self._prefix, table)
        stored = await self._shape(table)
        indexed = {*compiled.indexed, *(() if stored is None else stored["indexed"])}
        keys = [compiled.shapes, compiled.live, *compiled.contents(indexed)]
        await self._wire.run("drop", keys, [table.generation, table.name])
        self._checked.discard(table)

    async def _shape(self, table: TableSpec) -> Any | None:
        stored = await self._wire.call("HGET", shapes_key(self._prefix, table.name), table.generation)
        return None if stored is None else msgspec.json.decode(stored)

    async def _check(self, table: TableSpec) -> None:
        stored, shape = await self._shape(table), table_for(self._prefix, table).shape()
        if stored is None:
            raise _no_table(table)
        if stored != shape:
            raise WiringError(
                f"generation {table.generation} of {table.name!r} was built for other rows",
                why=f"it holds {stored}, not {shape}",
                do="rebuild the projection into a new generation",
                table=table.name,
            )
        self._checked.add(table)

    async def _table(self, table: TableSpec) -> Table:
        """Raises StoreFailed if it was never opened, WiringError if it was for other rows or indexes."""
        if table not in self._checked:
            await self._check(table)
        return table_for(self._prefix, table)

    # reading

    async def get(self, table: TableSpec, key: str) -> Any | None:
        return (await self.get_many(table, [key])).get(key)

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        compiled = await self._table(table)
        found: dict[str, Any] = {}
        for some in _in_pieces(keys):
            rows = await self._wire.call("HMGET", compiled.rows, *some)
            found |= {key: compiled.row(data) for key, data in zip(some, rows, strict=True) if data is not None}
        if len(found) < len(set(keys)):
            await self._still(table)
        return found

    async def _still(self, table: TableSpec) -> None:
        """What was not found is not there, rather than dropped with its table before it was looked for."""
        if not await self._wire.call("HEXISTS", table_for(self._prefix, table).shapes, table.generation):
            self._checked.discard(table)
            raise _no_table(table)

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
        asked = Asked(equals=equals, order_by=order_by, descending=descending, limit=limit, offset=offset)
        return [row for _, row in await self._select(table, asked)]

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
        asked = Asked(equals=equals, order_by=order_by, descending=descending, limit=limit, after=after)
        return await self._select(table, asked)

    async def _select(self, table: TableSpec, asked: Asked) -> list[tuple[str, Any]]:
        found = await Reading(self._wire, await self._table(table)).select(asked)
        if asked.limit is None or len(found) < asked.limit or asked.order_by is not None:
            await self._still(table)  # it may have been dropped before the last piece was read
        return found

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        stored = await Reading(self._wire, table_for(self._prefix, table)).stored(after, limit)
        await self._still(table)
        return [(key, msgspec.json.decode(data)) for key, data in stored]

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        found = await Reading(self._wire, await self._table(table)).count(equals)
        await self._still(table)
        return found

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        raise NotSearchable(
            f"rows of {table.name!r} cannot be searched",
            why="Redis finds by key and by field, not by words",
            do="keep this view in PostgreSQL, SQLite or OpenSearch",
        )

    async def settle(self, table: TableSpec) -> None:
        """What was committed is found at once."""
        await self._table(table)

    # writing

    def check(self, change: ViewChange) -> None:
        for _ in table_for(self._prefix, change.table).pieces(change):
            pass

    async def commit(self, change: ViewChange) -> None:
        compiled = table_for(self._prefix, change.table)
        pieces: list[bytes] = []
        with self._wire.whole():
            for piece in compiled.pieces(change):  # all of them first: nothing is sent if one row cannot be kept
                pieces.append(piece)
                await asyncio.sleep(0)
            for n, piece in enumerate(pieces, 1):
                await self._write(compiled, change, piece, is_last=n == len(pieces))

    async def _write(self, compiled: Table, change: ViewChange, piece: bytes, *, is_last: bool) -> None:
        advance = change.advance
        indexes = compiled.indexes.values()
        place = place_key(self._prefix, "" if advance is None else advance.processor)
        keys = [place, compiled.shapes, compiled.rows, compiled.places, compiled.keys, compiled.gone, *indexes]
        moved: list[Argument] = ["", "", ""]
        if advance is not None:
            moved = [advance.token, advance.old, advance.new if is_last else ""]
        given = [change.table.generation, _microseconds(self._now()), *moved]

        async def attempt(client: Redis, again: bool) -> str:
            # the answer to an attempt that went through may have been lost: then the position is where it should be
            answer = await self._wire.evaluate(client, "commit", keys, [*given, "again" if again else "", piece])
            return str(answer, "ascii")

        answer = await self._wire.keep(attempt)
        if answer == "no table":
            self._checked.discard(change.table)
            raise _no_table(change.table)
        if answer != "done":
            assert advance is not None
            raise _lost(advance.processor, advance.token, f"{answer} is there; it was to move from {advance.old}")

    async def fence(self, processor: str, token: int) -> int | None:
        found = await self._wire.run("fence", [place_key(self._prefix, processor)], [token])
        if found is None:
            raise _lost(processor, token, "an owner with a newer token has been here")
        return int(found[0]) if found else None

    async def forget(self, processor: str) -> None:
        await self._wire.call("DEL", place_key(self._prefix, processor))

    async def get_placed(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Placed]:
        compiled = await self._table(table)
        found: dict[str, Placed] = {}
        for some in _in_pieces(keys):
            answers = await self._wire.run("placed", [compiled.rows, compiled.places], some)
            for key, data, place in zip(some, *answers, strict=True):
                if place is not None:
                    found[key] = Placed(None if data is None else compiled.row(data), _position(place))
        return found

    async def sweep(self, table: TableSpec, up_to: int, before: datetime) -> int:
        """By the clock of those who committed."""
        compiled = await self._table(table)
        kept, removed = 0, 0
        while True:
            given: list[Argument] = [up_to, _microseconds(before), kept, _AT_ONCE]
            seen, swept = map(int, await self._wire.run("sweep", [compiled.places, compiled.gone], given))
            kept, removed = kept + seen - swept, removed + swept
            if seen < _AT_ONCE:
                return removed

    async def furthest(self, table: TableSpec, after: int, before: int) -> int | None:
        compiled = await self._table(table)
        cursor, furthest = 0, after
        while True:
            cursor, places = await self._wire.call("HSCAN", compiled.places, cursor, "COUNT", _AT_ONCE)
            positions = map(_position, places.values())
            furthest = max([furthest, *(position for position in positions if position < before)])
            if not int(cursor):
                return furthest if furthest > after else None

    # the server

    async def examine(self) -> list[Finding]:
        info = await self._info()
        try:
            info["appendfsync"] = (await self._wire.call("CONFIG", "GET", "appendfsync"))[1].decode()
        except StoreUnavailable:
            raise
        except StoreFailed:
            info["appendfsync"] = "unknown"  # hosted servers do not tell
        return findings(info)

    def describe(self) -> dict[str, Any]:
        return {
            "engine": "redis",
            "version": self._version,
            "durability": "as appendonly and appendfsync of the server say",
            "database": self._location.database,
            "prefix": self._prefix,
        }

    async def _info(self) -> dict[str, Any]:
        return dict(await self._wire.call("INFO", "everything"))  # which the library takes apart


def _checked_version(url: str, info: Mapping[str, Any]) -> str:
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise StoreFailed(
            f"{url} is Redis {version}", why=f"Daicho needs {'.'.join(map(str, _OLDEST))}", do="use a newer server"
        )
    return version


def _in_pieces(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))


def _position(place: bytes) -> int:
    return int(place.partition(b"\0")[0].removeprefix(b"-"))


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _no_table(table: TableSpec) -> NoSuchTable:
    return NoSuchTable(
        f"there is no table {table.name!r} of generation {table.generation}",
        why="it was dropped, or never opened",
        do="read the generation that is live, or call `open_table` first",
    )


def _lost(processor: str, token: int, why: str) -> LostLease:
    return LostLease(
        f"token {token} no longer owns {processor!r} in Redis",
        why=why,
        do="nothing: the owner of the newest token goes on from the position that is there",
        processor=processor,
    )
