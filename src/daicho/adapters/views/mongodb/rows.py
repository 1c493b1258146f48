"""Rows of read models as documents and back, compiled once for each row class.

    {_id: "o-1", _position: 7, status: "paid", total: "19.90", "total:order": "3b1.199"}

A field that is None is left out. What MongoDB cannot order, or not keep exactly (decimals, microseconds, the fields of
nested structures in any order), has a sortable text beside it, in `field:order`, which queries go by. Decimals are
texts as they were written; moments are dates to the millisecond, exact in their `:order`; nested structures are
documents, with decimals and moments in them as texts. A deleted row is `{_id, _position, _deleted: time}`.
"""

import enum
import math
import operator
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias, cast

import msgspec
from bson.int64 import Int64
from msgspec import inspect

from daicho.adapters.views.mongodb.ordering import moment_of, sortable_decimal, sortable_moment, sortable_structure
from daicho.core.declared import declared_of
from daicho.core.errors import InvalidMessage, NoSuchField, WiringError
from daicho.core.messages import Row

__all__ = ["Column", "Document", "Kind", "RowCodec", "codec_for"]

Convert: TypeAlias = Callable[[Any], Any]
Document: TypeAlias = dict[str, Any]

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_UNFIT = (AttributeError, TypeError, ValueError, ArithmeticError)


class Kind(msgspec.Struct, frozen=True):
    """How values of one kind are kept and compared. Functions are for values that are not None."""

    type: str
    store: Convert
    load: Convert | None = None
    """From what is stored; or from what stands beside it, if it is `exact_beside`."""
    order: Convert | None = None
    """What stands beside it, to compare with; otherwise it is compared itself."""
    exact_beside: bool = False


class Column(msgspec.Struct, frozen=True):
    name: str
    kind: Kind

    @property
    def beside(self) -> str:
        return f"{self.name}:order"

    @property
    def compared(self) -> str:
        """The field of the document that queries go by."""
        return self.name if self.kind.order is None else self.beside


def _of(kind: type, convert: Convert) -> Convert:
    def checked(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"not a {kind.__name__}")
        return convert(value)

    return checked


def _text(value: Any) -> str:
    return str.__str__(value)  # also of an enum's member


def _integer(value: Any) -> int:
    number = operator.index(value)
    if not _SMALLEST <= number <= _LARGEST:
        raise ValueError("MongoDB's integers hold 64 bits")
    return number


def _number(value: Any) -> float:
    if math.isnan(value):
        raise ValueError("NaN equals nothing, not even itself: use None")
    return float(value)


def _yes(value: Any) -> bool:
    return bool(operator.index(value))


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _date(value: datetime) -> datetime:
    """As MongoDB cuts it off; naive ones count as UTC."""
    return value.astimezone(UTC) if value.utcoffset() is not None else value.replace(tzinfo=UTC)


def _hour(value: time_of_day) -> str:
    return value.isoformat(timespec="microseconds")


def _value(member: Any) -> Any:
    return member.value


def _escaped(key: str) -> str:
    """Names of fields have no NUL, and better no dot, no dollar in front, and some length."""
    if not key:
        return "%"
    if not any(character in key for character in "%.$\0"):
        return key
    return key.replace("%", "%25").replace(".", "%2E").replace("$", "%24").replace("\0", "%00")


def _unescaped(key: str) -> str:
    if "%" not in key:
        return key
    if key == "%":
        return ""
    return key.replace("%00", "\0").replace("%24", "$").replace("%2E", ".").replace("%25", "%")


def _nested(value: Any) -> Any:
    if isinstance(value, dict):
        return {_escaped(key): _nested(each) for key, each in cast(Document, value).items()}
    if isinstance(value, list | tuple):
        return [_nested(each) for each in cast("list[Any]", value)]
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        raise ValueError("MongoDB's integers hold 64 bits")
    return value


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {_unescaped(key): _flat(each) for key, each in cast(Document, value).items()}
    if isinstance(value, list | tuple):
        return [_flat(each) for each in cast("list[Any]", value)]
    return int(value) if isinstance(value, Int64) else value


def _structure(annotation: Any) -> Kind:
    def store(value: Any) -> Any:
        return _nested(msgspec.to_builtins(value, builtin_types=(bytes,), str_keys=True))

    def load(stored: Any) -> Any:
        return msgspec.convert(_flat(stored), annotation, builtin_types=(bytes,), str_keys=True)

    return Kind("structure", store, load, sortable_structure)


