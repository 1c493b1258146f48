"""The SQL of one generation of one read model, compiled once."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from daicho.adapters.stores.postgres.rows import Column, RowCodec, codec_for
from daicho.adapters.stores.postgres.together import Together, json_text
from daicho.core.errors import WiringError
from daicho.core.messages import Row
from daicho.core.words import terms
from daicho.ports.view_store import Mark, TableSpec

__all__ = ["Table", "public", "table_for"]

_OURS = ("_key", "_exact", "_words")
"""Columns that are no fields of rows."""
_RESERVED = re.compile(r"(events|event_tags|(daicho|sqlite)_.*|.*__\d+)\Z", re.IGNORECASE | re.DOTALL)
_LONGEST = 63
_KEYS = "(select json_array_elements_text(%s))"
_GIVEN = "rows from (json_array_elements_text(%s), json_to_recordset(%s) as ({})) as given ({})"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _bound(text: str) -> str:
    """As part of a statement with parameters, in which psycopg gives `%` a meaning."""
    return text.replace("%", "%%")


def _check_name(name: str) -> None:
    if not name or not name.isprintable() or _RESERVED.match(name):
        raise WiringError(
            f"a projection cannot be called {name!r}",
            why="events, event_tags, daicho_..., sqlite_... and names ending in __1 are the store's own",
            do="give the projection another name",
            name=name,
        )


def _fitting(name: str, suffix: str = "") -> str:
    """The name with the suffix. PostgreSQL would cut it off after 63 bytes: a longer one ends in a fingerprint."""
    if len((name + suffix).encode()) <= _LONGEST:
        return name + suffix
    suffix = f"~{hashlib.sha256(name.encode()).hexdigest()[:12]}{suffix}"
    return name.encode()[: _LONGEST - len(suffix)].decode(errors="ignore") + suffix


def _declared(column: Column) -> str:
    collated = ' collate "C"' if column.kind.type == "text" else ""
    return f"{_bound(_identifier(column.name))} {column.kind.type}{collated}"


def _compared_as(column: Column) -> str:
    return "jsonb" if column.kind.type == "json" else column.kind.type


def _given(column: Column) -> str:
    return f"{_bound(_identifier(column.name))} {column.kind.sent or column.kind.type}"


def public(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that are no fields of rows."""
    return {name: value for name, value in columns.items() if name not in _OURS}


