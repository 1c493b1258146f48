"""SQL over history and views, typed by people: DuckDB on a copy that it holds in memory.

Nothing that is typed here can reach the store: the statement runs in a database of its own, in this process, which has
no file, no network and no extension, and whose settings are locked. It is one statement that reads, has a deadline and
a limit of rows. What a statement names is copied before it runs, page by page, through the same ports as everything
else: of events only those that came since the last time, of views all rows.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import duckdb
import msgspec

from daicho.app import App
from daicho.core.codec import decode_metadata
from daicho.core.errors import InvalidMessage, SqlFailed, SqlRefused, SqlTooLong
from daicho.core.messages import Row
from daicho.core.stored import StoredEvent
from daicho.core.streams import category_of
from daicho.insight.columns import TABLES, cell, columns_of
from daicho.ports.event_store import Selection
from daicho.ports.storage import Storage
from daicho.read.queries import Views

__all__ = ["Answer", "Column", "Workbench"]

T = TypeVar("T")
_PAGE = 5000
_SETTINGS = (
    "set enable_external_access = false",
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set TimeZone = 'UTC'",
    "set threads = 2",
)
_LETTERS = ("parked", "retry", "retried", "skipped")


class Column(msgspec.Struct, frozen=True):
    name: str
    type: str
    """As DuckDB calls it: `VARCHAR`, `BIGINT`, `TIMESTAMP WITH TIME ZONE`, ..."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    columns: list[Column]
    rows: list[tuple[Any, ...]]
    more: bool
    """Whether there were more rows than the limit."""
    position: int
    """The copy holds every event up to here. Views are as they were a moment later."""
    seconds: float
    """That the statement itself took."""
    copied: int
    """Rows that were copied before."""


