"""Appends as the binary arrays that the SQL function `daicho.append_columns` takes.

The driver would put an array together element by element. Here each column is joined at once, and one whose values
are all the same is not an array at all.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from struct import error as StructError
from struct import pack
from typing import TypeAlias

import msgspec

from daicho.adapters.stores.postgres.requests import EVERYTHING, MOST_KEYS, can_be_json, number
from daicho.ports.event_store import AppendRequest, NewEvent

__all__ = ["Columns"]

Parameter: TypeAlias = bytes | None

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
        streams: list[str] = []
        expected: list[int] = []
        counts: list[int] = []
        events: list[NewEvent] = []
        for request in requests:
            if len(request.writes) != 1 or request.condition is not None or request.outcome is not None:
                return None
            [write] = request.writes
            if not write.events:
                return None
            streams.append(write.stream)
            expected.append(number(write.expected))
            counts.append(len(write.events))
            events += write.events
        if len({event.event_id for event in events}) < len(events):
            return None
        try:
            keys = _keys(events)
            if len(keys) > MOST_KEYS:
                return None
            writes = (_array(_TEXT, keys), _array(_TEXT, streams), _array(_INT, expected), *_dealt(streams, counts))
            return cls(requests, now, (now.encode(), *writes, *_of_events(events)), counts)
        except (UnicodeError, StructError, msgspec.MsgspecError):
            return None


def _keys(events: Sequence[NewEvent]) -> list[str]:
    """What the locks of conditions may be about: see `requests.Group`."""
    keys = {EVERYTHING}
    keys.update([f"type {type_}" for type_ in {event.type for event in events}])
    for event in events:
        if event.tags:
            keys.update([f"tag {tag}" for tag in event.tags])
    return list(keys)


def _dealt(streams: list[str], counts: list[int]) -> tuple[Parameter, Parameter, Parameter]:
    """Which events belong to which write, if that does not go without saying."""
    if len(counts) == 1 or counts.count(1) == len(counts):
        return None, None, None
    names = [stream for stream, count in zip(streams, counts, strict=True) for _ in range(count)]
    numbers = [n for n, count in enumerate(counts, 1) for _ in range(count)]
    offsets = [n for count in counts for n in range(1, count + 1)]
    return _array(_TEXT, names), _array(_INT, numbers), _array(_INT, offsets)


def _of_events(events: Sequence[NewEvent]) -> Iterable[Parameter]:
    correlations, causations = [e.correlation_id for e in events], [e.causation_id for e in events]
    yield from _shared(_TEXT, [e.type for e in events])
    yield from _shared(_INT, [e.schema_version for e in events])
    yield from _shared(_TEXT, [e.occurred_at for e in events])
    yield from _shared(_TEXT, [e.actor for e in events])
    yield from _shared(_TEXT, [e.tenant for e in events])
    yield from _shared(_TEXT, correlations)
    yield from (None, None) if causations == correlations else _shared(_TEXT, causations)
    yield from _shared(_JSON, [e.metadata for e in events])
    yield _array(_TEXT, [e.event_id for e in events])
    as_json = [e.data if can_be_json(e.data) else None for e in events]
    packed = None in as_json
    yield _array(_JSON, as_json)
    bare = [e.data if each is None else None for e, each in zip(events, as_json, strict=True)] if packed else None
    yield None if bare is None else _array(_BYTEA, bare)
    tags = [_encode(list(dict.fromkeys(e.tags))) if e.tags else None for e in events]
    yield None if tags.count(None) == len(tags) else _array(_JSON, tags)


Value: TypeAlias = str | bytes | int | None


def _shared(type_: int, values: Sequence[Value]) -> tuple[Parameter, Parameter]:
    """The one value of all, or the array."""
    first = values[0]
    if values.count(first) == len(values):
        return _single(first), None
    return None, _array(type_, values)


def _single(value: Value) -> Parameter:
    if isinstance(value, str):
        return value.encode()
    return pack("!i", value) if isinstance(value, int) else value


def _array(type_: int, values: Sequence[Value]) -> bytes:
    """Its dimensions, then the length and the bytes of each element, -1 for null: as `array_recv` takes it."""
    head = pack("!5i", 1, None in values, type_, len(values), 1)
    if (body := _alike(values)) is not None:
        return head + body
    elements = [_single(value) for value in values]
    return head + b"".join([part for each in elements for part in (_before(each), each or b"")])


def _before(element: Parameter) -> bytes:
    if element is None:
        return _NULL
    length = len(element)
    return _LENGTHS[length] if length < len(_LENGTHS) else pack("!i", length)


def _alike(values: Sequence[Value]) -> bytes | None:
    """Ids and times, which are ASCII and all of one length: that stands before each of them. None for others."""
    first = values[0]
    if not isinstance(first, str) or not 0 < (length := len(first)) < _ASCII:
        return None
    before = f"\0\0\0{chr(length)}"
    try:
        joined = before + before.join(values)  # type: ignore[arg-type]
    except TypeError:  # a null
        return None
    if not joined.isascii() or len(set(map(len, values))) > 1:  # type: ignore[arg-type]
        return None
    return joined.encode()