_PLAIN: dict[type[inspect.Type], Kind] = {
    inspect.StrType: Kind("text", _text),
    inspect.BytesType: Kind("bytes", _of(bytes, bytes), bytes, bytes.hex),
    inspect.IntType: Kind("integer", _integer, int),
    inspect.FloatType: Kind("number", _number),
    inspect.BoolType: Kind("boolean", _yes),
    inspect.DecimalType: Kind("decimal", lambda value: str(_decimal(value)), Decimal,
                              lambda value: sortable_decimal(_decimal(value))),
    inspect.DateTimeType: Kind("moment", _of(datetime, _date), moment_of, _of(datetime, sortable_moment), True),
    inspect.DateType: Kind("date", _of(date, date.isoformat), date.fromisoformat),
    inspect.TimeType: Kind("time", _of(time_of_day, _hour), time_of_day.fromisoformat),
    inspect.UUIDType: Kind("uuid", _of(uuid.UUID, str), uuid.UUID),
}  # fmt: skip


def _enum(kind: type[enum.Enum]) -> Kind | None:
    values = [member.value for member in kind]
    if all(type(value) is str for value in values):
        return Kind("text", _value, kind)
    if all(type(value) is int and _SMALLEST <= value <= _LARGEST for value in values):
        return Kind("integer", _value, kind)
    return None


def _literal(kind: inspect.LiteralType) -> Kind | None:
    if all(type(value) is str for value in kind.values):
        return _PLAIN[inspect.StrType]
    if all(type(value) is int for value in kind.values):
        return _PLAIN[inspect.IntType]
    return None


def _bare(kind: inspect.Type) -> inspect.Type:
    """Without annotations, and without `| None`."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        others = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        if len(others) == 1:
            return _bare(others[0])
    return kind


def _kind(described: inspect.Type, annotation: Any) -> Kind:
    bare = _bare(described)
    found = _PLAIN.get(type(bare))
    if isinstance(bare, inspect.EnumType):
        found = _enum(bare.cls)
    elif isinstance(bare, inspect.LiteralType):
        found = _literal(bare)
    return found or _structure(annotation)


class RowCodec:
    """Between rows of one class and the documents of their collection."""

    def __init__(self, row_type: type[Row]) -> None:
        self.row_type = row_type
        self.check = declared_of(row_type).check
        described = inspect.type_info(row_type)
        assert isinstance(described, inspect.StructType)
        annotations = {field.name: field.type for field in msgspec.structs.fields(row_type)}
        columns = [Column(field.name, _kind(field.type, annotations[field.name])) for field in described.fields]
        self._columns = {column.name: column for column in columns}
        for name in self._columns:
            if name in {"_id", "_position", "_deleted"} or not name.isidentifier():
                raise WiringError(
                    f"{row_type.__name__} cannot be a collection",
                    why=f"{name!r} is a field of the store's own, or not a name",
                    do="rename the field",
                    field=name,
                )
        self._stored = tuple((c.name, c.beside, c.kind.store, c.kind.order) for c in columns)
        self._loaded = tuple((c.name, c.beside if c.kind.exact_beside else c.name, c.kind.load) for c in columns)

    def shape(self) -> dict[str, str]:
        return {name: column.kind.type for name, column in self._columns.items()}

    def document(self, key: str, position: int, row: Any) -> Document:
        """Raises InvalidMessage if a value is not of the declared type, or cannot be kept."""
        document: Document = {"_id": key, "_position": position}
        for name, beside, store, order in self._stored:
            value = getattr(row, name)
            if value is not None:
                try:
                    document[name] = store(value)
                    if order is not None:
                        document[beside] = order(value)
                except _UNFIT as error:
                    raise self._unfit(name, value, "be kept", error) from error
        return document

    def row(self, document: Mapping[str, Any]) -> Any:
        fields: dict[str, Any] = {}
        for name, where, load in self._loaded:
            value = document.get(where)
            fields[name] = load(value) if load is not None and value is not None else value
        return self.row_type(**fields)

    def column(self, name: str) -> Column:
        try:
            return self._columns[name]
        except KeyError:
            raise NoSuchField(
                f"{self.row_type.__name__} has no field {name!r}",
                do=f"use one of {', '.join(self._columns)}",
                field=name,
            ) from None

    def parameter(self, column: Column, value: Any) -> Any:
        """What to compare the column's `compared` field with. Raises InvalidMessage."""
        try:
            return (column.kind.order or column.kind.store)(value)
        except _UNFIT as error:
            raise self._unfit(column.name, value, "be compared", error) from error

    def _unfit(self, name: str, value: Any, what: str, error: Exception) -> InvalidMessage:
        return InvalidMessage(
            f"{name} = {value!r:.200} cannot {what}",
            why=f"{error} ({self.row_type.__name__}.{name} is a {self._columns[name].kind.type})",
            do="check the value against its declared type",
            path=name,
        )


@lru_cache(maxsize=512)
def codec_for(row_type: type[Row]) -> RowCodec:
    return RowCodec(row_type)