class Table:
    """All statements about one table. Names are quoted, values are bound."""

    def __init__(self, schema: str, name: str, generation: int, row_type: type[Row]) -> None:
        _check_name(name)
        self.name, self.generation = name, generation
        self.codec: RowCodec = codec_for(row_type)
        codec, columns = self.codec, self.codec.columns
        self.view_name = f"{_identifier(schema)}.{_identifier(_fitting(name))}"
        self.table_name = f"{_identifier(schema)}.{_identifier(_fitting(name, f'__{generation}'))}"
        self.table, view = _bound(self.table_name), _bound(self.view_name)
        fields = [_bound(_identifier(column.name)) for column in columns]
        self.searched = row_type.__search_fields__
        words = ["_words"] if self.searched else []
        notes = ["_exact"] if codec.has_notes else []
        self._every = every = ", ".join(["_key", *fields, *notes])
        self._fields = ", ".join([*fields, *notes])
        declared = ['_key text collate "C" primary key', *map(_declared, columns), *(f"{n} json" for n in notes)]
        declared += [f"{each} tsvector not null" for each in words]
        self.create = [f"create table {self.table} ({', '.join(declared)})"]
        self.create += [
            f"comment on column {self.table}.{field} is '{column.kind.comment}'"
            for field, column in zip(fields, columns, strict=True)
            if column.kind.comment
        ]
        self.create += [
            f"create index on {self.table} ({self._compared(column)} nulls first, _key)"
            for column in map(codec.column, row_type.__index_fields__)
        ]
        if self.searched:
            self.create.append(f"comment on column {self.table}._words is '{self._whose_words()}'")
            self.create.append(f"create index on {self.table} using gin (_words)")
        self.drop = f"drop table if exists {self.table}"
        self.drop_view = f"drop view if exists {view}"
        self.put_view = self.put_view_of(column.name for column in columns)
        given = ", ".join([*map(_given, columns), *(f"{n} json" for n in notes), *(f"{each} text[]" for each in words)])
        written = ["_key", *fields, *notes, *words]
        stored = [c.kind.stored.format(field) for c, field in zip(columns, fields, strict=True)]
        stored += [*notes, *(f"array_to_tsvector({each})" for each in words)]
        sets = ", ".join(f"{field} = excluded.{field}" for field in written[1:])
        self._upsert = (
            f"insert into {self.table} ({', '.join(written)}) select {', '.join(['_key', *stored])} "  # noqa: S608
            f"from {_GIVEN.format(given, ', '.join(written))} where exists (select from moved) "
            f"on conflict (_key) do update set {sets}"
        )
        self._delete = f"delete from {self.table} where _key in {_KEYS} and exists (select from moved)"  # noqa: S608
        self.by_key = f"select {self._fields} from {self.table} where _key = %s"  # noqa: S608
        self._by_keys = f"select {every} from {self.table} where _key in {_KEYS}"  # noqa: S608

    def put_view_of(self, stored: Iterable[str]) -> str:
        """With these columns: a generation that somebody goes back to may be of other rows."""
        fields = ", ".join(_bound(_identifier(name)) for name in public(dict.fromkeys(stored))) or "_key"
        view = _bound(self.view_name)
        return f"create or replace view {view} as select {fields} from {self.table}"  # noqa: S608

    def plain(self, after: str | None, limit: int) -> tuple[str, list[Any]]:
        """The statement and its values; its rows are keys and JSON, with the store's own columns."""
        where, values = ("", [limit]) if after is None else (" where _key > %s::text", [after, limit])
        return (
            f"select _key, row_to_json(stored)::text from {self.table} as stored{where} "  # noqa: S608
            "order by _key limit %s"
        ), values

    def shape(self) -> dict[str, str]:
        notes = {"_exact": "json"} if self.codec.has_notes else {}
        words = {"_words": f"tsvector {self._whose_words()}"} if self.searched else {}
        return {"_key": "text", **{column.name: column.shape for column in self.codec.columns}, **notes, **words}

    def _whose_words(self) -> str:
        """The comment on the column."""
        return f"of {', '.join(self.searched)}"

    def public_shape(self) -> dict[str, str]:
        """Of the view."""
        return {column.name: column.kind.type for column in self.codec.columns} or {"_key": "text"}

    def get_many(self, keys: Sequence[str]) -> tuple[str, list[Any]]:
        """The statement and its values; its rows are for `keyed`."""
        return self._by_keys, [json_text(list(keys))]

    def keyed(self, rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
        return {values[0]: self.codec.from_columns(values[1:]) for values in rows}

    def write(self, together: Together, upserts: Mapping[str, Any], deletes: Sequence[str]) -> None:
        """Raises InvalidMessage. What is in both will be deleted."""
        if deletes:
            gone = set(deletes)
            upserts = {key: row for key, row in upserts.items() if key not in gone}
            together.add(self._delete, json_text(list(gone)))
        if upserts:
            together.add(self._upsert, *self.codec.encoded(upserts))

    def find(
        self, equals: Mapping[str, object], order_by: str | None, descending: bool, limit: int | None, offset: int
    ) -> tuple[str, list[Any]]:
        """The statement and its values. Raises NoSuchField, InvalidMessage."""
        where, values = self._where(equals)
        order = "_key desc" if descending else "_key"
        if order_by is not None:
            direction = "desc nulls last" if descending else "nulls first"
            order = f"{self._compared(self.codec.column(order_by))} {direction}, {order}"
        text = f"select {self._fields} from {self.table}{where} order by {order}"  # noqa: S608
        if limit is not None or offset:
            text += " limit %s offset %s"
            values += [limit, offset]
        return text, values

    def page(
        self, equals: Mapping[str, object], order_by: str | None, descending: bool, limit: int, after: Mark | None
    ) -> tuple[str, list[Any]]:
        """The statement and its values; its rows are for `in_order`. Raises NoSuchField, InvalidMessage."""
        where, values = self._where(equals)
        beyond, order = ("<", "_key desc") if descending else (">", "_key")
        behind, marks = f"_key {beyond} %s::text", list[Any]()
        if order_by is not None:
            column = self.codec.column(order_by)
            name = self._compared(column)
            order = f"{name} {'desc nulls last' if descending else 'nulls first'}, {order}"
            if after is not None and after.value is None:
                behind = f"({name} is null and {behind}{'' if descending else f' or {name} is not null'})"
            elif after is not None:
                nulls = f" or {name} is null" if descending and column.nullable else ""  # an OR keeps from the index
                behind = f"(({name}, _key) {beyond} (%s::{_compared_as(column)}, %s::text){nulls})"
                marks = [self.codec.parameter(column, after.value)[0]]
        if after is not None:
            where = f"{where} and {behind}" if where else f" where {behind}"
            values += [*marks, after.key]
        text = f"select {self._every} from {self.table}{where} order by {order} limit %s"  # noqa: S608
        return text, [*values, limit]

    def in_order(self, rows: Iterable[Sequence[Any]]) -> list[tuple[str, Any]]:
        """(key, row)."""
        return [(values[0], self.codec.from_columns(values[1:])) for values in rows]

    def search(self, text: str, equals: Mapping[str, object], limit: int, offset: int) -> tuple[str, list[Any]] | None:
        """The statement and its values; None: nothing can be found. Raises NoSuchField, InvalidMessage."""
        where, values = self._where(equals)
        asked = " & ".join(f"'{term.text}'{':*' if term.begun else ''}" for term in terms(text))
        if not asked:
            return None
        found = "_words @@ %s::tsquery"
        where = f"{where} and {found}" if where else f" where {found}"
        statement = (
            f"select {self._fields} from {self.table}{where} "  # noqa: S608
            "order by length(_words), _key limit %s offset %s"
        )
        return statement, [*values, asked, limit, offset]

    def count(self, equals: Mapping[str, object]) -> tuple[str, list[Any]]:
        where, values = self._where(equals)
        return f"select count(*) from {self.table}{where}", values  # noqa: S608

    def _where(self, equals: Mapping[str, object]) -> tuple[str, list[Any]]:
        conditions: list[str] = []
        values: list[Any] = []
        for name, wanted in equals.items():
            column = self.codec.column(name)
            if wanted is None:
                conditions.append(f"{_bound(_identifier(name))} is null")
                continue
            value, note = self.codec.parameter(column, wanted)
            conditions.append(f"{self._compared(column)} = %s::{_compared_as(column)}")
            values.append(value)
            if column.kind.noted_apart:
                conditions.append("(_exact ->> %s) is not distinct from %s")
                values += [name, note]
        return (f" where {' and '.join(conditions)}" if conditions else ""), values

    @staticmethod
    def _compared(column: Column) -> str:
        return column.kind.compared.format(_bound(_identifier(column.name)))


@lru_cache(maxsize=1024)
def _table(schema: str, name: str, generation: int, row_type: type[Row]) -> Table:
    return Table(schema, name, generation, row_type)


def table_for(schema: str, spec: TableSpec) -> Table:
    return _table(schema, spec.name, spec.generation, spec.row_type)
