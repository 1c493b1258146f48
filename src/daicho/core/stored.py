"""Events as bytes: on their way into a store, and as they come out of it."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
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


# events of one group share their time of recording, and those of one kind of command their metadata
_moment = lru_cache(1024)(from_text)


@lru_cache(4096)
def _metadata(data: bytes) -> Mapping[str, str]:
    return MappingProxyType(decode_metadata(data))


def recorded(stored: StoredEvent, registry: Registry) -> RecordedEvent[Any]:
    """The event with its envelope, decoded and upcast. Raises UnknownEventType or UnreadableEvent."""
    return RecordedEvent(
        # positional, in the order of RecordedEvent's fields: this is the inner loop of every reader
        registry.decode(stored.type, stored.schema_version, stored.data, stored.position),
        stored.event_id,
        stored.type,
        stored.schema_version,
        stored.stream,
        stored.version,
        Position(stored.position),
        _moment(stored.occurred_at),
        _moment(stored.recorded_at),
        stored.actor,
        stored.tenant,
        stored.correlation_id,
        stored.causation_id,
        stored.tags,
        _metadata(stored.metadata),
    )
