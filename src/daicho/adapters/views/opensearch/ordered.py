"""Values as what the engine compares: equal values are equal there, and in the same order.

Text is compared by the engine byte for byte in UTF-8, which is the order of code points. It takes 32,766 bytes of it;
longer text is cut and ends in a fingerprint, so that it equals nothing else. What has no type of its own that keeps
every digit is such text: decimals, points in time.
"""

import enum
import hashlib
import math
import operator
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

__all__ = ["Kind", "fitting", "kind_of"]

Convert: TypeAlias = Callable[[Any], Any]

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_LONGEST = 8_000
"""Characters, of at most four bytes each."""

_deterministic = msgspec.json.Encoder(order="deterministic").encode


class Kind(msgspec.Struct, frozen=True):
    """How values of one kind are compared."""

    name: str
    """Part of the table's shape."""
    type: str
    """The engine's own."""
    compared: Convert
    """What stands for a value that is not None. Raises AttributeError, TypeError, ValueError or ArithmeticError."""
    has_order: bool = True

    @property
    def lowest(self) -> Any:
        """What the engine takes for the place of None, which is before everything."""
        return {"keyword": None, "double": "-Infinity"}.get(self.type, _SMALLEST)


def fitting(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return text[:_LONGEST] + hashlib.sha256(text.encode()).hexdigest()


def _text(value: Any) -> str:
    return fitting(str.__str__(value))  # also of an enum's member


def _integer(value: Any) -> int:
    number = operator.index(value)
    if not _SMALLEST <= number <= _LARGEST:
        raise ValueError(f"{value} is no integer of 64 bits: declare the field as Decimal or str")
    return number


def _number(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no finite number: use None")
    return float(value) + 0.0  # -0.0 equals 0.0


def _yes(value: Any) -> str:
    """The engine's own booleans lose their order where some are None."""
    return "true" if operator.index(value) else "false"


def _decimal(value: Any) -> str:
    """Sign, place of the first digit, digits: each so that text order is the order of the values."""
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if number.is_nan():
        raise ValueError("NaN equals nothing, not even itself: use None")
    if number.is_infinite():
        return "0" if number < 0 else "4"
    if not number:
        return "2"
    sign, digits, _ = number.as_tuple()
    text, place = "".join(map(str, digits)).strip("0"), number.adjusted() + _MIDDLE
    if not sign:
        return fitting(f"3{place:019}{text}")
    # of negative numbers the shorter is the larger, if the other begins like it: it ends behind every digit
    return fitting(f"1{2 * _MIDDLE - place:019}{text.translate(_COMPLEMENT)}~")


_MIDDLE = 2 * 10**18
"""More than the place of any Decimal's first digit, in either direction."""
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def _moment(value: Any) -> str:
    """Aware ones in UTC; naive ones equal none of them."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    if not isinstance(value, datetime):
        raise TypeError("not a datetime")
    return value.isoformat(timespec="microseconds")


def _of(kind: type, convert: Convert) -> Convert:
    def compared(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"not a {kind.__name__}")
        return convert(value)

    return compared


def _hour(value: time_of_day) -> str:
    return value.isoformat(timespec="microseconds")


def _hex(value: bytes) -> str:
    return fitting(value.hex())


def _nested(value: Any) -> str:
    return hashlib.sha256(_deterministic(value)).hexdigest()


def _value(member: Any) -> Any:
    return member.value


_TEXT, _INTEGER = Kind("text", "keyword", _text), Kind("integer", "long", _integer)
_NESTED = Kind("nested", "keyword", _nested, has_order=False)

_PLAIN: dict[type[inspect.Type], Kind] = {
    inspect.StrType: _TEXT,
    inspect.BytesType: Kind("bytes", "keyword", _of(bytes, _hex)),
    inspect.IntType: _INTEGER,
    inspect.FloatType: Kind("number", "double", _number),
    inspect.BoolType: Kind("boolean", "keyword", _yes),
    inspect.DecimalType: Kind("decimal", "keyword", _decimal),
    inspect.DateTimeType: Kind("moment", "keyword", _moment),
    inspect.DateType: Kind("date", "keyword", _of(date, date.isoformat)),
    inspect.TimeType: Kind("time", "keyword", _of(time_of_day, _hour)),
    inspect.UUIDType: Kind("uuid", "keyword", _of(uuid.UUID, str)),
}


def _all(values: Any, kind: type) -> bool:
    return all(type(value) is kind for value in values)


def _enum(kind: type[enum.Enum]) -> Kind:
    values = [member.value for member in kind]
    if _all(values, str):
        return Kind("enum of text", "keyword", _value)
    if _all(values, int) and all(_SMALLEST <= value <= _LARGEST for value in values):
        return Kind("enum of integer", "long", _value)
    return _NESTED


def _literal(kind: inspect.LiteralType) -> Kind:
    if _all(kind.values, str):
        return _TEXT
    return _INTEGER if _all(kind.values, int) else _NESTED


def kind_of(described: inspect.Type) -> Kind:
    """By the type of a field: without annotations, and without `| None`."""
    while isinstance(described, inspect.Metadata):
        described = described.type
    if isinstance(described, inspect.UnionType):
        others = [part for part in described.types if not isinstance(part, inspect.NoneType)]
        if len(others) == 1:
            return kind_of(others[0])
    if isinstance(described, inspect.EnumType):
        return _enum(described.cls)
    if isinstance(described, inspect.LiteralType):
        return _literal(described)
    return _PLAIN.get(type(described), _NESTED)
