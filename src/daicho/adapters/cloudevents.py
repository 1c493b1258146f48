"""CloudEvents 1.0 in binary mode, as each broker's binding writes it: attributes as headers, the data as the body.

    attribute          Kafka, Redis      NATS                  AMQP
    id                 ce_id             ce-id                 cloudEvents_id (also cloudEvents:id)
    datacontenttype    content-type      ce-datacontenttype    the property content-type
    values             as they are       percent-encoded       as they are

The place in a chain travels as the extension attributes `chainnumber` and `chainprevious`.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from daicho.core.errors import BusRefused
from daicho.ports.event_bus import BusMessage

__all__ = ["AMQP", "KAFKA", "NATS", "Binding", "headers_of", "message_from", "stranger"]


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """How one protocol writes attributes."""

    prefixes: tuple[str, ...]
    """Of attributes among the headers. The first is written, all are understood."""
    content_type: str | None
    """The header of the content type; None: it is no header, and is handed over separately."""
    encoded: bool = False
    """Values are percent-encoded into printable ASCII."""
    usual: dict[str, str] = {}
    """From headers as they are mostly written to attributes: a short cut."""


def _binding(*prefixes: str, content_type: str | None, encoded: bool = False) -> Binding:
    names = ("specversion", *_OWN, "chainnumber", "chainprevious", "correlationid", "traceparent")
    usual = {prefixes[0] + name: name for name in names}
    if content_type:
        usual[content_type] = "datacontenttype"
    return Binding(prefixes=prefixes, content_type=content_type, encoded=encoded, usual=usual)


_OWN = ("id", "source", "type", "subject", "time")
KAFKA = _binding("ce_", content_type="content-type")
NATS = _binding("ce-", content_type="ce-datacontenttype", encoded=True)
AMQP = _binding("cloudEvents_", "cloudEvents:", content_type=None)

_RESERVED = frozenset((*_OWN, "specversion", "datacontenttype", "dataschema", "data", "chainnumber", "chainprevious"))
_NAME = re.compile(r"[a-z0-9]{1,30}\Z")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}\Z")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})\Z")
_PLAIN = re.compile(r"[!#$&-~]*\Z")
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SAFE = "!#$&'()*+,/:;<=>?@[\\]^`{|}~"
"""What RFC 3986 would encode, and this binding does not: all of printable ASCII but space, `"` and `%`."""

_LARGEST_NUMBER = 2**63 - 1
_MOST_HEADERS = 100
_MOST_TEXT = 32 * 1024
"""Bytes of all attributes together, so that they pass every broker's limit for headers."""


def headers_of(message: BusMessage, binding: Binding) -> dict[str, str]:
    """Everything but the data (and on AMQP the content type). Raises BusRefused for what is no CloudEvent: without
    id, source or type, with an extension of another name than lower-case letters and digits, or with too much of it."""
    attributes = {"specversion": "1.0", "id": message.id, "source": message.source, "type": message.type}
    attributes |= {"subject": message.subject, "time": message.time}
    if message.number:
        attributes |= {"chainnumber": str(message.number), "chainprevious": str(message.previous)}
    for name, value in message.extensions.items():
        if name in _RESERVED or not _NAME.match(name):
            raise _refused(message, f"no extension may be called {name!r}", "use lower-case letters and digits")
        attributes[name] = value
    if wrong := [name for name in (*_OWN, "specversion") if not attributes[name]]:
        raise _refused(message, f"{', '.join(wrong)} must not be empty")
    if not _TIME.match(message.time):
        raise _refused(message, f"its time is {message.time!r}", "write it in ISO 8601, in UTC")
    if message.number and not 0 <= message.previous < message.number <= _LARGEST_NUMBER:
        raise _refused(message, f"its number {message.number} is to follow {message.previous}")
    if binding.content_type:
        attributes["datacontenttype"] = message.content_type
    try:
        size = len("".join(attributes).encode()) + len("".join(attributes.values()).encode())
    except UnicodeEncodeError as error:
        raise _refused(message, f"an attribute cannot be written in UTF-8: {error}") from error
    if size > _MOST_TEXT:
        raise _refused(message, f"its attributes have {size:,} bytes, and {_MOST_TEXT:,} are the most")
    prefix = binding.prefixes[0]
    return {
        (binding.content_type or name) if name == "datacontenttype" else prefix + name: (
            _encoded(value) if binding.encoded else value
        )
        for name, value in attributes.items()
    }