class Workbench:
    """Answers SQL. One statement at a time; others wait. Close it."""

    def __init__(
        self,
        storage: Storage,
        views: Views | None = None,
        row_types: Mapping[str, type[Row]] | None = None,
        *,
        after: int = 0,
        most: int = 5_000_000,
        memory: int = 1024,
    ) -> None:
        """
        after   only events behind this position
        most    rows that are copied of one table; a larger one is refused
        memory  MB
        """
        self._storage, self._views, self._most = storage, views, most
        self._after = self._position = after
        self._shapes: dict[str, Mapping[str, str]] = dict(TABLES)
        self._view_of: dict[str, str] = {}
        for name, row_type in (row_types or {}).items():
            table = f"view_{name}" if name in TABLES else name
            self._shapes[table], self._view_of[table] = columns_of(row_type), name
        self._lock, self._closed, self._events = asyncio.Lock(), False, 0
        self._duck = duckdb.connect(":memory:", config={"python_enable_replacements": "false"})
        for setting in (*_SETTINGS, f"set memory_limit = '{memory}MB'", "set lock_configuration = true"):
            self._duck.execute(setting)
        for table in self._shapes:
            self._duck.execute(self._create(table))

    @classmethod
    def of(cls, app: App, **limits: int) -> "Workbench":
        """Over the store and all views of a running App."""
        types: dict[str, type[Row]] = {fold.name: fold.part.row_type for fold in app.model.folds}
        types |= {crud.name: crud.row_type for crud in app.model.cruds}
        return cls(app.storage, app.views, types, **limits)

    @property
    def tables(self) -> dict[str, dict[str, str]]:
        """What can be asked: columns and their types by table."""
        return {name: dict(columns) for name, columns in self._shapes.items()}

    async def ask(
        self,
        sql: str,
        *,
        limit: int = 1000,
        within: float = 10.0,
        copying: Callable[[str, int], None] | None = None,
    ) -> Answer:
        """Runs one statement that reads.

        limit    rows of the answer
        within   seconds for the statement; copying what it names comes before
        copying  told now and then how many rows of which table were copied

        Raises SqlRefused (not one statement that reads; or a table is too large), SqlFailed (it is wrong), SqlTooLong.
        """
        if limit < 1 or within <= 0:
            raise InvalidMessage(f"limit={limit}, within={within} leave no room for an answer", do="give more than 0")
        async with self._lock:
            if self._closed:
                raise SqlFailed("the workbench was closed", do="make another one")
            named = await self._busy(lambda: self._checked(sql))
            copied = 0
            for table in sorted(named & self._shapes.keys()):
                copied += await self._copy(table, copying or (lambda _, __: None))
            columns, rows, seconds = await self._run(sql, limit + 1, within)
        return Answer(
            columns=columns,
            rows=rows[:limit],
            more=len(rows) > limit,
            position=self._position,
            seconds=seconds,
            copied=copied,
        )

    async def close(self) -> None:
        """Lets go of the copy."""
        async with self._lock:
            if not self._closed:
                self._closed = True
                await asyncio.to_thread(self._duck.close)

    # -- the statement --------------------------------------------------------------------------------------------

    def _checked(self, sql: str) -> set[str]:
        """The names of the tables that it reads. Raises SqlRefused, SqlFailed."""
        try:
            statements = self._duck.extract_statements(sql)
        except duckdb.Error as error:
            raise _failed(error) from error
        kinds = [statement.type for statement in statements]
        if kinds != [duckdb.StatementType.SELECT]:  # EXPLAIN ANALYZE would run what it explains
            told = ", ".join(kind.name for kind in kinds) or "nothing"
            raise SqlRefused(
                f"this takes one statement that reads, and not {told}",
                why="history and views are changed by commands and events alone",
                do="write one `select ...`, `with ... select ...` or `from ...`",
            )
        try:
            return set(self._duck.get_table_names(statements[0].query))
        except duckdb.Error:  # `describe`, `summarize`: whatever it names is to be there
            return set(self._shapes)

    async def _run(self, sql: str, most: int, within: float) -> tuple[list[Column], list[tuple[Any, ...]], float]:
        def go() -> tuple[list[Column], list[tuple[Any, ...]], float]:
            started = time.perf_counter()
            found = self._duck.execute(sql)
            rows = [tuple(map(cell, row)) for row in found.fetchmany(most)]
            columns = [Column(each[0], str(each[1])) for each in found.description or ()]
            return columns, rows, time.perf_counter() - started

        deadline = asyncio.get_running_loop().call_later(within, self._duck.interrupt)
        try:
            return await self._busy(go)
        except duckdb.InterruptException as error:
            raise SqlTooLong(
                f"the statement was not done within {within:g} s, and was ended",
                why="each statement has a deadline, so that one does not keep the machine busy",
                do="let it read less, or give it longer: `--within`",
                within=within,
            ) from error
        except duckdb.Error as error:
            raise _failed(error) from error
        finally:
            deadline.cancel()

    async def _busy(self, work: Callable[[], T]) -> T:
        """In a thread; whoever gives up waiting ends it, and does not leave before it is over."""
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._duck.interrupt()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()
            raise

    # -- the copy -------------------------------------------------------------------------------------------------

    def _create(self, table: str) -> str:
        columns = ", ".join(f"{_quoted(name)} {type_}" for name, type_ in self._shapes[table].items())
        return f"create or replace table {_quoted(table)} ({columns})"

    async def _copy(self, table: str, copying: Callable[[str, int], None]) -> int:
        """Brings the copy of one table up to date. Returns how many rows that took."""
        if table == "events":
            return await self._copy_events(copying)
        await self._busy(lambda: self._duck.execute(self._create(table)))
        count = 0
        async for rows in self._pages_of(table):
            count += len(rows)
            self._check_size(table, count)
            await self._insert(table, rows)
            copying(table, count)
        return count

    async def _copy_events(self, copying: Callable[[str, int], None]) -> int:
        head, count = await self._storage.head(), 0
        while self._position < head:
            page = await self._storage.read(Selection(after=self._position, up_to=head), limit=_PAGE)
            if not page:
                self._position = head
                break
            self._check_size("events", self._events + len(page))
            await self._insert("events", [_plain_event(event) for event in page])
            self._position, self._events, count = page[-1].position, self._events + len(page), count + len(page)
            copying("events", count)
        return count

    async def _pages_of(self, table: str) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        if table == "commands":
            yield _plain(await self._storage.outcomes(limit=self._most + 1), TABLES[table])
        elif table == "checkpoints":
            yield _plain(await self._storage.checkpoints(), TABLES[table])
        elif table == "dead_letters":
            yield _plain(await self._storage.letters(states=_LETTERS, limit=self._most + 1), TABLES[table])
        elif self._views is not None:
            view, cursor = self._views.named(self._view_of[table]), None
            while True:
                page = await view.page(limit=_PAGE, cursor=cursor)
                rows = _plain(page.rows, self._shapes[table])
                yield rows
                cursor = page.cursor
                if cursor is None:
                    return

    async def _insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        shape = msgspec.json.encode([self._shapes[table]]).decode().replace("'", "''")
        if "VARCHAR[]" in shape:
            shape = shape.replace('"VARCHAR[]"', '["VARCHAR"]')
        text = msgspec.json.encode(rows).decode()
        sql = (
            f"insert into {_quoted(table)} select r.* from "  # noqa: S608 - names of our own; the rows are a parameter
            f"(select unnest(from_json(?::JSON, '{shape}')) as r)"
        )
        await self._busy(lambda: self._duck.execute(sql, [text]))

    def _check_size(self, table: str, rows: int) -> None:
        if rows > self._most:
            raise SqlRefused(
                f"{table} has more than {self._most:,} rows, too many to be copied",
                do="copy only newer events with `--after POSITION`, or export them: `daicho export`",
                table=table,
                most=self._most,
            )


def _plain_event(event: StoredEvent) -> dict[str, Any]:
    if event.data[:1] == b"{":
        data: Any = msgspec.Raw(event.data)
    else:
        data = msgspec.msgpack.decode(event.data)
    return {
        "position": event.position,
        "stream": event.stream,
        "category": category_of(event.stream),
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "tenant": event.tenant,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "tags": event.tags,
        "metadata": decode_metadata(event.metadata),
        "data": data,
    }


def _plain(things: Iterable[Any], columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """A time that is not known yet is empty text, here and there."""
    times = {name for name, type_ in columns.items() if type_ == "TIMESTAMPTZ"}
    return [
        {name: value if value or name not in times else None for name in columns for value in (getattr(each, name),)}
        for each in things
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _failed(error: duckdb.Error) -> SqlFailed:
    what, _, rest = str(error).partition("\n")
    return SqlFailed(
        what, why=rest.strip(), do="mend the statement; `daicho sql --tables` shows what there is, and its columns"
    )
