"""Surrogate keys: the names by which a cache is told which of its answers are out of date.

    orders.                  every answer that was read from the view: for changes of nobody knows what
    orders                   answers that depend on any of its rows: lists without a filter
    orders/o-1               answers that read the row o-1
    orders?status=open       answers that read rows by an indexed field

A row that changes purges those of its key, of each indexed field as it was and as it is, and of the unfiltered lists.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

__all__ = ["changed_keys", "read_keys", "whole_view"]

MOST_KEYS = 50
"""One answer names no more rows than these; beyond, it depends on the view."""
_LONGEST = 60


def whole_view(view: str) -> str:
    return f"{_word(view)}."


def read_keys(
    view: str, index: Sequence[str], keys: Iterable[str] | None, equals: Mapping[str, object] | None
) -> set[str]:
    """What an answer depends on that reads these rows; in doubt, on more."""
    name = _word(view)
    if keys is not None:
        named = {f"{name}/{_word(key)}" for key in keys}
        return named if len(named) <= MOST_KEYS else {name}
    for field, value in (equals or {}).items():
        if field in index and (text := _text(value)) is not None:
            return {f"{name}?{field}={_word(text)}"}
    return {name}


def changed_keys(view: str, index: Sequence[str], key: str, *rows: Any) -> set[str]:
    """What depends on a row, as it was and as it is."""
    name = _word(view)
    found = {name, f"{name}/{_word(key)}"}
    for row in rows:
        if row is None:
            continue
        for field in index:
            text = _text(getattr(row, field))
            if text is not None:
                found.add(f"{name}?{field}={_word(text)}")
    return found


def _text(value: object) -> str | None:
    """None for what different stores may compare in different ways."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else None


def _word(text: str) -> str:
    """Fit for a header: no blanks, no commas, not too long."""
    quoted = quote(text, safe="-_~")
    return quoted if len(quoted) <= _LONGEST else f"~{blake2b(text.encode(), digest_size=12).hexdigest()}"
