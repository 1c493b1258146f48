"""The SQL of one generation of one read model, compiled once.

A table whose rows are searched also has `_words`, the words of each row, and `_number`, by which an FTS5 index knows
it. The index is written with the rows (triggers could do it, but older SQLites do not let them while the schema is not
trusted); rows whose words stay the same cost it nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import Any

import msgspec

from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.rows import Column, RowCodec, codec_for
from daicho.core.collecting import uncollected
from daicho.core.errors import InvalidMessage, WiringError
from daicho.core.messages import Row
from daicho.core.words import terms, words_of
from daicho.ports.view_store import Mark, TableSpec

__all__ = ["Table", "quoted", "table_for"]

_json = msgspec.json.Encoder().encode
_TOGETHER = 32  # rows in one statement
_MOST_MARKS = 999  # that every SQLite takes in one statement
_MANY = "select value from json_each(?)"
_OURS = ("_key", "_number", "_words")
"""Columns that are no fields of rows."""
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


def _public(columns: Iterable[str]) -> list[str]:
    return [name for name in columns if name not in _OURS]


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
        self.searched = row_type.__search_fields__
        self._index = quoted(f"daicho_words_{self.table_name}")
        every = ", ".join(["_key", *names])
        written = [*names, *(["_words"] if self.searched else [])]
        sets = ", ".join(f"{name} = excluded.{name}" for name in written)
        marks = ", ".join("?" * (len(written) + 1))
        if self.searched:
            declared += f", _words {self._of_words()}"
            keyed = f"_number integer primary key, _key text not null unique{declared}"
            self.create = [f"create table if not exists {self.table} ({keyed})", self._create_index()]
        else:
            self.create = [f"create table if not exists {self.table} (_key text primary key{declared}) without rowid"]
        self.create += [
            f"create index if not exists {quoted(f'{self.table_name}_{c.name}')} on {self.table} "
            f"({quoted(c.name)}{', _key' if self.searched else ''})"
            for c in map(self.codec.column, row_type.__index_fields__)
        ]
        self.drop = [f"drop table if exists {name}" for name in (self.table, self._index)]
        self.drop_view = f"drop view if exists {self.view}"
        into = f"insert into {self.table} ({', '.join(['_key', *written])}) values"
        conflict = f" on conflict (_key) do {f'update set {sets}' if sets else 'nothing'}"
        self._upsert = f"{into} ({marks}){conflict}"
        fits = (len(written) + 1) * _TOGETHER <= _MOST_MARKS
        self._upsert_several = f"{into} {', '.join([f'({marks})'] * _TOGETHER)}{conflict}" if fits else ""
        self._delete = f"delete from {self.table} where _key = ?"  # noqa: S608
        self._fields = fields or "_key"
        self._by_keys = f"select {every} from {self.table} where _key in ({_MANY})"  # noqa: S608
        self._words_by_keys = f"select _key, _number, _words from {self.table} where _key in ({_MANY})"  # noqa: S608
        self._unindex = f"insert into {self._index} ({self._index}, rowid, _words) values ('delete', ?, ?)"  # noqa: S608
        self._reindex = (
            f"insert into {self._index} (rowid, _words) "  # noqa: S608
            f"select _number, _words from {self.table} where _key = ?"
        )
        self._by_key = f"select {self._fields} from {self.table} where _key = ?"  # noqa: S608

    def shape(self) -> dict[str, str]:
        shape = {"_key": "TEXT", **{column.name: column.declared for column in self.codec.columns}}
        return {"_number": "INTEGER", **shape, "_words": self._of_words().upper()} if self.searched else shape

    def create_view(self, stored: Iterable[str]) -> str:
        """Of the columns that are `stored`: a generation that somebody goes back to may be of other rows."""
        fields = ", ".join(map(quoted, _public(stored))) or "_key"
        return f"create view {self.view} as select {fields} from {self.table}"  # noqa: S608

    def plain(self, stored: Iterable[str], after: str | None, limit: int) -> tuple[str, list[Any], list[str]]:
        """The statement, its values, and the names of its columns behind the key."""
        names = _public(stored)
        fields = ", ".join(["_key", *map(quoted, names)])
        where, bound = ("", [limit]) if after is None else (" where _key > ?", [after, limit])
        return f"select {fields} from {self.table}{where} order by _key limit ?", bound, names  # noqa: S608

    def _of_words(self) -> str:
        """The type of the column, which tells whose words it holds: not by name, in which SQLite might see an INT."""
        return f"TEXT WORDS_{blake2b(' '.join(self.searched).encode(), digest_size=6).hexdigest()}"

    def _create_index(self) -> str:
        """`ascii` parts our words at blanks only, and changes nothing else that is in them."""
        options = f"content={_text(self.table_name)}, content_rowid=_number, tokenize=ascii, detail=none, columnsize=0"
        return f"create virtual table {self._index} using fts5 (_words, {options})"

    def row(self, values: Sequence[Any]) -> Any:
        return self.codec.from_columns(values if self.codec.columns else ())

    def get(self, connection: Connection, key: str) -> Any | None:
        found = connection.execute(self._by_key, (key,))
        return self.row(found[0]) if found else None

    def get_many(self, connection: Connection, keys: Sequence[str]) -> dict[str, Any]:
        found = connection.execute(self._by_keys, (_json(list(keys)).decode(),))
        return {values[0]: self.row(values[1:]) for values in found}

    def write(self, connection: Connection, upserts: Mapping[str, Any], deletes: Sequence[str]) -> None:
        self.writing(upserts, deletes)(connection)

    def writing(self, upserts: Mapping[str, Any], deletes: Sequence[str]) -> Callable[[Connection], None]:
        """`write`, with what needs no connection done already; can be called again."""
        with uncollected():
            rows = self.codec.to_columns(upserts)
        if self.searched:
            words = {key: " ".join(words_of(row)) for key, row in upserts.items()}
            for values in rows:
                values.append(words[values[0]])
            return lambda connection: self._write_searched(connection, rows, words, deletes)

        def write(connection: Connection) -> None:
            many = len(rows) - len(rows) % _TOGETHER if self._upsert_several else 0
            if many:  # faster, and other threads are asked less often whether they go on
                flat = [[*chain.from_iterable(rows[n : n + _TOGETHER])] for n in range(0, many, _TOGETHER)]
                _bound(connection, self._upsert_several, flat)
            if len(rows) > many:
                _bound(connection, self._upsert, rows[many:])
            if deletes:
                _bound(connection, self._delete, [(key,) for key in deletes])

        return write

    def _write_searched(
        self, connection: Connection, rows: Sequence[list[Any]], words: Mapping[str, str], deletes: Sequence[str]
    ) -> None:
        keys = _json([*words, *deletes]).decode()
        gone_keys = set(deletes)
        words = {key: new for key, new in words.items() if key not in gone_keys}
        before = {key: (number, old) for key, number, old in connection.execute(self._words_by_keys, (keys,))}
        gone = [(number, old) for key, (number, old) in before.items() if words.get(key) != old]
        came = [(key,) for key, new in words.items() if key not in before or before[key][1] != new]
        connection.executemany(self._unindex, gone)
        _bound(connection, self._upsert, rows)
        _bound(connection, self._delete, [(key,) for key in deletes])
        connection.executemany(self._reindex, came)

    def find(
        self, equals: Mapping[str, object], order_by: str | None, descending: bool, limit: int | None, offset: int
    ) -> tuple[str, list[Any]]:
        """The statement and its values. Raises NoSuchField."""
        where, bound = self._where(equals)
        direction = " desc" if descending else ""
        order = f"_key{direction}"
        if order_by is not None:
            column = self.codec.column(order_by)
            order = f"{quoted(column.name)}{_by_value(column)}{direction}, _key{direction}"
        text = f"select {self._fields} from {self.table}{where} order by {order}"  # noqa: S608
        if limit is not None or offset:
            text += " limit ? offset ?"
            bound += [-1 if limit is None else limit, offset]
        return text, bound

    def page(
        self, equals: Mapping[str, object], order_by: str | None, descending: bool, limit: int, after: Mark | None
    ) -> tuple[str, list[Any]]:
        """The statement and its values; its rows begin with the key. Raises NoSuchField, InvalidMessage."""
        where, bound = self._where(equals)
        direction, beyond = (" desc", "<") if descending else ("", ">")
        order, behind, marks = f"_key{direction}", f"_key {beyond} ?", list[Any]()
        if order_by is not None:
            column = self.codec.column(order_by)
            name = f"{quoted(column.name)}{_by_value(column)}"
            order = f"{name}{direction}, _key{direction}"
            if after is not None and after.value is None:
                behind = f"({name} is null and {behind}{'' if descending else f' or {name} is not null'})"
            elif after is not None:
                nulls = f" or {name} is null" if descending and column.nullable else ""  # an OR keeps from the index
                behind = f"(({name}, _key) {beyond} (?, ?){nulls})"
                marks = self.codec.filters({order_by: after.value})[1]
        if after is not None:
            where = f"{where} and {behind}" if where else f" where {behind}"
            bound += [*marks, after.key]
        text = f"select _key, {self._fields} from {self.table}{where} order by {order} limit ?"  # noqa: S608
        return text, [*bound, limit]

    def search(self, text: str, equals: Mapping[str, object], limit: int, offset: int) -> tuple[str, list[Any]] | None:
        """The statement and its values; None: nothing can be found. Raises NoSuchField, InvalidMessage."""
        where, bound = self._where(equals)
        asked = " AND ".join(f'"{term.text}"{" *" if term.begun else ""}' for term in terms(text))
        if not asked:
            return None
        found = f"_number in (select rowid from {self._index} where {self._index} match ?)"  # noqa: S608
        where = f"{where} and {found}" if where else f" where {found}"
        how_many = "length(_words) - length(replace(_words, ' ', ''))"
        statement = f"select {self._fields} from {self.table}{where} order by {how_many}, _key limit ? offset ?"  # noqa: S608
        return statement, [*bound, asked, limit, offset]

    def count(self, equals: Mapping[str, object]) -> tuple[str, list[Any]]:
        where, bound = self._where(equals)
        return f"select count(*) from {self.table}{where}", bound  # noqa: S608

    def _where(self, equals: Mapping[str, object]) -> tuple[str, list[Any]]:
        columns, bound = self.codec.filters(equals)
        conditions = " and ".join(f"{quoted(column.name)} is ?{_by_value(column)}" for column in columns)
        return (f" where {conditions}" if conditions else ""), bound


def _text(value: str) -> str:
    """A literal."""
    return "'" + value.replace("'", "''") + "'"


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
