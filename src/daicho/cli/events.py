"""A stored event as a row: as it stands in the store, or as the app reads it."""

import base64
from typing import Any

import msgspec

from daicho.core.errors import HistoryError
from daicho.core.plain import plain
from daicho.core.registry import Registry
from daicho.ports.event_store import StoredEvent

__all__ = ["EVENT_COLUMNS", "event_row", "raw_data"]

EVENT_COLUMNS = ("position", "occurred_at", "stream", "version", "type", "actor", "data", "problem")


def event_row(event: StoredEvent, registry: Registry | None) -> dict[str, Any]:
    """The whole envelope. With a registry, `data` is decoded and upcast, and `problem` says why if it cannot be."""
    row: dict[str, Any] = {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "tenant": event.tenant,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "tags": list(event.tags),
        "metadata": msgspec.json.decode(event.metadata),
        "data": None,
    }
    if registry is None:
        row["data"] = raw_data(event.data)
        return row
    try:
        row["data"] = plain(registry.decode(event.type, event.schema_version, event.data))
        row["problem"] = None
    except HistoryError as error:
        row["data"], row["problem"] = raw_data(event.data), error.what
    return row


def raw_data(data: bytes) -> Any:
    """What was stored, JSON or MessagePack, as builtins."""
    try:
        return plain(msgspec.json.decode(data) if data[:1] == b"{" else msgspec.msgpack.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return {"base64": base64.b64encode(data).decode()}
