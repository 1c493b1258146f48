"""Appends as the binary arrays that the SQL function `daicho.append_columns` takes.

The driver would put an array together element by element. Here each column is joined at once, and one whose values
are all the same is not an array at all.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from struct import error as StructError
from struct import pack
from typing import TypeAlias, TypeVar, cast

import msgspec
from msgspec.structs import astuple

from daicho.adapters.stores.postgres.requests import EVERYTHING, MOST_KEYS, can_be_json, number
from daicho.ports.event_store import AppendRequest

__all__ = ["Columns"]

Parameter: TypeAlias = bytes | None
V = TypeVar("V", str, str | None, int, bytes)

_BYTEA, _INT, _TEXT, _JSON = 17, 23, 25, 114
_ARRAY_OF = {_BYTEA: 1001, _INT: 1007, _TEXT: 1009, _JSON: 199}
_WRITES = (_ARRAY_OF[_TEXT], _ARRAY_OF[_TEXT], _ARRAY_OF[_INT], _ARRAY_OF[_TEXT], _ARRAY_OF[_INT], _ARRAY_OF[_INT])
_SHARED = (_TEXT, _INT, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _JSON)
_OWN = (_ARRAY_OF[_TEXT], _ARRAY_OF[_JSON], _ARRAY_OF[_BYTEA], _ARRAY_OF[_JSON])

_LENGTHS = tuple(pack("!i", n) for n in range(1024))
_NULL = pack("!i", -1)
_ASCII = 128
_encode = msgspec.json.Encoder().encode


class Columns:
    """Independent requests as the parameters of `daicho.append_columns`, in PostgreSQL's binary format."""

    name = "append_columns"
    types = (_TEXT, *_WRITES, *chain.from_iterable((type_, _ARRAY_OF[type_]) for type_ in _SHARED), *_OWN)
    """Of the parameters, as PostgreSQL numbers them."""

    def __init__(
        self, requests: Sequence[AppendRequest], at: str, parameters: Sequence[Parameter], counts: list[int]
    ) -> None:
        self.requests, self.at, self.parameters = requests, at, parameters
        self.size = sum([len(each) for each in parameters if each is not None])
        self.first_writes: Sequence[int] = range(len(requests))
        self.first_events: list[int] = []
        start = 0
        for count in counts:
            self.first_events.append(start)
            start += count

    @classmethod
    def of(cls, requests: Sequence[AppendRequest], now: str) -> "Columns | None":
        """None if these requests ask for more than the function can, or hold what cannot be sent so: then as JSON,
        where it is found out what that is."""
        writes = [r.writes[0] for r in requests if len(r.writes) == 1 and r.condition is None and r.outcome is None]
        if len(writes) < len(requests):
            return None
        counts = [len(write.events) for write in writes]
        if 0 in counts or any(write.state is not None for write in writes):
            return None
        events = [event for write in writes for event in write.events]
        # one pass over the events, in C: what follows goes over columns
        ids, types, schemas, datas, occurred, correlations, causations, actors, tenants, tags, metadata = zip(
            *map(astuple, events), strict=True
        )
        if len(set(ids)) < len(ids):
            return None
        keys = _keys(types, tags)
        if len(keys) > MOST_KEYS:
            return None
        streams = [write.stream for write in writes]
        try:
            parameters = (
                now.encode(),
                _texts(keys),
                _texts(streams),
                _numbers([number(write.expected) for write in writes]),
                *_dealt(streams, counts),
                *_shared(types, _texts),
                *_shared(schemas, _numbers),
                *_shared(occurred, _texts),
                *_shared(actors, _texts),
                *_shared(tenants, _texts),
                *_shared(correlations, _texts),
                *((None, None) if causations == correlations else _shared(causations, _texts)),
                *_shared(metadata, _jsons),
                _texts(ids),
                *_datas(datas),
                _tags(tags),
            )
        except (UnicodeError, StructError, msgspec.MsgspecError):
            return None
        return cls(requests, now, parameters, counts)


