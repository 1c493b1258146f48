"""Events as lines of text, and back without loss: Daicho's own form, and CloudEvents 1.0 (JSON)."""

import base64
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from daicho.core.errors import InvalidMessage
from daicho.core.ids import is_uuid
from daicho.core.stored import NewEvent, StoredEvent
from daicho.core.times import from_text, to_text

__all__ = ["Format", "Placed", "line_reader", "line_writer"]

Format: TypeAlias = Literal["jsonl", "cloudevents"]


class Placed(msgspec.Struct, frozen=True, gc=False):
    """An event and its place, as a line tells them."""

    stream: str
    version: int
    event: NewEvent


class Line(msgspec.Struct, kw_only=True):
    """One line of the form `jsonl`: the envelope as it is stored. `data` verbatim if it is JSON, else in base64."""

    position: int = 0
    stream: str
    version: int
    type: str
    schema_version: int = 1
    event_id: str
    occurred_at: str
    recorded_at: str | None = None
    actor: str | None = None
    tenant: str | None = None
    correlation_id: str
    causation_id: str
    tags: tuple[str, ...] = ()
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET


class CloudEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the form `cloudevents`. Extension attributes hold the rest of the envelope; they may only be
    texts and small integers, so tags and metadata are JSON in a text (CloudEvents 1.0.2, sections 2 and 3)."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str | None = None
    recordedtime: str | None = None
    streamversion: int
    schemaversion: int = 1
    actor: str | None = None
    tenant: str | None = None
    correlationid: str
    causationid: str
    tags: str = "[]"
    metadata: str = "{}"
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode
_tags = msgspec.json.Decoder(tuple[str, ...]).decode


def line_writer(form: Format) -> Callable[[StoredEvent], bytes]:
    return _as_line if form == "jsonl" else _as_cloud_event


def _data(event: StoredEvent) -> dict[str, Any]:
    text = event.data
    if text[:1] == b"{" and text[-1:] == b"}" and b"\n" not in text:
        return {"data": msgspec.Raw(text)}
    return {"data_base64": base64.b64encode(text).decode()}


def _as_line(event: StoredEvent) -> bytes:
    return _encode(
        Line(
            position=event.position,
            stream=event.stream,
            version=event.version,
            type=event.type,
            schema_version=event.schema_version,
            event_id=event.event_id,
            occurred_at=event.occurred_at,
            recorded_at=event.recorded_at,
            actor=event.actor,
            tenant=event.tenant,
            correlation_id=event.correlation_id,
            causation_id=event.causation_id,
            tags=event.tags,
            metadata=msgspec.Raw(event.metadata),
            **_data(event),
        )
    )


def _as_cloud_event(event: StoredEvent) -> bytes:
    data = _data(event)
    return _encode(
        CloudEvent(
            specversion="1.0",
            id=event.event_id,
            source="urn:daicho",
            type=event.type,
            subject=event.stream,
            time=event.occurred_at,
            datacontenttype="application/json" if "data" in data else "application/msgpack",
            recordedtime=event.recorded_at,
            streamversion=event.version,
            schemaversion=event.schema_version,
            actor=event.actor,
            tenant=event.tenant,
            correlationid=event.correlation_id,
            causationid=event.causation_id,
            tags=_encode(event.tags).decode(),
            metadata=event.metadata.decode(),
            **data,
        )
    )


_line, _cloud = msgspec.json.Decoder(Line).decode, msgspec.json.Decoder(CloudEvent).decode


def line_reader(number: int, text: bytes) -> Placed:
    """The event of a line in either form. Raises InvalidMessage that names the line."""
    try:
        placed = _from_cloud_event(_cloud(text)) if b'"specversion"' in text[:400] else _from_line(_line(text))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InvalidMessage(
            f"line {number} is not an exported event: {error}",
            why="every line holds one event, as `daicho export` writes it",
            do="check the file; what came before this line is imported, and importing again changes nothing",
            path=f"line {number}",
        ) from error
    for given in (placed.event.event_id, placed.event.correlation_id, placed.event.causation_id):
        if not is_uuid(given):
            raise InvalidMessage(f"line {number}: {given!r} is not a UUID", do="mend the file", path=f"line {number}")
    if not (0 < len(placed.stream) <= 255 and placed.stream.isprintable() and placed.version > 0):
        raise InvalidMessage(
            f"line {number}: {placed.stream!r} version {placed.version} is no place in a stream",
            do="mend the file",
            path=f"line {number}",
        )
    return placed


def _bytes(line: Line | CloudEvent) -> bytes:
    if isinstance(line.data_base64, str):
        return base64.b64decode(line.data_base64, validate=True)
    if isinstance(line.data, msgspec.Raw) and bytes(line.data)[:1] == b"{":
        return bytes(line.data)
    raise ValueError("`data` is missing, or not a JSON object")


def _from_line(line: Line) -> Placed:
    return Placed(
        line.stream,
        line.version,
        NewEvent(
            event_id=line.event_id,
            type=line.type,
            schema_version=line.schema_version,
            data=_bytes(line),
            occurred_at=to_text(from_text(line.occurred_at)),
            correlation_id=line.correlation_id,
            causation_id=line.causation_id,
            actor=line.actor,
            tenant=line.tenant,
            tags=line.tags,
            metadata=bytes(line.metadata),
        ),
    )


def _from_cloud_event(line: CloudEvent) -> Placed:
    return Placed(
        line.subject,
        line.streamversion,
        NewEvent(
            event_id=line.id,
            type=line.type,
            schema_version=line.schemaversion,
            data=_bytes(line),
            occurred_at=to_text(from_text(line.time)),
            correlation_id=line.correlationid,
            causation_id=line.causationid,
            actor=line.actor,
            tenant=line.tenant,
            tags=_tags(line.tags),
            metadata=line.metadata.encode(),
        ),
    )