def message_from(
    headers: Mapping[str, object], data: bytes, binding: Binding, *, content_type: str | None = None
) -> BusMessage:
    """The message that has these headers; `stranger(data)` if they are not those of a whole CloudEvent of ours.
    Raises nothing, whatever it is given. Headers that are no attributes are ignored."""
    attributes = _attributes(headers, binding)
    if attributes is None or attributes.pop("specversion", "") != "1.0":
        return stranger(data)
    kind = attributes.pop("datacontenttype", content_type or "application/json")
    own = {name: attributes.pop(name, "") for name in _OWN}
    number, previous = attributes.pop("chainnumber", "0"), attributes.pop("chainprevious", "0")
    if not all(own.values()) or not _TIME.match(own["time"]):
        return stranger(data)
    if not (_NUMBER.match(number) and _NUMBER.match(previous)):
        return stranger(data)
    place, before = int(number), int(previous)
    if place > _LARGEST_NUMBER or not (before < place or place == before == 0):
        return stranger(data)
    return BusMessage(**own, data=data, content_type=kind, number=place, previous=before, extensions=attributes)


def stranger(data: bytes) -> BusMessage:
    """What is no CloudEvent of ours: nothing but its body."""
    return BusMessage(id="", source="", type="", subject="", time="", data=data, content_type="")


def _attributes(headers: Mapping[str, object], binding: Binding) -> dict[str, str] | None:
    """By name. None if they cannot be those of a CloudEvent."""
    if len(headers) > _MOST_HEADERS:
        return None
    found: dict[str, str] = {}
    size = 0
    for header, raw in headers.items():
        name = binding.usual.get(header)
        if name is None:
            name = _attribute(header, binding)
            if name is None:
                continue
            if not _NAME.match(name):
                return None
        value = _text(raw, binding.encoded)
        if value is None or name in found:
            return None
        size += len(name) + (len(value) if value.isascii() else len(value.encode()))
        if size > _MOST_TEXT:
            return None
        found[name] = value
    return found


def _attribute(header: str, binding: Binding) -> str | None:
    if binding.content_type and header.lower() == binding.content_type:
        return "datacontenttype"
    for prefix in binding.prefixes:
        if header[: len(prefix)].lower() == prefix.lower():
            return header[len(prefix) :].lower() if binding.encoded else header[len(prefix) :]
    return None


def _text(raw: object, is_encoded: bool) -> str | None:
    try:
        if isinstance(raw, bytes):
            text = raw.decode()
        elif isinstance(raw, str):
            text = raw
            if not raw.isascii():
                raw.encode()  # no lone surrogates
        elif isinstance(raw, bool):
            return "true" if raw else "false"
        elif isinstance(raw, int):
            return str(raw) if abs(raw) <= _LARGEST_NUMBER else None
        else:
            return None
        return _decoded(text) if is_encoded else text
    except UnicodeError:
        return None


def _encoded(value: str) -> str:
    return value if _PLAIN.match(value) else quote(value, safe=_SAFE)


def _decoded(value: str) -> str | None:
    """Raises UnicodeError for bytes that are not UTF-8."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value:
        return value
    if _BROKEN.search(value):
        return None
    start, *rest = value.encode().split(b"%")
    return (start + b"".join(bytes.fromhex(str(part[:2], "ascii")) + part[2:] for part in rest)).decode()


def _refused(message: BusMessage, why: str, do: str = "") -> BusRefused:
    return BusRefused(f"message {message.id!r} of type {message.type!r} is no CloudEvent", why=why, do=do)
