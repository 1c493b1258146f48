"""What travels between services, as messages of a bus and back. What comes from outside is believed nothing."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from daicho.core.codec import decode_metadata, is_json
from daicho.core.errors import InvalidMessage
from daicho.core.ids import is_uuid
from daicho.core.messages import Command
from daicho.core.stored import NewEvent, StoredEvent
from daicho.core.times import from_text, to_text
from daicho.ports.command_sender import Envelope, Packed, packed
from daicho.ports.event_bus import BusMessage
from daicho.ports.event_store import CommandOutcome, StreamWrite

__all__ = ["Answer", "answer_message", "answer_of", "command_message", "envelope_of", "event_message", "write_of"]

T = TypeVar("T")
REPLY = "daicho.reply"
_JSON, _MSGPACK = "application/json", "application/msgpack"
_LONGEST = 255
_MOST_HOPS = 1_000_000
_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """What the owner of a command tells the service that sent it."""

    state: str
    """`done`, `rejected` or `failed`."""
    reason: str | None = None
    stream: str | None = None
    """In the owner's register."""
    version: int = 0
    position: int = 0


# -- events ---------------------------------------------------------------------------------------------------------


def event_message(event: StoredEvent, source: str, previous: int) -> BusMessage:
    """An event of the register of `source`; `previous` is the position of the one before it on its way."""
    further = {
        "schemaversion": str(event.schema_version),
        "streamversion": str(event.version),
        "recordedat": event.recorded_at,
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "metadata": event.metadata.decode(),
    }
    if event.actor is not None:
        further["actor"] = event.actor
    if event.tenant is not None:
        further["tenant"] = event.tenant
    if b'"traceparent"' in event.metadata and (parent := decode_metadata(event.metadata).get("traceparent")):
        further["traceparent"] = parent
    return BusMessage(
        id=event.event_id,
        source=source,
        type=event.type,
        subject=event.stream,
        time=event.occurred_at,
        data=event.data,
        content_type=_JSON if is_json(event.data) else _MSGPACK,
        number=event.position,
        previous=previous,
        extensions=further,
    )


def write_of(message: BusMessage, source: str, largest: int) -> StreamWrite:
    """The event as it is recorded in the hearer's register. Raises InvalidMessage for what cannot be."""
    further = message.extensions
    stream = f"{source}.{message.subject}"
    if message.source != source:
        raise _bad("source", f"{message.source!r} speaks on the channel of {source!r}")
    for name, value in (("type", message.type), ("subject", message.subject)):
        if not value or len(value) > _LONGEST or not value.isprintable():
            raise _bad(name, "is empty, too long or not printable")
    if len(stream) > _LONGEST or "-" not in message.subject:
        raise _bad("subject", f"{message.subject!r} names no stream of {source}, or is too long")
    if len(message.data) > largest:
        raise _bad("data", f"{len(message.data):,} bytes are more than the {largest:,} that this App takes")
    metadata = {
        **_metadata(further),
        "source": source,
        "origin_stream": message.subject,
        "origin_version": str(_number(further, "streamversion", 1)),
        "origin_position": str(message.number),
    }
    event = NewEvent(
        event_id=_uuid(message.id, "id"),
        type=message.type,
        schema_version=_number(further, "schemaversion", 1),
        data=message.data,
        occurred_at=_time(message.time, "time"),
        correlation_id=_uuid(further.get("correlationid", ""), "correlationid"),
        causation_id=_uuid(further.get("causationid", ""), "causationid"),
        actor=_name(further, "actor"),
        tenant=_name(further, "tenant"),
        metadata=_encode(metadata),
    )
    return StreamWrite(stream=stream, events=(event,))


# -- commands -------------------------------------------------------------------------------------------------------


