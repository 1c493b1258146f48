"""Personal data: which fields hold it, whose it is, and how an event is stored so that it can be forgotten.

A sealed event is stored as what remains of it once its subject is forgotten: every personal field holds its
placeholder, and in front stands one field more, `$personal`, with the true values enciphered under the subject's key.

    {"$personal":[["c-1","<base64>"]],"customer_id":"c-1","email":"[forgotten]"}

So whoever has no key (a forgotten subject, a tool without the app, SQL) reads an event that is whole and of the right
types, and shredding the key is all that it takes. Source: crypto-shredding, Verraes 2019, "Eventsourcing patterns".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from msgspec import NODEFAULT, Raw

from daicho.core.codec import is_json
from daicho.core.errors import WiringError
from daicho.core.messages import Event
from daicho.core.streams import id_of

__all__ = [
    "FORGOTTEN",
    "Personal",
    "PersonalShape",
    "is_sealed",
    "opened",
    "person",
    "personal_fields",
    "personal_shapes",
    "seals_of",
    "snapshot_of",
    "subjects_in",
]

FORGOTTEN = "[forgotten]"
"""What stands in a text about a person who was forgotten."""

_MARK = "$personal"
_JSON_MARK = b'{"$personal":'
_PACKED_MARK = b"\xa9$personal"
_MAIL = "forgotten@forgotten.invalid"
"""For texts that must look like an address; `.invalid` belongs to nobody (RFC 2606)."""

Seal = Callable[[str, bytes, bytes], str]
"""Subject, plain bytes, what they are bound to -> text."""


@dataclass(frozen=True)
class Personal:
    """Marks a field about a person: `email: Annotated[str, Personal]`, or, in an event about something else, whose it
    is: `Annotated[str, Personal(subject="customer_id")]`.

    In event feeds it is shown to those only whose credential has the scope `pii:read`; others see `***`. With
    `App(personal=...)` it is stored enciphered under a key of its subject, so that `app.forget(subject)` can take it
    out of all of history.
    """

    subject: str | None = None
    """The field of the event that holds the subject's id. Without it, the subject is what the stream is about."""
    forgotten: Any = NODEFAULT
    """What stands in the field once the subject is forgotten. Without it, a value is found by the type."""


@dataclass(frozen=True)
class PersonalShape:
    """What must be known of an event class to seal its events."""

    subjects: Mapping[str | None, Sequence[str]]
    """By the field that holds the subject's id (None: the stream's id), the personal fields, as they are encoded."""
    placeholders: Mapping[str, Any]

    def subjects_of(self, fields: Mapping[str, Any], stream: str) -> dict[str, list[str]]:
        """By subject, the fields that hold something."""
        found: dict[str, list[str]] = {}
        for holder, names in self.subjects.items():
            held = [name for name in names if fields.get(name) is not None]
            if held:
                given = None if holder is None else fields.get(holder)
                found.setdefault(id_of(stream) if given is None else str(given), []).extend(held)
        return found

    def seal(self, data: bytes, stream: str, bound: bytes, seal: Seal) -> bytes:
        """`data` with its personal fields enciphered; as it is if they hold nothing, or are sealed already."""
        if is_sealed(data):
            return data
        fields = _decode(data)
        subjects = self.subjects_of(_values(data), stream)
        if not subjects:
            return data
        encode = _encoder(data)
        seals = [(name, seal(name, encode({f: fields[f] for f in held}), bound)) for name, held in subjects.items()]
        for held in subjects.values():
            for field in held:
                fields[field] = Raw(encode(self.placeholders[field]))
        return encode({_MARK: seals, **fields})


def is_sealed(data: bytes) -> bool:
    """Whether something in the stored data of an event is enciphered. Cheap: the mark stands in front."""
    return data.startswith(_JSON_MARK) or _PACKED_MARK in data[1:13]


def seals_of(data: bytes) -> list[tuple[str, str]]:
    """Subjects and what is enciphered for each. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return msgspec.convert(_values(data)[_MARK], list[tuple[str, str]])


def opened(data: bytes, plain: Iterable[bytes | None]) -> bytes:
    """The event as it was recorded, `plain` being what is enciphered in each seal; None leaves the placeholders."""
    fields = _decode(data)
    del fields[_MARK]
    for part in plain:
        if part is not None:
            fields.update(_decode(part))
    return _encoder(data)(fields)


def subjects_in(data: bytes, stream: str, shape: PersonalShape | None) -> tuple[set[str], bool]:
    """Whose personal data a stored event holds, and whether it is enciphered."""
    if is_sealed(data):
        return {name for name, _ in seals_of(data)}, True
    return set() if shape is None else set(shape.subjects_of(_values(data), stream)), False


def person(subject: str) -> str:
    """The name of a subject's key."""
    return f"person:{subject}"


def snapshot_of(stream: str) -> str:
    """The name of the key of a stream's snapshots, which hold data of everybody the stream is about."""
    return f"snapshot:{stream}"


# -- fields -----------------------------------------------------------------------------------------------------------


@cache
def personal_fields(record: Any) -> frozenset[str]:
    """Names of the fields that are marked `Personal`."""
    return frozenset(_marks(record))


