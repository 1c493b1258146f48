"""Events as bytes: on their way into a store, and as they come out of it."""

from typing import Any

import msgspec

from daicho.core.codec import decode_metadata
from daicho.core.messages import RecordedEvent
from daicho.core.registry import Registry
from daicho.core.streams import Position
from daicho.core.times import from_text

__all__ = ["NewEvent", "StoredEvent", "recorded"]


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event on its way into the store: encoded data and its envelope. Times are ISO 8601 text in UTC."""

    event_id: str
    type: str
    schema_version: int
    data: bytes
    occurred_at: str
    correlation_id: str
    causation_id: str
    actor: str | None = None
    tenant: str | None = None
    tags: tuple[str, ...] = ()
    metadata: bytes = b"{}"


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it comes out of the store. Positional: adapters build it from a row in this order."""

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    event_id: str
    occurred_at: str
    recorded_at: str
    actor: str | None
    tenant: str | None
    correlation_id: str
    causation_id: str
    tags: tuple[str, ...]
    metadata: bytes
    data: bytes


def recorded(stored: StoredEvent, registry: Registry) -> RecordedEvent[Any]:
    """The event with its envelope, decoded and upcast. Raises UnknownEventType or UnreadableEvent."""
    return RecordedEvent(
        event=registry.decode(stored.type, stored.schema_version, stored.data, f"position {stored.position}"),
        event_id=stored.event_id,
        type=stored.type,
        schema_version=stored.schema_version,
        stream=stored.stream,
        version=stored.version,
        position=Position(stored.position),
        occurred_at=from_text(stored.occurred_at),
        recorded_at=from_text(stored.recorded_at),
        actor=stored.actor,
        tenant=stored.tenant,
        correlation_id=stored.correlation_id,
        causation_id=stored.causation_id,
        tags=stored.tags,
        metadata=decode_metadata(stored.metadata),
    )
