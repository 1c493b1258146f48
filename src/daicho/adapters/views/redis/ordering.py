"""Values as texts that sort, byte by byte, as the values do: sorted sets of Redis order by doubles or by bytes, and a
double cannot tell 2**53 from 2**53 + 1.

Two values have the same text exactly if they are equal in Python. No text contains NUL, so that a key can follow
behind one. None comes first, as in every other store.
"""

import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from msgspec import inspect

__all__ = ["has_order", "sortable"]

_BELOW = str.maketrans("0123456789:;<=>?@ABC", "CBA@?>=<;:9876543210")
"""Reverses the order of what `_magnitude` is made of."""


def _magnitude(digits: str, exponent: int) -> str:
    """Of 0.digits * 10**exponent: how long the exponent is, the exponent, and the digits without zeros at the end."""
    digits = digits.rstrip("0")
    size = str(abs(exponent))
    length = chr(48 + len(size))  # at most 19 digits: Decimal has no larger exponents
    if exponent >= 0:
        return f"1{length}{size}{digits}"
    return f"0{f'{length}{size}'.translate(_BELOW)}{digits}"


def _signed(negative: bool, digits: str, exponent: int) -> str:
    if not digits.strip("0"):
        return "n1"
    magnitude = _magnitude(digits, exponent)
    return f"n0{magnitude.translate(_BELOW)}~" if negative else f"n2{magnitude}"


def _integer(value: int) -> str:
    digits = str(abs(value))
    return _signed(value < 0, digits, len(digits))


def _decimal(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        if exponent == "F":
            return "n0!" if sign else "n3"
        raise ValueError("NaN equals nothing, not even itself: use None")
    text = "".join(map(str, digits)).lstrip("0")
    return _signed(bool(sign), text, len(text) + exponent)


def _float(value: float) -> str:
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return _integer(int(value))
    return _decimal(Decimal(value))


def _text(value: str) -> str:
    if "\0" in value or "\1" in value:
        value = value.replace("\1", "\1\2").replace("\0", "\1\1")
    return "s" + str.__str__(value)


def _moment(value: datetime) -> str:
    if value.utcoffset() is None:
        return f"d{value.replace(tzinfo=None).isoformat(timespec='microseconds')}"
    return f"d{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _hour(value: time) -> str:
    offset = value.utcoffset()
    since = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    if offset is None:
        return f"t{_span(since)}"
    return f"t{_span(since - offset)}Z"


def _span(value: timedelta) -> str:
    return _integer(value // timedelta(microseconds=1))


_TEXTS: dict[type, Callable[[Any], str]] = {
    str: _text,
    int: _integer,
    bool: _integer,
    float: _float,
    Decimal: _decimal,
    datetime: _moment,
    date: lambda value: f"D{value.isoformat()}",
    time: _hour,
    timedelta: lambda value: f"i{_span(value)}",
    uuid.UUID: lambda value: f"u{value.hex}",
    bytes: lambda value: f"b{value.hex()}",
}


def sortable(value: object) -> str:
    """Raises TypeError if values of that kind have no order here, ValueError or ArithmeticError if this one has no
    place in it."""
    if value is None:
        return ""
    text = _TEXTS.get(type(value))
    if text is not None:
        return text(value)
    if isinstance(value, Enum) and not isinstance(value, (str, int)):
        return f"e{sortable(value.value)}"
    for kind in (str, int, float, Decimal, datetime, date, time, timedelta, uuid.UUID, bytes):
        if isinstance(value, kind):
            return _TEXTS[kind](value)
    raise TypeError(f"a {type(value).__name__} has no order in Redis")


_ORDERED = (
    inspect.NoneType,
    inspect.StrType,
    inspect.BytesType,
    inspect.IntType,
    inspect.FloatType,
    inspect.BoolType,
    inspect.DecimalType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.TimeType,
    inspect.TimeDeltaType,
    inspect.UUIDType,
    inspect.EnumType,
    inspect.LiteralType,
)


def has_order(kind: inspect.Type) -> bool:
    """Whether all values of a field declared so are `sortable`."""
    if isinstance(kind, inspect.Metadata):
        return has_order(kind.type)
    if isinstance(kind, inspect.UnionType):
        return all(map(has_order, kind.types))
    return isinstance(kind, _ORDERED)
