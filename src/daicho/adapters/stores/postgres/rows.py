"""Rows of read models as columns and back, compiled once for each row class.

Rows go in as one JSON text, which msgspec writes and the server takes apart, and come back as columns in binary. Each
kind of field has the PostgreSQL type that people expect; whatever has none is JSON. What a column cannot give back as
it went in (a naive datetime, the exponent of Decimal("1E+3")) is noted in a further column, `_exact`.
"""

import enum
import math
import operator
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

from daicho.core.declared import declared_of
from daicho.core.errors import InvalidMessage, NoSuchField, WiringError
from daicho.core.messages import Row
from daicho.core.words import words_of

__all__ = ["Column", "Kind", "RowCodec", "codec_for"]

Convert: TypeAlias = Callable[[Any], Any]
Fixed: TypeAlias = tuple[Any, str | None]
Fix: TypeAlias = Callable[[Any], Fixed | None]

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_UNFIT = (AttributeError, TypeError, ValueError, ArithmeticError)
_RESERVED = {"_key", "_exact", "_words", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}

_encode = msgspec.json.Encoder(order="deterministic").encode


class Kind(msgspec.Struct, frozen=True):
    """How values of one kind are stored and compared. Functions are for values that are not None."""

    type: str
    """As PostgreSQL's `format_type` spells it."""
    parameter: Convert
    """A value to compare with, as a parameter."""
    from_column: Convert | None = None
    fix: Fix | None = None
    """What to send instead of a value, and the text to note beside it; None if it goes as it is."""
    from_note: Convert | None = None
    """The value, from that text."""
    noted_apart: bool = False
    """Whether values with different notes are different values."""
    sent: str = ""
    """The type in which the server reads it from the JSON text, if it is another one."""
    stored: str = "{}"
    """From what was sent to what is stored."""
    compared: str = "{}"
    """From what is stored to what is compared, ordered and indexed; the parameter is of the same type."""
    comment: str = ""
    """On the column, if the type alone does not tell the kind."""