def command_message(outcome: CommandOutcome, source: str, key_field: str) -> BusMessage:
    """A posted command on its way to its owner. Its subject is the value of `key_field`, or else its id. Raises
    msgspec.MsgspecError if what is stored of it cannot be read."""
    kept = packed(outcome)
    further = {
        "correlationid": outcome.correlation_id or outcome.command_id,
        "hops": str(kept.hops),
        "metadata": _encode(kept.metadata).decode(),
    }
    perhaps = {
        "actor": outcome.actor,
        "tenant": outcome.tenant,
        "causationid": outcome.cause,
        "handler": outcome.handler,
        "occurredat": kept.occurred_at,
        "expected": None if kept.expected is None else str(kept.expected),
        "traceparent": kept.metadata.get("traceparent"),
    }
    further.update({name: value for name, value in perhaps.items() if value is not None})
    return BusMessage(
        id=outcome.command_id,
        source=source,
        type=outcome.name,
        subject=_key(kept, key_field) or outcome.command_id,
        time=outcome.received_at,
        data=bytes(kept.command),
        extensions=further,
    )


def _key(kept: Packed, key_field: str) -> str:
    if not key_field:
        return ""
    value = msgspec.json.decode(kept.command).get(key_field)
    text = value if isinstance(value, str) else "" if value is None else _encode(value).decode()
    return text if 0 < len(text) <= _LONGEST and text.isprintable() else ""


def envelope_of(message: BusMessage, cls: type[Command]) -> Envelope:
    """A command that another service sent, checked as whatever comes from outside. Raises InvalidMessage."""
    further = message.extensions
    if not message.source.isprintable() or not message.source:
        raise _bad("source", "is empty or not printable")
    try:
        command = msgspec.json.decode(message.data, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad("data", f"is no {cls.__message_name__}: {error}") from error
    occurred, cause = further.get("occurredat"), further.get("causationid")
    return Envelope(
        command=command,
        command_id=_uuid(message.id, "id"),
        correlation_id=_uuid(further.get("correlationid", ""), "correlationid"),
        name=cls.__message_name__,
        actor=_name(further, "actor"),
        tenant=_name(further, "tenant"),
        expected=_number(further, "expected", 0) if "expected" in further else None,
        occurred_at=from_text(_time(occurred, "occurredat")) if occurred else None,
        cause=_uuid(cause, "causationid") if cause else None,
        handler=_name(further, "handler"),
        hops=_number(further, "hops", 0),
        metadata={**_metadata(further), "sender": message.source},
        received_at=_time(message.time, "time"),
        may_repeat=True,
        posted=True,
        source=message.source,
    )


def answer_message(answer: Answer, command_id: str, source: str, *, id: str, at: str) -> BusMessage:
    return BusMessage(id=id, source=source, type=REPLY, subject=command_id, time=at, data=_encode(answer))


def answer_of(message: BusMessage) -> Answer:
    """Raises InvalidMessage."""
    _uuid(message.subject, "subject")
    if message.type != REPLY:
        raise _bad("type", f"{message.type!r} is no reply")
    try:
        answer = msgspec.json.decode(message.data, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad("data", f"is no reply: {error}") from error
    if answer.state not in ("done", "rejected", "failed"):
        raise _bad("data", f"{answer.state!r} is no outcome")
    return answer


# -- small parts ----------------------------------------------------------------------------------------------------


def _bad(attribute: str, why: str) -> InvalidMessage:
    return InvalidMessage(
        f"what came over the bus is malformed: {attribute} {why}",
        why="another service, or something else on the broker, sent what no Daicho sends",
        do="look at who writes to the channel; once that is mended, skip this one",
        path=attribute,
    )


def _uuid(text: str, attribute: str) -> str:
    if not is_uuid(text):
        raise _bad(attribute, f"{text[:80]!r} is no UUID")
    return text


def _time(text: str, attribute: str) -> str:
    try:
        return to_text(from_text(text))
    except (ValueError, OverflowError, InvalidMessage):
        raise _bad(attribute, f"{text[:80]!r} is no time in UTC") from None


def _number(further: Mapping[str, str], attribute: str, least: int) -> int:
    text = further.get(attribute, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text) >= least):
        raise _bad(attribute, f"{text[:80]!r} is no number from {least}")
    return int(text)


def _name(further: Mapping[str, str], attribute: str) -> str | None:
    text = further.get(attribute)
    if text is not None and (len(text) > _LONGEST or "\0" in text):
        raise _bad(attribute, "is too long or holds what no name does")
    return text


def _metadata(further: Mapping[str, str]) -> dict[str, str]:
    text: Any = further.get("metadata", "{}")
    try:
        return dict(decode_metadata(text.encode()))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _bad("metadata", f"is no map of texts: {error}") from error
