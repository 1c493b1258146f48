"""One generation of one read model: what its keys are called, and its rows as JSON and back.

    {daicho}:shapes:orders            hash: generation -> fields and indexes
    {daicho}:live                     hash: name -> generation
    {daicho}:place:projection:orders  hash: token, position
    {daicho}:table:orders:2:rows      hash: key -> the row as JSON
    {daicho}:table:orders:2:places    hash: key -> position, and the row's texts in the indexes
    {daicho}:table:orders:2:keys      sorted set: keys
    {daicho}:table:orders:2:gone      sorted set: keys of deleted rows, by time
    {daicho}:table:orders:2:by:status sorted set: value NUL key

Rows are in one hash, not each in a key of its own: measured with Redis 7.0 and rows of 120 bytes, that takes 180 bytes
a row instead of 240, many are written by one command, and the table is dropped by one. Braces are what a cluster
places keys by: everything of a store is in one slot, so that scripts may touch a table and a position together.
"""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import inspect

from daicho.adapters.views.redis.ordering import has_order, sortable
from daicho.core.declared import declared_of, may_hold_float
from daicho.core.errors import InvalidMessage, NoSuchField, StoreFailed, WiringError
from daicho.core.messages import Row
from daicho.ports.view_store import TableSpec, ViewChange

__all__ = ["Table", "live_key", "place_key", "shapes_key", "table_for"]

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_UNFIT = (AttributeError, TypeError, ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError)
_MOST_ROWS, _MOST_BYTES = 500, 1_000_000
"""In one script, which nothing else on the server runs beside: 500 rows with two indexes take it about 7 ms."""


def live_key(prefix: str) -> str:
    return f"{{{prefix}}}:live"


def shapes_key(prefix: str, name: str) -> str:
    return f"{{{prefix}}}:shapes:{name}"


def place_key(prefix: str, processor: str) -> str:
    return f"{{{prefix}}}:place:{processor}"


class Table:
    def __init__(self, prefix: str, name: str, generation: int, row_type: type[Row]) -> None:
        if not name:
            raise WiringError("a projection cannot be called ''", do="give the projection another name", name=name)
        self.name, self.generation, self.row_type = name, generation, row_type
        described = inspect.type_info(row_type)
        assert isinstance(described, inspect.StructType)
        self._ordered = {field.name for field in described.fields if has_order(field.type)}
        self.indexed = tuple(name for name in row_type.__index_fields__ if name in self._ordered)
        """Fields that have an index. Lists, dicts and structs have no order, hence none."""
        self._floats = tuple(field.name for field in described.fields if may_hold_float(field.type))
        self._decode = msgspec.json.Decoder(row_type).decode
        self.check = declared_of(row_type).check
        self.fields: tuple[str, ...] = row_type.__struct_fields__
        self._named = {field.name: field.encode_name for field in described.fields}
        base = f"{{{prefix}}}:table:{name.replace('%', '%25').replace(':', '%3A')}:{generation}"
        self.shapes, self.live = shapes_key(prefix, name), live_key(prefix)
        self.rows, self.places, self.keys, self.gone = (f"{base}:{each}" for each in ("rows", "places", "keys", "gone"))
        self.indexes = {field: f"{base}:by:{field}" for field in self.indexed}
        self._base = base

    def contents(self, indexed: Iterable[str]) -> list[str]:
        """All keys of the table, as it was made with these indexes."""
        return [self.rows, self.places, self.keys, self.gone, *(f"{self._base}:by:{field}" for field in indexed)]

    def shape(self) -> dict[str, Any]:
        types = {self._named[field.name]: str(field.type) for field in msgspec.structs.fields(self.row_type)}
        return {"fields": types, "indexed": list(self.indexed)}

    def check_fields(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._named:
                raise NoSuchField(
                    f"rows of {self.name!r} have no field {name!r}",
                    do=f"use one of {', '.join(self.fields)}",
                    field=name,
                )

    def place_in_order(self, field: str, value: object) -> tuple[bool, Any]:
        """What to compare to sort by the field."""
        return (value is not None, sortable(value) if field in self._ordered else value)

    def row(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except msgspec.MsgspecError as error:
            raise StoreFailed(
                f"a row of {self.name!r} is not a {self.row_type.__name__}",
                why=f"{error}: {data[:200]!r}",
                do="rebuild the projection into a new generation",
                table=self.rows,
            ) from error

    def pieces(self, change: ViewChange) -> Iterator[bytes]:
        """The rows of the change, ready for one script each; at least one piece. What is both upserted and deleted
        will be deleted. Raises InvalidMessage and StoreFailed."""
        self.check(change.upserts.values())
        gone = dict.fromkeys(change.deletes)
        keys: list[str] = []
        places: list[str] = []
        rows: list[str] = []
        size = 0
        for key, row in [*((key, row) for key, row in change.upserts.items() if key not in gone), *gone.items()]:
            try:
                seen = change.seen[key]
            except KeyError:
                raise StoreFailed(
                    f"row {key!r} of {self.name!r} came without its place",
                    why="a row in Redis takes only what is newer than itself, and must be told how new a change is",
                    do="give `seen` for every key of the change",
                    key=key,
                ) from None
            text, place = ("", f"-{seen:d}") if row is None else self._encoded(key, row, seen)
            if len(keys) == _MOST_ROWS or (keys and size + len(text) > _MOST_BYTES):
                yield _packed(keys, places, rows)
                keys, places, rows, size = [], [], [], 0
            keys.append(key)
            places.append(place)
            rows.append(text)
            size += len(text) + len(place)
        yield _packed(keys, places, rows)

    def _encoded(self, key: str, row: Any, seen: int) -> tuple[str, str]:
        """The row as JSON, and what to note as its place."""
        try:
            for field in self._floats:
                if not _is_finite(getattr(row, field)):
                    raise ValueError(f"{field}: JSON has no infinity and no NaN")
            text = _encode(row).decode()
            return text, "\0".join([f"{seen:d}", *(sortable(getattr(row, field)) for field in self.indexed)])
        except _UNFIT as error:
            raise InvalidMessage(
                f"row {key!r} of {self.name!r} cannot be kept in Redis",
                why=str(error),
                do="give its fields values of their declared types, which JSON can hold",
                key=key,
            ) from error


def _packed(*columns: list[str]) -> bytes:
    try:
        return _pack(columns)
    except UnicodeEncodeError as error:
        raise InvalidMessage("a key cannot be kept in Redis", why=str(error), do="use keys that are Unicode") from error


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, cast("dict[str, object]", value).values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_finite, cast("Iterable[Any]", value)))
    if isinstance(value, msgspec.Struct):
        return all(_is_finite(getattr(value, name)) for name in value.__struct_fields__)
    return True


@lru_cache(maxsize=1024)
def _table(prefix: str, name: str, generation: int, row_type: type[Row]) -> Table:
    return Table(prefix, name, generation, row_type)


def table_for(prefix: str, spec: TableSpec) -> Table:
    return _table(prefix, spec.name, spec.generation, spec.row_type)