class Column(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    nullable: bool = False

    @property
    def shape(self) -> str:
        return f"{self.kind.type} {self.kind.comment}".rstrip()


def _of(*kinds: type) -> Convert:
    def parameter(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise TypeError(f"not a {kinds[0].__name__}")
        return value

    return parameter


def _text(value: Any) -> str:
    return str.__str__(value)  # also of an enum's member


def _integer(value: Any) -> int:
    number = operator.index(value)
    if not _SMALLEST <= number <= _LARGEST:
        raise ValueError("an integer column holds 64 bits")
    return number


def _number(value: Any) -> float:
    if math.isnan(value):
        raise ValueError("NaN equals nothing, not even itself: use None")
    return float(value)


def _yes(value: Any) -> bool:
    return bool(operator.index(value))


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _value(member: Any) -> Any:
    return member.value


def _fix_number(value: float) -> Fixed | None:
    if math.isfinite(value):
        return None
    return str(_number(value)), None  # JSON has no infinity


def _fix_decimal(value: Decimal) -> Fixed | None:
    text = str(value)
    if "E" in text or (text[0] == "-" and not value):
        return text, text
    return None


def _fix_moment(value: datetime) -> Fixed | None:
    """Aware ones in UTC, and also naive ones, so that they have an order."""
    if value.tzinfo is UTC:
        return None
    if value.utcoffset() is None:
        return value.replace(tzinfo=UTC), value.replace(tzinfo=None).isoformat()
    return value.astimezone(UTC), None


def _fix_hour(value: time_of_day) -> Fixed | None:
    if value.tzinfo is None:
        return None
    return value.replace(tzinfo=None), value.isoformat()


def _in_utc(value: datetime) -> datetime:
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _enum(kind: type[enum.Enum]) -> Kind | None:
    values = [member.value for member in kind]
    if all(type(value) is str for value in values):
        return Kind("text", _value, kind, comment="enum")
    if all(type(value) is int and _SMALLEST <= value <= _LARGEST for value in values):
        return Kind("bigint", _value, kind, comment="enum")
    return None


def _json(annotation: Any) -> Kind:
    def parameter(value: Any) -> str:
        return _encode(value).decode()

    return Kind("json", parameter, msgspec.json.Decoder(annotation).decode, compared="({}::jsonb)")


_PLAIN: dict[type[inspect.Type], Kind] = {
    inspect.StrType: Kind("text", _text),
    inspect.BytesType: Kind("bytea", _of(bytes), sent="text", stored="decode({}, 'base64')"),
    inspect.IntType: Kind("bigint", _integer),
    inspect.FloatType: Kind("double precision", _number, fix=_fix_number),
    inspect.BoolType: Kind("boolean", _yes),
    inspect.DecimalType: Kind("numeric", _decimal, fix=_fix_decimal, from_note=Decimal),
    inspect.DateTimeType: Kind(
        "timestamp with time zone",
        _of(datetime),
        _in_utc,
        fix=_fix_moment,
        from_note=datetime.fromisoformat,
        noted_apart=True,
    ),
    inspect.DateType: Kind("date", _of(date)),
    inspect.TimeType: Kind(
        "time without time zone",
        _of(time_of_day),
        fix=_fix_hour,
        from_note=time_of_day.fromisoformat,
        noted_apart=True,
    ),
    inspect.UUIDType: Kind("uuid", _of(uuid.UUID)),
}


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


def _nullable(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _nullable(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(_nullable(part) for part in kind.types)
    return isinstance(kind, (inspect.NoneType, inspect.AnyType))


def _kind(described: inspect.Type, annotation: Any) -> Kind:
    bare = _bare(described)
    found = _PLAIN.get(type(bare))
    if isinstance(bare, inspect.EnumType):
        found = _enum(bare.cls)
    elif isinstance(bare, inspect.LiteralType):
        found = _literal(bare)
    return found or _json(annotation)


class RowCodec:
    """Between rows of one class and the columns of their table."""

    def __init__(self, row_type: type[Row]) -> None:
        self.row_type = row_type
        described = inspect.type_info(row_type)
        assert isinstance(described, inspect.StructType)
        annotations = {field.name: field.type for field in msgspec.structs.fields(row_type)}
        self.columns = tuple(
            Column(field.name, _kind(field.type, annotations[field.name]), _nullable(field.type))
            for field in described.fields
        )
        self._check = declared_of(row_type).check
        self._names = tuple(column.name for column in self.columns)
        _check_names(row_type, self._names)
        self._by_name = {column.name: column for column in self.columns}
        self._fixes = tuple((c.name, c.kind.fix) for c in self.columns if c.kind.fix is not None)
        self._from = tuple((n, c.kind.from_column) for n, c in enumerate(self.columns) if c.kind.from_column)
        self.has_notes = not self.columns or any(column.kind.from_note for column in self.columns)
        """Whether the table has a column `_exact`, the last one."""
        config = row_type.__struct_config__
        renamed = any(field.name != field.encode_name for field in described.fields)
        self._searched = bool(row_type.__search_fields__)
        self._as_it_is = not (self._searched or config.omit_defaults or config.array_like or config.tag or renamed)

    def encoded(self, rows: Mapping[str, Any]) -> tuple[str, str]:
        """Keys and rows as JSON arrays. Raises InvalidMessage if a value fits no column; the server may, too."""
        values = list(rows.values())
        self._check(values)
        try:
            sent = values if self._as_it_is and not self._fixes else [self._sent(row) for row in values]
            return _encode(list(rows)).decode(), _encode(sent).decode()
        except _UNFIT as error:
            raise InvalidMessage(
                "a row holds a value that no column can hold",
                why=str(error),
                do="check the row's fields against their declared types",
            ) from error

    def _sent(self, row: Any) -> Any:
        """The row, or a dict with what is to be stored instead of it."""
        changed: dict[str, Any] | None = None
        for name, fix in self._fixes:
            value = getattr(row, name)
            if value is None or (fixed := fix(value)) is None:
                continue
            if changed is None:
                changed = msgspec.structs.asdict(row)
            changed[name], note = fixed
            if note is not None:
                changed.setdefault("_exact", {})[name] = note
        if changed is None:
            if self._as_it_is:
                return row
            changed = msgspec.structs.asdict(row)
        if self._searched:
            changed["_words"] = words_of(row)
        return changed

    def from_columns(self, values: Sequence[Any]) -> Any:
        """The row; `values` are its columns, and `_exact` if there is one."""
        fields = dict(zip(self._names, values, strict=False))
        for n, convert in self._from:
            value = values[n]
            if value is not None:
                fields[self._names[n]] = convert(value)
        if self.has_notes and values[-1] is not None:
            for name, note in msgspec.json.decode(values[-1], type=dict[str, str]).items():
                restore = self._by_name[name].kind.from_note
                assert restore is not None
                fields[name] = restore(note)
        return self.row_type(**fields)

    def column(self, name: str) -> Column:
        try:
            return self._by_name[name]
        except KeyError:
            raise NoSuchField(
                f"{self.row_type.__name__} has no field {name!r}",
                do=f"use one of {', '.join(self._names)}",
                field=name,
            ) from None

    def parameter(self, column: Column, value: Any) -> Fixed:
        """A value (not None) to compare the column with, and its note. Raises InvalidMessage."""
        try:
            fixed = column.kind.fix(value) if column.kind.noted_apart and column.kind.fix else None
            value, note = fixed or (value, None)
            return column.kind.parameter(value), note
        except _UNFIT as error:
            raise InvalidMessage(
                f"{column.name} cannot equal {value!r}",
                why=f"a {type(value).__name__} is not what {self.row_type.__name__} declares",
                do="compare the field with a value of its own type",
                path=column.name,
            ) from error


def _check_names(row_type: type[Row], names: Sequence[str]) -> None:
    for name in names:
        if name in _RESERVED or len(name.encode()) > 63:
            raise WiringError(
                f"{row_type.__name__} cannot be a table",
                why=f"{name} is a name of the store's own, or longer than 63 bytes",
                do="rename the field",
                field=name,
            )


@lru_cache(maxsize=512)
def codec_for(row_type: type[Row]) -> RowCodec:
    return RowCodec(row_type)
