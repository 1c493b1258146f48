"""How messages, and what the bus itself has to remember, are written as Axon's events.

A channel is an aggregate with one event, which says how it is cut; each of its partitions is an aggregate whose events
are the messages; each group's place in a partition is an aggregate, too:

    daicho:events.orders                0  declared {"partitions": 8}
    daicho:events.orders/3              0  order.created ...   1  order.paid ...   2 ...
    daicho:events.orders/3@shipping     0  claimed {"next": 0}   1  heard {"next": 2} ...

The server takes an event only if it is the next one of its aggregate, so nobody publishes, declares or moves a place
without knowing what was there before.
"""

from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from daicho.adapters.buses.axon.protocol import Message, new
from daicho.adapters.cloudevents import Binding, headers_of, message_from
from daicho.ports.event_bus import BusMessage, Channel

__all__ = [
    "CLAIMED",
    "DECLARED",
    "HEARD",
    "Note",
    "aggregate_of",
    "chain_of",
    "event_of",
    "message_of",
    "noted",
    "read",
]

BINDING = Binding(prefixes=("ce_",), content_type="ce_datacontenttype")
"""Axon has no binding of its own: attributes are metadata, by the names that Kafka's binding gives them."""
CHAIN = "daicho_chain"
"""The number of the last message of a chain up to and with this one."""
DECLARED, CLAIMED, HEARD = "daicho.bus.declared", "daicho.bus.claimed", "daicho.bus.heard"
_REVISION = ("schemaversion", "dataversion")
"""Extensions that say which version of its type a message is."""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the bus remembers."""

    partitions: int = 0
    next: int = 0
    """The sequence number of the first message that a group has not heard."""
    by: str = ""
    """Whose subscription says so."""


def aggregate_of(channel: Channel, partition: int | None = None, group: str | None = None) -> str:
    return f"daicho:{channel.name}" + ("" if partition is None else f"/{partition}") + (f"@{group}" if group else "")


def event_of(message: BusMessage, channel: Channel, partition: int, sequence: int, chain: int) -> Message:
    """Raises BusRefused for what is no CloudEvent."""
    headers = headers_of(message, BINDING)
    told = {name: new("MetaDataValue", text_value=value) for name, value in headers.items()}
    told[CHAIN] = new("MetaDataValue", number_value=chain)
    revision = next((message.extensions[name] for name in _REVISION if name in message.extensions), "")
    return new(
        "event.Event",
        message_identifier=message.id,
        aggregate_identifier=aggregate_of(channel, partition),
        aggregate_sequence_number=sequence,
        aggregate_type=channel.name,
        timestamp=_milliseconds(message.time),
        payload=new("SerializedObject", type=message.type, revision=revision, data=message.data),
        meta_data=told,
    )


def message_of(event: Message) -> BusMessage:
    """`type` is empty if the event is no message of ours. Raises nothing."""
    headers = {name: _value(value) for name, value in event.meta_data.items()}
    return message_from(headers, event.payload.data, BINDING)


def chain_of(event: Message) -> int | None:
    """The number of the last message of a chain up to this one. None if it is somebody else's event."""
    return event.meta_data[CHAIN].number_value if CHAIN in event.meta_data else None


def noted(kind: str, note: Note, aggregate: str, sequence: int) -> Message:
    return new(
        "event.Event",
        message_identifier=str(uuid4()),
        aggregate_identifier=aggregate,
        aggregate_sequence_number=sequence,
        aggregate_type="daicho.bus",
        timestamp=int(datetime.now(UTC).timestamp() * 1000),
        payload=new("SerializedObject", type=kind, revision="1", data=msgspec.json.encode(note)),
    )


def read(event: Message) -> Note | None:
    """None if it is not one of ours."""
    if event.payload.type not in (DECLARED, CLAIMED, HEARD):
        return None
    try:
        return msgspec.json.decode(event.payload.data, type=Note)
    except msgspec.DecodeError:
        return None


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)


def _value(value: Message) -> object:
    kind = value.WhichOneof("data")
    return getattr(value, kind) if kind in ("text_value", "number_value", "boolean_value") else None
