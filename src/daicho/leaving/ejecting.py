"""Everything that is known, as plain tables that need no Daicho: a SQLite file, or SQL that a server loads.

The tables: `events` as they are stored; for each type of event one with a column for each field, as the present classes
read it; each view; the present state of each aggregate. What was written is read again and compared before the file
gets its name.
"""

import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from daicho.app import App
from daicho.core.codec import decode_builtins
from daicho.core.errors import StoreCorrupt
from daicho.core.founding import FOUNDED
from daicho.core.plain import json_text, plain
from daicho.core.state_fields import state_fields
from daicho.core.stored import StoredEvent
from daicho.core.streams import category_of
from daicho.insight.columns import TABLES, columns_of
from daicho.ports.event_store import Selection
from daicho.ports.storage import Storage

__all__ = ["Ejected", "eject"]

_PAGE = 1000
_EVENTS: Mapping[str, str] = {**TABLES["events"], "tags": "JSON"}
_OF_HISTORY: Mapping[str, str] = {
    "position": "BIGINT",
    "stream": "VARCHAR",
    "version": "BIGINT",
    "occurred_at": "TIMESTAMPTZ",
}
_SQLITE = {"BIGINT": "INTEGER", "INTEGER": "INTEGER", "BOOLEAN": "INTEGER", "DOUBLE": "REAL"}
_SERVER = {"VARCHAR": "TEXT", "DECIMAL(38,9)": "NUMERIC", "JSON": "TEXT", "DOUBLE": "DOUBLE PRECISION"}
_LARGEST = 2**63


class Ejected(msgspec.Struct, frozen=True, kw_only=True):
    head: int
    """Everything up to this position is in it."""
    tables: dict[str, int]
    """Rows by table."""
    behind: tuple[str, ...]
    """Views that had not come so far."""


async def eject(storage: Storage, app: App | None, file: Path, told: Callable[[str, int], None]) -> Ejected:
    """Writes `file`: SQL text if it ends in .sql, else a SQLite database. `app` is running, if there is one.

    Raises StoreCorrupt if what was written is not what was read, and the errors of the store and of history.
    """
    partial = file.with_name(f"{file.name}.partial")
    text = file.with_name(f"{file.name}.partial-text")
    partial.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(partial)) as database:
            writer = _Writer(database, told)
            head = await storage.head()
            behind = await _write(writer, storage, app, head)
            database.commit()
            tables = writer.counts
            if file.suffix == ".sql":
                _dump(writer, text)
        (text if file.suffix == ".sql" else partial).replace(file)
        return Ejected(head=head, tables=tables, behind=behind)
    finally:
        partial.unlink(missing_ok=True)
        text.unlink(missing_ok=True)


async def _write(writer: "_Writer", storage: Storage, app: App | None, head: int) -> tuple[str, ...]:
    events = writer.table("events", _EVENTS, "position")
    read, streams = sha256(), dict[str, int]()
    histories = dict[str, str]()
    async for page in _pages(storage, head):
        rows = [_event(event) for event in page]
        for row in rows:
            read.update(repr(tuple(row.values())).encode())
        writer.rows(events, rows)
        streams.update((event.stream, event.version) for event in page)
        if app is not None:
            _histories(writer, app, histories, page)
    if writer.digest(events, "position") != read.hexdigest():
        raise StoreCorrupt(
            "what was written is not what was read", why="the events of the file differ", do="look at its disk"
        )
    if app is None:
        return ()
    await _states(writer, app, streams)
    return await _views(writer, app)


async def _pages(storage: Storage, head: int) -> AsyncIterator[Sequence[StoredEvent]]:
    position = 0
    while page := await storage.read(Selection(after=position, up_to=head), limit=_PAGE):
        yield page
        position = page[-1].position


def _event(event: StoredEvent) -> dict[str, Any]:
    """A row of `events`: data that is no JSON as JSON."""
    data = event.data if event.data[:1] == b"{" else msgspec.json.encode(decode_builtins(event.data))
    values = {name: getattr(event, name, None) for name in _EVENTS}
    return {
        **values,
        "category": category_of(event.stream),
        "tags": json_text(event.tags),
        "metadata": event.metadata.decode(),
        "data": data.decode(),
    }


def _histories(writer: "_Writer", app: App, tables: dict[str, str], page: Sequence[StoredEvent]) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    for event in page:
        cls = app.registry.read_as(event.type, event.schema_version)
        if cls is None or event.type == FOUNDED:
            continue  # another service's, or of a part that this app has not: it is in `events`
        name = cls.__message_name__
        if name not in tables:
            columns = {**_OF_HISTORY, **{_apart(key): kind for key, kind in columns_of(cls).items()}}
            tables[name] = writer.table(f"event_{name}", columns, "position")
        decoded = app.registry.decode(event.type, event.schema_version, event.data, event.position)
        fields = {_apart(key): getattr(decoded, key) for key in cls.__struct_fields__}
        rows.setdefault(tables[name], []).append({**{key: getattr(event, key) for key in _OF_HISTORY}, **fields})
    for table, found in rows.items():
        writer.rows(table, found)


