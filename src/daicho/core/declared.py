"""What the fields of a row are declared to hold, compiled once for each row class.

Nobody checks a row when it is made. Stores do before they keep it, all of them by the same rule, so that none takes for
its own reasons what another refuses, and nothing is first found wrong by who reads it:

- a field holds its declared type, or a subclass that is stored the same (a `StrEnum` in a str);
- for a float an int will do that a float can be; True is no number, and a datetime is no date;
- an int has 64 bits; a float is a number;
- whatever is nested, or has a condition (`Literal`, `Meta(ge=0)`), comes back from its encoding as the declared type.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from math import isnan, nan
from operator import attrgetter
from types import NoneType
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import inspect

from daicho.core.errors import InvalidMessage

__all__ = ["Declared", "declared_of", "may_hold_float"]

Check: TypeAlias = Callable[[Any], object]
"""Raises what is in `_UNFIT`."""

_UNFIT = (msgspec.MsgspecError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1

_pack, _write = msgspec.msgpack.encode, msgspec.json.encode

_PLAIN: dict[type[inspect.Type], type] = {
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.BoolType: bool,
    inspect.DecimalType: Decimal,
    inspect.DateTimeType: datetime,
    inspect.DateType: date,
    inspect.TimeType: time,
    inspect.UUIDType: uuid.UUID,
}


class _Field:
    """One field. Columns of values are looked at as a whole, which costs next to nothing; values by themselves only if
    that leaves a doubt."""

    def __init__(self, described: inspect.Field, annotation: Any, owner: str) -> None:
        kind = _bare(described.type)
        self.name, self._owner = described.name, owner
        self._may_be_none = _nullable(described.type)
        self._declared = _class_of(kind)
        """None: only its encoding can tell."""
        self._classes = {self._declared, NoneType} if self._may_be_none else {self._declared}
        self._again = _round_trip(annotation)
        self._check = _check_of(kind, self._declared, self._again, annotation)

    def check(self, column: Sequence[Any]) -> None:
        """Raises InvalidMessage."""
        if self._declared is None or not self._classes.issuperset(map(type, column)):
            for value in column:
                self._check_class(value)
        present = [value for value in column if value is not None] if self._may_be_none else column
        if self._check is not None:
            for value in present:
                try:
                    self._check(value)
                except _UNFIT as error:
                    raise self._refusal(value, str(error)) from error
        if self._declared is int and present and not (min(present) >= _SMALLEST and max(present) <= _LARGEST):
            unfit = next(value for value in present if not _SMALLEST <= value <= _LARGEST)
            raise self._refusal(unfit, "an integer has 64 bits: declare the field as Decimal or str")
        if self._declared is float and any(map(isnan, present)):
            raise self._refusal(nan, "NaN equals nothing, not even itself: use None")

    def _check_class(self, value: Any) -> None:
        declared = self._declared
        if value is None:
            if not self._may_be_none:
                raise self._refusal(value, "it may not be None")
        elif declared is not None and type(value) is not declared:
            if not isinstance(value, (int, float) if declared is float else declared):
                raise self._refusal(value, f"expected {declared.__name__}, got {type(value).__name__}")
            self._check_same(value)

    def _check_same(self, value: Any) -> None:
        """Whether a value of a subclass is stored as what it is."""
        try:
            is_same = bool(self._again(value) == value)
        except _UNFIT as error:
            raise self._refusal(value, str(error)) from error
        if not is_same:
            raise self._refusal(value, "another value would come back")

    def _refusal(self, value: Any, why: str) -> InvalidMessage:
        return InvalidMessage(
            f"{value!r:.200} does not fit into the field {self.name!r} of {self._owner}",
            why=why,
            do="check the row's fields against their declared types",
            path=self.name,
        )


class Declared:
    """Of one row class."""

    def __init__(self, row_type: type[msgspec.Struct]) -> None:
        described = inspect.type_info(row_type)
        assert isinstance(described, inspect.StructType)
        annotations = [field.type for field in msgspec.structs.fields(row_type)]
        self._fields = [
            _Field(field, annotation, row_type.__name__)
            for field, annotation in zip(described.fields, annotations, strict=True)
        ]
        names = [field.name for field in self._fields]
        self._values: Callable[[Any], Any] = (
            attrgetter(*names) if len(names) > 1 else lambda row: tuple(getattr(row, name) for name in names)
        )

    def check(self, rows: Iterable[Any]) -> None:
        """Raises InvalidMessage for the first field that does not hold what it should."""
        self.check_values([*map(self._values, rows)])

    def check_values(self, rows: Sequence[Sequence[Any]]) -> None:
        """The same for the values of all fields of each row, in order."""
        for field, column in zip(self._fields, zip(*rows, strict=True), strict=False):
            field.check(column)


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


def _is_text_literal(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.LiteralType) and all(type(value) is str for value in kind.values)


def _class_of(kind: inspect.Type) -> type | None:
    if isinstance(kind, inspect.EnumType):
        return kind.cls
    return str if _is_text_literal(kind) else _PLAIN.get(type(kind))


def _round_trip(annotation: Any) -> Callable[[Any], Any]:
    unpack = msgspec.msgpack.Decoder(annotation).decode
    return lambda value: unpack(_pack(value))


def _check_of(
    kind: inspect.Type, declared: type | None, round_trip: Callable[[Any], Any], annotation: Any
) -> Check | None:
    """What else to look at if the class is right."""
    if isinstance(kind, inspect.LiteralType) and declared is str:
        return _among(frozenset(kind.values))
    if declared is None:
        return _nested(kind, round_trip, annotation)
    has_conditions = any(
        getattr(kind, name) is not None for name in kind.__struct_fields__ if not isinstance(kind, inspect.EnumType)
    )
    return round_trip if has_conditions else None


def _among(values: frozenset[Any]) -> Check:
    def check(value: object) -> None:
        if value not in values:
            raise ValueError(f"expected one of {', '.join(sorted(map(repr, values)))}")

    return check


def _nested(kind: inspect.Type, round_trip: Callable[[Any], Any], annotation: Any) -> Check:
    """Some stores keep it as JSON, which makes null of infinity."""
    if not may_hold_float(kind):
        return round_trip
    read = msgspec.json.Decoder(annotation).decode

    def check(value: object) -> None:
        if read(_write(value)) != round_trip(value):
            raise ValueError("JSON has no way to write one of the values: perhaps a number that is not finite")

    return check


def may_hold_float(kind: object, passed: set[int] | None = None) -> bool:
    """Whether a value of this type, or anything in it, may be a float."""
    passed = set() if passed is None else passed
    if isinstance(kind, (tuple, list)):
        return any(may_hold_float(part, passed) for part in cast("Iterable[object]", kind))
    if isinstance(kind, (inspect.FloatType, inspect.AnyType)):
        return True
    if not isinstance(kind, (inspect.Type, inspect.Field)) or id(kind) in passed:
        return False
    passed.add(id(kind))
    return any(may_hold_float(getattr(kind, name), passed) for name in kind.__struct_fields__)


@lru_cache(maxsize=512)
def declared_of(row_type: type[msgspec.Struct]) -> Declared:
    return Declared(row_type)
