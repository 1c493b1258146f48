"""Read models in one MongoDB."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from pymongo.errors import DuplicateKeyError, OperationFailure

from daicho.adapters.views.mongodb.committing import POSITIONS, Commit, fence, in_pieces, written
from daicho.adapters.views.mongodb.location import parse_url
from daicho.adapters.views.mongodb.rows import Document
from daicho.adapters.views.mongodb.tables import Table, live_id, table_for
from daicho.adapters.views.mongodb.wire import Database, Wire
from daicho.core.errors import NoSuchTable, NotSearchable, StoreFailed, WiringError
from daicho.ports.read_store import Placed
from daicho.ports.storage import Finding
from daicho.ports.view_store import Mark, TableSpec, ViewChange

__all__ = ["MongoReadStore"]

_TABLES = "daicho_tables"
_OLDEST = (4, 4)


class MongoReadStore:
    """Fulfils `daicho.ports.read_store.ReadStore` on MongoDB from 4.4 on: one server, a replica set, or a cluster.

    Each generation is a collection of its own, `orders__1`, of documents that people and other programs can read.
    There are no transactions: a commit checks token and position, writes rows that take only what is newer, and moves
    the position last, all of it on the disks of most members before it counts. Reads go to the primary.

    Fields named in `Row(index=...)` are found by, ordered by and paged through without a look at other rows.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        self._location = parse_url(url)
        self._now = now
        self._wire = Wire(self._location)
        self._checked: set[TableSpec] = set()
        self._built: Document = {}

    @property
    def url(self) -> str:
        return self._location.url

    async def open(self) -> None:
        self._wire.open()
        try:
            self._built = await self._wire.keep(lambda database: database.command("buildInfo"))
            self._check_version()
            # the first question that asks for a password
            await self._wire.keep(lambda database: database[_TABLES].find_one({"_id": live_id("")}))
        except BaseException:
            await self._wire.close()
            raise

    def _check_version(self) -> None:
        if tuple(self._built["versionArray"][:2]) < _OLDEST:
            raise StoreFailed(
                f"{self.url} is MongoDB {self._built['version']}",
                why=f"Daicho needs {'.'.join(map(str, _OLDEST))}",
                do="use a newer server",
            )

    async def close(self) -> None:
        await self._wire.close()
        self._checked.clear()

    # tables

    async def open_table(self, table: TableSpec) -> None:
        compiled = table_for(table)
        described = {
            "_id": compiled.collection,
            "name": table.name,
            "generation": table.generation,
            "shape": compiled.codec.shape(),
        }

        async def opened(database: Database) -> None:
            try:
                await database[_TABLES].insert_one(described)
            except DuplicateKeyError:
                await _compare(database, table)
            for index in compiled.indexes:
                await database[compiled.collection].create_index(index)

        await self._wire.keep(opened)
        self._checked.add(table)

    async def live_generation(self, name: str) -> int | None:
        found = await self._wire.keep(lambda database: database[_TABLES].find_one({"_id": live_id(name)}))
        return None if found is None else int(found["live"])

    async def generations(self, name: str) -> Sequence[int]:
        found = await self._wire.keep(lambda database: database[_TABLES].find({"name": name}).to_list())
        return sorted(int(each["generation"]) for each in found)

    async def shape_fits(self, table: TableSpec) -> bool:
        stored = await self._wire.keep(lambda database: _described(database, table))
        return stored is None or stored["shape"] == table_for(table).codec.shape()

    async def switch(self, table: TableSpec) -> None:
        live = {"_id": live_id(table.name), "live": table.generation}

        async def switched(database: Database) -> None:
            if await _described(database, table) is None:
                raise _no_table(table)
            await database[_TABLES].replace_one({"_id": live["_id"]}, live, upsert=True)

        await self._wire.keep(switched)

    async def drop_table(self, table: TableSpec) -> None:
        name = table_for(table).collection

        async def dropped(database: Database) -> None:
            await database[_TABLES].delete_one({"_id": live_id(table.name), "live": table.generation})
            # first, so that who finds nothing in it learns why
            await database[_TABLES].update_one({"_id": name}, {"$set": {"dropped": True}})
            await database.drop_collection(name)
            await database[_TABLES].delete_one({"_id": name})  # last: until then it can be dropped again

        await self._wire.keep(dropped)
        self._checked.discard(table)

    async def _table(self, table: TableSpec) -> Table:
        """Raises StoreFailed if it was never opened, WiringError if it was for other rows."""
        if table not in self._checked:
            await self._wire.keep(lambda database: _compare(database, table))
            self._checked.add(table)
        return table_for(table)

    # reading

    async def get(self, table: TableSpec, key: str) -> Any | None:
        return (await self.get_many(table, [key])).get(key)

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        codec = table_for(table).codec
        found = await self._by_key(table, keys)
        if len(found) < len(set(keys)):
            await self._still(table)
        return {each["_id"]: codec.row(each) for each in found if "_deleted" not in each}

    async def _still(self, table: TableSpec) -> None:
        """What was not found is not there, rather than dropped with its collection before it was looked for."""
        if await self._wire.keep(lambda database: _described(database, table)) is None:
            self._checked.discard(table)
            raise _no_table(table)

    async def get_placed(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Placed]:
        codec = table_for(table).codec
        return {
            each["_id"]: Placed(None if "_deleted" in each else codec.row(each), int(each["_position"]))
            for each in await self._by_key(table, keys)
        }

    async def _by_key(self, table: TableSpec, keys: Sequence[str]) -> list[Document]:
        """Also those that are marked deleted."""
        name = (await self._table(table)).collection
        found: list[Document] = []
        for piece in in_pieces(keys):
            which: Document = {"_id": piece[0] if len(piece) == 1 else {"$in": piece}}
            found += await self._found(name, which)
        return found

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
        compiled = await self._table(table)
        where, order = compiled.where(equals), compiled.order(order_by, descending)
        found = await self._found(compiled.collection, where, order, limit, offset)
        await self._still(table)
        return [compiled.codec.row(each) for each in found]

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
        compiled = await self._table(table)
        where, order = compiled.where(equals), compiled.order(order_by, descending)
        if after is not None:
            where |= compiled.behind(after, order_by, descending)
        found = await self._found(compiled.collection, where, order, limit)
        await self._still(table)
        return [(each["_id"], compiled.codec.row(each)) for each in found]

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        compiled = table_for(table)
        described = await self._wire.keep(lambda database: _described(database, table))
        if described is None:
            raise _no_table(table)
        where = compiled.where({})
        if after is not None:
            where |= compiled.behind(Mark(after), None, False)
        found = await self._found(compiled.collection, where, compiled.order(None, False), limit)
        await self._still(table)
        fields = described["shape"]
        return [(each["_id"], {name: each[name] for name in fields if name in each}) for each in found]

    async def _found(
        self,
        collection: str,
        where: Document,
        order: list[tuple[str, int]] | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        if limit == 0:
            return []  # to MongoDB, it means no limit
        return await self._wire.keep(
            lambda database: database[collection].find(where, sort=order, skip=offset, limit=limit or 0).to_list()
        )

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> NoReturn:
        raise NotSearchable(
            f"{table.name!r} cannot be searched in MongoDB",
            why="its text search knows neither beginnings of words nor words of languages without spaces",
            do="keep this view in OpenSearch, PostgreSQL or SQLite",
            view=table.name,
        )

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        compiled = await self._table(table)
        where = compiled.where(equals)
        # the command `count` would also count what a sharded cluster has not tidied up
        found = await self._wire.keep(lambda database: database[compiled.collection].count_documents(where))
        await self._still(table)
        return found

    async def settle(self, table: TableSpec) -> None:
        """Nothing to wait for: the primary finds what it has acknowledged."""
        await self._table(table)

    # writing

    def check(self, change: ViewChange) -> None:
        written(table_for(change.table), change, self._now())

    async def commit(self, change: ViewChange) -> None:
        compiled = await self._table(change.table)
        documents = written(compiled, change, self._now())
        await self._wire.keep(Commit(compiled.collection, documents, change.advance).attempt)

    async def fence(self, processor: str, token: int) -> int | None:
        return await self._wire.keep(lambda database: fence(database, processor, token))

    async def forget(self, processor: str) -> None:
        await self._wire.keep(lambda database: database[POSITIONS].delete_one({"_id": processor}))

    async def sweep(self, table: TableSpec, up_to: int, before: datetime) -> int:
        name = (await self._table(table)).collection
        old = {"_deleted": {"$lt": before.astimezone(UTC)}, "_position": {"$lte": up_to}}
        return int((await self._wire.keep(lambda database: database[name].delete_many(old))).deleted_count)

    async def furthest(self, table: TableSpec, after: int, before: int) -> int | None:
        name = (await self._table(table)).collection
        between: Document = {"_position": {"$gt": after, "$lt": before}}
        found = await self._wire.keep(
            lambda database: database[name].find_one(between, {"_position": 1}, sort=[("_position", -1)])
        )
        return None if found is None else int(found["_position"])

    # looking after it

    async def examine(self) -> list[Finding]:
        hello: Document
        try:
            hello = await self._wire.keep(lambda database: database.command("hello"))
        except StoreFailed as error:
            if not isinstance(error.__cause__, OperationFailure):
                raise
            hello = {}  # a server of another make
        size = await self._wire.keep(lambda database: database.command("dbStats"))
        members = len(hello.get("hosts", ()))
        where = f"replica set {hello['setName']} of {members}" if "setName" in hello else "one server, no replica set"
        disk, used = size.get("fsTotalSize"), size.get("fsUsedSize")
        room = f", {used / disk:.0%} of the disk used" if disk and used else ""
        return [
            Finding(what="server", ok=True, detail=f"{self._engine} {self._built.get('version', '')}, {where}"),
            Finding(
                what="durability",
                ok=self._location.majority,
                detail=self._durability,
                do="" if self._location.majority else "leave w and journal out of the URL",
            ),
            Finding(
                what="size",
                ok=not disk or not used or used / disk < 0.95,
                detail=f"{size.get('dataSize', 0) / 1e6:.1f} MB in {size.get('collections', 0)} collections{room}",
                do="make room on the server's disk" if room else "",
            ),
        ]

    def describe(self) -> dict[str, Any]:
        return {
            "engine": self._engine,
            "version": str(self._built.get("version", "")),
            "database": self._location.database,
            "durability": self._durability,
        }

    @property
    def _engine(self) -> str:
        return "FerretDB" if "ferretdbVersion" in self._built or "ferretdb" in self._built else "MongoDB"

    @property
    def _durability(self) -> str:
        return "majority, journaled" if self._location.majority else "less than a majority, as the URL says"


async def _described(database: Database, table: TableSpec) -> Document | None:
    """None if there is no such table, or not for long."""
    found = await database[_TABLES].find_one({"_id": table_for(table).collection})
    return None if found is None or "dropped" in found else found


async def _compare(database: Database, table: TableSpec) -> None:
    """Raises StoreFailed, WiringError."""
    stored = await _described(database, table)
    if stored is None:
        raise _no_table(table)
    shape = table_for(table).codec.shape()
    if stored["shape"] != shape:
        raise WiringError(
            f"generation {table.generation} of {table.name!r} was built for other rows",
            why=f"it holds {stored['shape']}, not {shape}",
            do="rebuild the projection into a new generation",
            table=table.name,
        )


def _no_table(table: TableSpec) -> NoSuchTable:
    return NoSuchTable(
        f"there is no table {table.name!r} of generation {table.generation}",
        why="it was dropped, or never opened",
        do="read the generation that is live, or call `open_table` first",
    )