def _apart(field: str) -> str:
    return f"{field}_" if field in _OF_HISTORY else field


async def _states(writer: "_Writer", app: App, streams: Mapping[str, int]) -> None:
    for category, behaviour in app.model.categories.items():
        columns = {"stream": "VARCHAR", "version": "BIGINT", "state": "JSON"}
        table = writer.table(f"state_{category}", columns, "stream")
        for stream in (stream for stream in streams if category_of(stream) == category):
            state = await app.load(behaviour.part, stream.removeprefix(f"{category}-"))
            fields = json_text(state_fields(state))
            writer.rows(table, [{"stream": stream, "version": streams[stream], "state": fields}])


async def _views(writer: "_Writer", app: App) -> tuple[str, ...]:
    behind: list[str] = []
    types = {fold.name: fold.part.row_type for fold in app.model.folds}
    late = {lag.processor.partition(":")[2].partition("@")[0] for lag in await app.lag() if lag.events_behind}
    begun = {checkpoint.processor.partition(":")[2].partition("@")[0] for checkpoint in await app.storage.checkpoints()}
    for name, row_type in {**types, **{crud.name: crud.row_type for crud in app.model.cruds}}.items():
        table, view, cursor = writer.table(name, columns_of(row_type)), app.views.named(name), None
        if name in types and (name in late or name not in begun):
            behind.append(name)
        if name in types and name not in begun:
            continue  # nobody has run it yet: there are no rows, and no table for them
        while True:
            page = await view.page(limit=_PAGE, cursor=cursor)
            writer.rows(table, [{key: getattr(row, key) for key in row_type.__struct_fields__} for row in page.rows])
            cursor = page.cursor
            if cursor is None:
                break
    return tuple(behind)


class _Writer:
    def __init__(self, database: sqlite3.Connection, told: Callable[[str, int], None]) -> None:
        self._database, self._told = database, told
        self.columns: dict[str, Mapping[str, str]] = {}
        self.keys: dict[str, str | None] = {}
        self.counts: dict[str, int] = {}

    def table(self, name: str, columns: Mapping[str, str], key: str | None = None) -> str:
        """Makes one; its name without what SQL would have quoted, and unlike all others."""
        wanted = table = re.sub(r"\W", "_", name)
        n = 2
        while table.lower() in {each.lower() for each in self.columns}:
            table, n = f"{wanted}_{n}", n + 1
        self.columns[table], self.keys[table], self.counts[table] = dict(columns), key, 0
        self._database.execute(_create(table, columns, key, _SQLITE, "TEXT"))
        return table

    def rows(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        names = list(self.columns[table])
        sql = f"insert into {_quoted(table)} values ({', '.join('?' * len(names))})"  # noqa: S608 - our own names
        values = [[_value(row[name], self.columns[table][name]) for name in names] for row in rows]
        self._database.executemany(sql, values)
        self.counts[table] += len(values)
        self._told(table, self.counts[table])

    def all(self, table: str, order: str | None = None) -> Iterable[tuple[Any, ...]]:
        by = f" order by {_quoted(order)}" if order else ""
        return self._database.execute(f"select * from {_quoted(table)}{by}")  # noqa: S608 - our own names

    def digest(self, table: str, order: str) -> str:
        found = sha256()
        for row in self.all(table, order):
            found.update(repr(row).encode())
        return found.hexdigest()


def _create(table: str, columns: Mapping[str, str], key: str | None, types: Mapping[str, str], other: str) -> str:
    lines = (
        f"{_quoted(name)} {types.get(kind, other or kind)}{' primary key' if name == key else ''}"
        for name, kind in columns.items()
    )
    return f"create table {_quoted(table)} ({', '.join(lines)})"


def _value(value: Any, kind: str) -> Any:
    """As SQLite holds it: numbers as they are as long as they fit, all else as text."""
    if value is None or isinstance(value, str):
        return value
    if kind == "JSON":
        return json_text(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else str(value)
    if isinstance(value, float):
        return value
    simple = plain(value)
    return simple if isinstance(simple, str | int | float | None) else json_text(simple)


def _dump(writer: _Writer, file: Path) -> None:
    """Text for `psql -f`, or `sqlite3 new.db < file`."""
    with file.open("w", encoding="utf-8") as out:
        out.write("begin;\n")
        for table, columns in writer.columns.items():
            out.write(f"{_create(table, columns, writer.keys[table], _SERVER, '')};\n")
            kinds = list(columns.values())
            for row in writer.all(table):
                values = ", ".join(_literal(value, kind) for value, kind in zip(row, kinds, strict=True))
                out.write(f"insert into {_quoted(table)} values ({values});\n")  # noqa: S608 - text for a file
        out.write("commit;\n")


def _literal(value: Any, kind: str) -> str:
    if value is None:
        return "null"
    if kind == "BOOLEAN":
        return "true" if value else "false"
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return "null"  # JSON has none of them either
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