def _marks(record: Any) -> dict[str, Personal]:
    hints = get_type_hints(record, include_extras=True)
    return {name: mark for name, hint in hints.items() if (mark := _mark(hint)) is not None}


def _mark(hint: Any) -> Personal | None:
    if get_origin(hint) is Annotated:
        kind, *marks = get_args(hint)
        for mark in marks:
            if mark is Personal:
                return Personal()
            if isinstance(mark, Personal):
                return mark
        return _mark(kind)
    return next((mark for part in get_args(hint) if (mark := _mark(part)) is not None), None)


def personal_shapes(classes: Iterable[type[Event]]) -> dict[str, PersonalShape]:
    """By stored name, for those that have personal fields. Raises WiringError for one that could not be forgotten."""
    return {cls.__message_name__: shape for cls in classes if (shape := _shape(cls)) is not None}


def _shape(cls: type[Event]) -> PersonalShape | None:
    marks = _marks(cls)
    if not marks:
        return None
    fields = {field.name: field for field in msgspec.structs.fields(cls)}
    subjects: dict[str | None, list[str]] = {}
    placeholders: dict[str, Any] = {}
    for name, mark in marks.items():
        where = f"{cls.__name__}.{name}"
        if name in cls.__tag_fields__:
            raise WiringError(
                f"{where} is personal, and its value would stand in a tag",
                why="tags are stored as they are, for ever, and cannot be forgotten",
                do=f"take {name!r} out of `tags=`, or tag a keyed hash of it",
                field=name,
            )
        if mark.subject is not None and (mark.subject not in fields or mark.subject in marks):
            what = "personal itself" if mark.subject in marks else "no field"
            raise WiringError(
                f"{where} is about {mark.subject!r}, which is {what}",
                why="the subject's id is what its data is found and forgotten by, and stays",
                do="name a field with an id of your own making",
                field=name,
            )
        holder = None if mark.subject is None else fields[mark.subject].encode_name
        subjects.setdefault(holder, []).append(fields[name].encode_name)
        placeholders[fields[name].encode_name] = _placeholder(fields[name], mark, where)
    return PersonalShape(subjects, placeholders)


def _placeholder(field: msgspec.structs.FieldInfo, mark: Personal, where: str) -> Any:
    """A value that the field's type takes, as JSON holds it."""
    for candidate in _candidates(field.type, mark, field.default):
        try:
            plain = msgspec.to_builtins(candidate)
            msgspec.convert(plain, field.type, strict=False)
        except (msgspec.ValidationError, TypeError):
            continue
        return plain
    raise WiringError(
        f"nothing is known that could stand in {where} once its subject is forgotten",
        why=f"{field.type} takes none of the usual values",
        do=f"say it: `{field.name}: Annotated[..., Personal(forgotten=...)]`",
        field=field.name,
    )


_BY_TYPE: Sequence[tuple[type, Sequence[Any]]] = (
    (bool, [False]),
    (str, [FORGOTTEN, _MAIL, "forgotten", "https://forgotten.invalid/", "XX", "X", "0", "00000", ""]),
    (bytes, [FORGOTTEN.encode(), b""]),
    (int, [0, 1]),
    (float, [0.0, 1.0]),
    (Decimal, [Decimal(0), Decimal(1)]),
    (datetime, [datetime(1900, 1, 1, tzinfo=UTC), datetime(1900, 1, 1)]),
    (date, [date(1900, 1, 1)]),
    (time, [time(0)]),
    (timedelta, [timedelta(0)]),
    (UUID, [UUID(int=0)]),
)


def _candidates(hint: Any, mark: Personal, default: Any) -> Iterable[Any]:
    if mark.forgotten is not NODEFAULT:
        yield mark.forgotten
        return
    yield from _typed(hint)
    if default is not NODEFAULT:
        yield default


def _typed(hint: Any) -> Iterable[Any]:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if isinstance(hint, type):
        for kind, values in _BY_TYPE:
            if issubclass(hint, kind):
                yield from values
                return
        if issubclass(hint, msgspec.Struct):
            yield _struct(hint)
            return
    arguments = get_args(hint)
    origin: Any = get_origin(hint)
    if origin in (list, tuple, set, frozenset) or hint in (list, tuple, set, frozenset):
        yield []
    elif dict in (origin, hint):
        yield {}
    else:
        for argument in arguments:
            if argument is not type(None):
                yield from _typed(argument)
        yield None


def _struct(cls: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.encode_name: _placeholder(field, Personal(), f"{cls.__name__}.{field.name}")
        for field in msgspec.structs.fields(cls)
    }


# -- bytes ------------------------------------------------------------------------------------------------------------

_json, _packed = msgspec.json.Encoder(), msgspec.msgpack.Encoder()
_from_json, _from_packed = msgspec.json.Decoder(dict[str, Raw]), msgspec.msgpack.Decoder(dict[str, Raw])


def _decode(data: bytes) -> dict[str, Raw]:
    return _from_json.decode(data) if is_json(data) else _from_packed.decode(data)


def _values(data: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.json.decode(data) if is_json(data) else msgspec.msgpack.decode(data))


def _encoder(like: bytes) -> Callable[[Any], bytes]:
    return _json.encode if is_json(like) else _packed.encode
