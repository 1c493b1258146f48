"""Rows of read models as columns and back, compiled once for each row class.

str, int, float, bool, bytes, Decimal, dates, UUIDs and enums each have a readable column of their own; whatever else a
row holds is JSON text. What comes back equals what went in.
"""

import enum
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

from daicho.core.declared import declared_of
from daicho.core.errors import InvalidMessage, NoSuchField, WiringError
from daicho.core.messages import Row

__all__ = ["Column", "RowCodec", "codec_for"]

Convert: TypeAlias = Callable[[Any], Any]

_LARGEST = 2**63


class Column(msgspec.Struct, frozen=True):
    """One field. The declared type says what the text means and gives the column SQLite's right affinity."""

    name: str
    declared: str
    to_column: Convert | None = None
    """For values that are not None; None: as they are."""
    from_column: Convert | None = None
    nullable: bool = False


def _integer(value: int) -> int:
    if not -_LARGEST <= value < _LARGEST:
        raise InvalidMessage(
            f"{value} does not fit into a row",
            why="an integer column holds 64 bits",
            do="declare the field as Decimal or str",
        )
    return value


def _number(value: float) -> float:
    if value != value:  # only NaN differs from itself
        raise InvalidMessage("NaN does not fit into a row", why="SQLite would store NULL", do="use None")
    return value


def _moment(value: datetime) -> str:
    """Aware ones in UTC, so that text order is time order and equal moments are equal text."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    return value.isoformat(timespec="microseconds")


def _enum(kind: type[enum.Enum]) -> Column | None:
    values = [member.value for member in kind]
    if all(type(value) is str for value in values):
        return Column("", "TEXT ENUM", _value, kind)
    if all(type(value) is int and -_LARGEST <= value < _LARGEST for value in values):
        return Column("", "INTEGER ENUM", _value, kind)
    return None


def _value(member: enum.Enum) -> Any:
    return member.value


def _json(kind: Any) -> Column:
    encoder, decoder = msgspec.json.Encoder(order="deterministic"), msgspec.json.Decoder(kind)

    def to_column(value: Any) -> str:
        return encoder.encode(value).decode()

    return Column("", "TEXT JSON", to_column, decoder.decode)


_PLAIN: dict[type[inspect.Type], Column] = {
    inspect.StrType: Column("", "TEXT"),
    inspect.BytesType: Column("", "BLOB"),
    inspect.IntType: Column("", "INTEGER", _integer),
    inspect.FloatType: Column("", "REAL", _number, float),
    inspect.BoolType: Column("", "INTEGER BOOLEAN", int, bool),
    inspect.DecimalType: Column("", "TEXT DECIMAL", str, Decimal),
    inspect.DateTimeType: Column("", "TEXT DATETIME", _moment, datetime.fromisoformat),
    inspect.DateType: Column("", "TEXT DATE", date.isoformat, date.fromisoformat),
    inspect.TimeType: Column("", "TEXT TIME", time_of_day.isoformat, time_of_day.fromisoformat),
    inspect.UUIDType: Column("", "TEXT UUID", str, uuid.UUID),
}


def _bare(kind: inspect.Type) -> inspect.Type:
    """Without annotations, and without `| None`."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        others = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        if len(others) == 1:
            return _bare(others[0])
    return kind


def _literal(kind: inspect.LiteralType) -> Column | None:
    if all(type(value) is str for value in kind.values):
        return Column("", "TEXT")
    if all(type(value) is int for value in kind.values):
        return Column("", "INTEGER", _integer)
    return None


def _column(name: str, kind: inspect.Type, annotation: Any) -> Column:
    bare = _bare(kind)
    found = _PLAIN.get(type(bare))
    if isinstance(bare, inspect.EnumType):
        found = _enum(bare.cls)
    elif isinstance(bare, inspect.LiteralType):
        found = _literal(bare)
    found = found or _json(annotation)
    return msgspec.structs.replace(found, name=name, nullable=_nullable(kind))


def _nullable(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _nullable(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(_nullable(part) for part in kind.types)
    return isinstance(kind, (inspect.NoneType, inspect.AnyType))


class RowCodec:
    """Between rows of one class and tuples of column values, in the order of `columns`."""

    def __init__(self, row_type: type[Row]) -> None:
        self.row_type = row_type
        described = inspect.type_info(row_type)
        assert isinstance(described, inspect.StructType)
        annotations = {field.name: field.type for field in msgspec.structs.fields(row_type)}
        self.columns = tuple(_column(field.name, field.type, annotations[field.name]) for field in described.fields)
        self._names = tuple(column.name for column in self.columns)
        folded = {name.casefold() for name in self._names}
        own = {"_key", "_number", "_words"} if row_type.__search_fields__ else {"_key"}
        if len(folded) < len(self._names) or folded & own:
            raise WiringError(
                f"{row_type.__name__} cannot be a table",
                why=f"two of its fields differ only in case, or one is called {' or '.join(sorted(own))}",
                do="rename the field: SQLite does not tell such names apart",
            )
        self._by_name = {column.name: column for column in self.columns}
        self._to = tuple((n, c.to_column) for n, c in enumerate(self.columns) if c.to_column is not None)
        self._from = tuple((n, c.from_column) for n, c in enumerate(self.columns) if c.from_column is not None)
        self._values = _getter(self._names)
        self._declared = declared_of(row_type)

    def to_columns(self, rows: Mapping[str, Any]) -> list[list[Any]]:
        """Of each row its key and the values of its fields. Raises InvalidMessage if a value does not fit a column."""
        taken = [*map(self._values, rows.values())]
        self._declared.check_values(taken)
        columns: list[list[Any]] = []
        for key, fields in zip(rows, taken, strict=True):
            values = [*fields]
            for n, convert in self._to:
                value = values[n]
                if value is not None:
                    values[n] = convert(value)
            values.insert(0, key)
            columns.append(values)
        return columns

    def from_columns(self, values: Sequence[Any]) -> Any:
        if self._from:
            changed = list(values)
            for n, convert in self._from:
                value = changed[n]
                if value is not None:
                    changed[n] = convert(value)
            values = changed
        return self.row_type(**dict(zip(self._names, values, strict=True)))

    def column(self, name: str) -> Column:
        try:
            return self._by_name[name]
        except KeyError:
            raise NoSuchField(
                f"{self.row_type.__name__} has no field {name!r}",
                do=f"use one of {', '.join(self._names)}",
                field=name,
            ) from None

    def filters(self, equals: Mapping[str, object]) -> tuple[list[Column], list[Any]]:
        """The columns to compare and the values to compare them with. Raises NoSuchField, InvalidMessage."""
        columns = [self.column(name) for name in equals]
        return columns, [self._filter(column, value) for column, value in zip(columns, equals.values(), strict=True)]

    def _filter(self, column: Column, value: Any) -> Any:
        if value is None or column.to_column is None:
            return value
        try:
            return column.to_column(value)
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidMessage(
                f"{column.name} cannot equal {value!r}",
                why=f"a {type(value).__name__} is not what {self.row_type.__name__} declares",
                do="compare the field with a value of its own type",
                path=column.name,
            ) from error


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda row: tuple(getattr(row, name) for name in names)


@lru_cache(maxsize=512)
def codec_for(row_type: type[Row]) -> RowCodec:
    return RowCodec(row_type)
