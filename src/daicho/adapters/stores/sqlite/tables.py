"""The SQL of one generation of one read model, compiled once."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.rows import Column, RowCodec, codec_for
from daicho.core.errors import InvalidMessage, WiringError
from daicho.core.messages import Row
from daicho.ports.view_store import TableSpec

__all__ = ["Table", "quoted", "table_for"]

_json = msgspec.json.Encoder().encode
_MANY = "select value from json_each(?)"
_RESERVED = re.compile(r"(events|event_tags|(daicho|sqlite)_.*|.*__\d+)\Z", re.IGNORECASE | re.DOTALL)


def quoted(name: str) -> str:
    """An identifier as SQL takes it literally."""
    return '"' + name.replace('"', '""') + '"'


def _check_name(name: str) -> None:
    if not name or not name.isprintable() or _RESERVED.match(name):
        raise WiringError(
            f"a projection cannot be called {name!r}",
            why="events, event_tags, daicho_..., sqlite_... and names ending in __1 are the store's own tables",
            do="give the projection another name",
            name=name,
        )


def _physical(name: str) -> str:
    """The name itself, unless SQLite could take it for another: it does not tell `Orders` from `orders`.

    Which letters are capitals is then added behind a tilde, and tildes of the name are doubled.
    """
    capitals = sum(1 << n for n, letter in enumerate(name) if "A" <= letter <= "Z")
    doubled = name.replace("~", "~~")
    return f"{doubled}~{capitals:x}" if capitals else doubled


class Table:
    """All statements about one table. Names are quoted, values are bound."""

    def __init__(self, name: str, generation: int, row_type: type[Row]) -> None:
        _check_name(name)
        self.name, self.generation = name, generation
        self.codec: RowCodec = codec_for(row_type)
        base = _physical(name)
        self.view = quoted(base)
        self.table_name = f"{base}__{generation}"
        self.table = quoted(self.table_name)
        names = [quoted(column.name) for column in self.codec.columns]
        fields = ", ".join(names)
        declared = "".join(f", {quoted(c.name)} {c.declared}" for c in self.codec.columns)
        every = ", ".join(["_key", *names])
        sets = ", ".join(f"{name} = excluded.{name}" for name in names)
        marks = ", ".join("?" * (len(names) + 1))
        self.create = f"create table if not exists {self.table} (_key text primary key{declared}) without rowid"
        self.indexes = [
            f"create index if not exists {quoted(f'{self.table_name}_{c.name}')} on {self.table} ({quoted(c.name)})"
            for c in map(self.codec.column, row_type.__index_fields__)
        ]
        self.drop = f"drop table if exists {self.table}"
        self.drop_view = f"drop view if exists {self.view}"
        self.create_view = f"create view {self.view} as select {fields or '_key'} from {self.table}"  # noqa: S608
        self._upsert = (
            f"insert into {self.table} ({every}) values ({marks}) on conflict (_key) do "  # noqa: S608
            + (f"update set {sets}" if sets else "nothing")
        )
        self._delete = f"delete from {self.table} where _key = ?"  # noqa: S608
        self._fields = fields or "_key"
        self._by_keys = f"select {every} from {self.table} where _key in ({_MANY})"  # noqa: S608
        self._by_key = f"select {self._fields} from {self.table} where _key = ?"  # noqa: S608

    def shape(self) -> dict[str, str]:
        return {"_key": "TEXT", **{column.name: column.declared for column in self.codec.columns}}

    def row(self, values: Sequence[Any]) -> Any:
        return self.codec.from_columns(values if self.codec.columns else ())

    def get(self, connection: Connection, key: str) -> Any | None:
        found = connection.execute(self._by_key, (key,))
        return self.row(found[0]) if found else None

    def get_many(self, connection: Connection, keys: Sequence[str]) -> dict[str, Any]:
        found = connection.execute(self._by_keys, (_json(list(keys)).decode(),))
        return {values[0]: self.row(values[1:]) for values in found}

    def write(self, connection: Connection, upserts: Mapping[str, Any], deletes: Sequence[str]) -> None:
        to_columns = self.codec.to_columns
        if upserts:
            rows = [to_columns(key, row) for key, row in upserts.items()]
            _bound(connection, self._upsert, rows)
        if deletes:
            _bound(connection, self._delete, [(key,) for key in deletes])

    def find(
        self, equals: Mapping[str, object], order_by: str | None, descending: bool, limit: int | None, offset: int
    ) -> tuple[str, list[Any]]:
        """The statement and its values. Raises NoSuchField."""
        where, bound = self._where(equals)
        direction = " desc" if descending else ""
        order = f"_key{direction}"
        if order_by is not None:
            column = self.codec.column(order_by)
            name = quoted(column.name)
            name = f"{name}{_by_value(column)}"
            order = f"{name}{direction}, _key"
        text = f"select {self._fields} from {self.table}{where} order by {order}"  # noqa: S608
        if limit is not None or offset:
            text += " limit ? offset ?"
            bound += [-1 if limit is None else limit, offset]
        return text, bound

    def count(self, equals: Mapping[str, object]) -> tuple[str, list[Any]]:
        where, bound = self._where(equals)
        return f"select count(*) from {self.table}{where}", bound  # noqa: S608

    def _where(self, equals: Mapping[str, object]) -> tuple[str, list[Any]]:
        columns, bound = self.codec.filters(equals)
        conditions = " and ".join(f"{quoted(column.name)} is ?{_by_value(column)}" for column in columns)
        return (f" where {conditions}" if conditions else ""), bound


def _by_value(column: Column) -> str:
    """Exact decimals are text; they compare as the numbers that they are: 1 equals 1.00 and comes before 10."""
    return " collate daicho_decimal" if column.declared == "TEXT DECIMAL" else ""


def _bound(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    try:
        connection.executemany(sql, rows)
    except (OverflowError, TypeError, UnicodeError) as error:
        raise InvalidMessage(
            "a row holds a value that no column can hold",
            why=str(error),
            do="check the row's fields against their declared types",
        ) from error


@lru_cache(maxsize=1024)
def _table(name: str, generation: int, row_type: type[Row]) -> Table:
    return Table(name, generation, row_type)


def table_for(spec: TableSpec) -> Table:
    return _table(spec.name, spec.generation, spec.row_type)
