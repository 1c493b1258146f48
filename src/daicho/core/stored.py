"""Events as bytes: on their way into a store, and as they come out of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from daicho.core.codec import decode_metadata
from daicho.core.messages import RecordedEvent
from daicho.core.registry import Registry
from daicho.core.streams import Position
from daicho.core.times import from_text

__all__ = ["NewEvent", "StoredEvent", "all_recorded", "recorded"]


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


_moment = lru_cache(1024)(from_text)


@lru_cache(4096)
def _metadata(data: bytes) -> Mapping[str, str]:
    return MappingProxyType(decode_metadata(data))


def recorded(stored: StoredEvent, registry: Registry) -> RecordedEvent[Any]:
    """The event with its envelope, decoded and upcast. Raises UnknownEventType or UnreadableEvent."""
    return RecordedEvent(
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


def all_recorded(page: Iterable[StoredEvent], registry: Registry) -> list[RecordedEvent[Any]]:
    """`recorded` for each: the inner loop of every reader, so with one unpacking and as few calls as can be.

    Times are compared with those of the event before: the events of one group share theirs, others never come again.
    """
    decode, found = registry.decode, list[RecordedEvent[Any]]()
    occurred_text = recorded_text = ""
    occurred = recorded_at = datetime.min
    for (
        position, stream, version, type_, schema_version, event_id, occurred_at, stored_at, actor, tenant,
        correlation_id, causation_id, tags, metadata, data,
    ) in map(msgspec.structs.astuple, page):  # fmt: skip
        if occurred_at != occurred_text:
            occurred_text, occurred = occurred_at, from_text(occurred_at)
        if stored_at != recorded_text:
            recorded_text, recorded_at = stored_at, from_text(stored_at)
        found.append(
            RecordedEvent(
                decode(type_, schema_version, data, position), event_id, type_, schema_version, stream, version,
                Position(position), occurred, recorded_at, actor, tenant, correlation_id, causation_id, tags,
                _metadata(metadata),
            )
        )  # fmt: skip
    return found