def _keys(types: Iterable[str], tags: Sequence[tuple[str, ...]]) -> list[str]:
    """What the locks of conditions may be about: see `requests.Group`."""
    keys = {EVERYTHING}
    keys.update([f"type {type_}" for type_ in set(types)])
    if any(tags):
        keys.update([f"tag {tag}" for some in tags for tag in some])
    return list(keys)


def _dealt(streams: list[str], counts: list[int]) -> tuple[Parameter, Parameter, Parameter]:
    """Which events belong to which write, if that does not go without saying."""
    if len(counts) == 1 or counts.count(1) == len(counts):
        return None, None, None
    names = [stream for stream, count in zip(streams, counts, strict=True) for _ in range(count)]
    numbers = [n for n, count in enumerate(counts, 1) for _ in range(count)]
    offsets = [n for count in counts for n in range(1, count + 1)]
    return _texts(names), _numbers(numbers), _numbers(offsets)


def _datas(datas: Sequence[bytes]) -> tuple[Parameter, Parameter]:
    """As JSON, and as bytes what PostgreSQL does not take as such."""
    if not [data for data in datas if data[:1] not in b"{[" or b"\\u" in data]:
        return _jsons(datas), None
    as_json = [data if can_be_json(data) else None for data in datas]
    if None not in as_json:
        return _jsons(datas), None
    bare = [data if each is None else None for data, each in zip(datas, as_json, strict=True)]
    return _array(_JSON, as_json), _array(_BYTEA, bare)


def _tags(tags: Sequence[tuple[str, ...]]) -> Parameter:
    if not any(tags):
        return None
    return _array(_JSON, [_encode(list(dict.fromkeys(some))) if some else None for some in tags])


def _shared(values: Sequence[V], array: Callable[[Sequence[V]], bytes]) -> tuple[Parameter, Parameter]:
    """The one value of all, or the array."""
    first = values[0]
    if values.count(first) < len(values):
        return None, array(values)
    if isinstance(first, str):
        return first.encode(), None
    return pack("!i", first) if isinstance(first, int) else cast("Parameter", first), None


def _texts(values: Sequence[str | None]) -> bytes:
    if (alike := _alike(values)) is not None:
        return _head(_TEXT, len(values)) + alike
    return _array(_TEXT, [None if value is None else value.encode() for value in values])


def _numbers(values: Sequence[int]) -> bytes:
    count = len(values)
    parts = [4] * (2 * count)
    parts[1::2] = values
    return _head(_INT, count) + pack(f"!{2 * count}i", *parts)


def _jsons(values: Sequence[bytes]) -> bytes:
    return _array(_JSON, values)


def _head(type_: int, count: int, *, nulls: bool = False) -> bytes:
    """One dimension, which begins at 1: as `array_recv` takes it. The elements follow, each behind its length."""
    return pack("!5i", 1, nulls, type_, count, 1)


def _array(type_: int, values: Sequence[bytes | None]) -> bytes:
    nulls = None in values
    given = [value or b"" for value in values] if nulls else cast("Sequence[bytes]", values)
    parts = [b""] * (2 * len(values))
    try:
        parts[::2] = [_LENGTHS[length] for length in map(len, given)]
    except IndexError:
        parts[::2] = [pack("!i", len(value)) for value in given]
    if nulls:
        parts[::2] = [_NULL if value is None else each for value, each in zip(values, parts[::2], strict=True)]
    parts[1::2] = given
    return _head(type_, len(values), nulls=nulls) + b"".join(parts)


def _alike(values: Sequence[str | None]) -> bytes | None:
    """Ids and times, which are ASCII and all of one length: that stands before each of them. None for others."""
    first = values[0]
    if first is None or not 0 < (length := len(first)) < _ASCII:
        return None
    before = f"\0\0\0{chr(length)}"
    try:
        joined = before + before.join(values)  # type: ignore[arg-type]
    except TypeError:  # a null
        return None
    if not joined.isascii() or len(set(map(len, values))) > 1:  # type: ignore[arg-type]
        return None
    return joined.encode()
