"""Texts that order, byte by byte, as the values do that they stand for, and are equal exactly when those are."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["moment_of", "sortable_decimal", "sortable_moment", "sortable_structure"]

_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_encode = msgspec.json.Encoder().encode
_SHORT = 120


def _exponent(number: int) -> str:
    """A letter for sign and length, then the digits; of negative numbers, what is missing to nines."""
    digits = str(abs(number))
    if number < 0:
        return chr(ord("Z") - len(digits)) + digits.translate(_COMPLEMENT)
    return chr(ord("a") + len(digits)) + digits


def sortable_decimal(value: Decimal) -> str:
    """By value: 0.10 and 0.1 give the same. Raises ValueError for NaN, which equals nothing.

    0 -infinity, 1 negative, 2 zero, 3 positive, 4 infinity; then power of ten and digits: 19.90 is `3b1.199`.
    """
    if value.is_nan():
        raise ValueError("NaN equals nothing, not even itself: use None")
    sign, digits, _ = value.as_tuple()
    if value.is_infinite():
        return "0" if sign else "4"
    if not value:
        return "2"
    power, figures = value.adjusted(), "".join(map(str, digits)).strip("0")
    if sign:
        return f"1{_exponent(-power)}.{figures.translate(_COMPLEMENT)}~"  # ~ comes after all digits: -1.9 after -1.99
    return f"3{_exponent(power)}.{figures}"


def sortable_moment(value: datetime) -> str:
    """UTC to the microsecond, with a Z; naive ones as they are, without: they come right before their equals in UTC."""
    if value.utcoffset() is None:
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def moment_of(text: str) -> datetime:
    if text[-1] == "Z":
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    return datetime.fromisoformat(text)


def sortable_structure(value: Any) -> str:
    """JSON with sorted keys. Of a long one the beginning, and a fingerprint that keeps it apart from all others."""
    text = _encode(msgspec.to_builtins(value, str_keys=True, order="deterministic")).decode()
    if len(text) <= _SHORT:
        return text
    return text[: _SHORT - 40] + "…" + hashlib.sha256(text.encode()).hexdigest()
