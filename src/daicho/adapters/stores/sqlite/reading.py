"""Selections as SQL, and rows as StoredEvents."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from daicho.adapters.stores.sqlite.criteria import marks, matches_all, positions
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.ports.event_store import Narrow, Selection, StoredEvent

__all__ = ["events_at", "events_of_stream", "read_events", "read_narrow"]

_SELECT = (
    "select position, stream, version, type, schema_version, event_id, occurred_at, recorded_at, actor, tenant, "
    "correlation_id, causation_id, tags, cast(metadata as blob), cast(data as blob) from events"
)
_SELECT_NARROW = "select position, version, type, schema_version, cast(data as blob) from events"
_OF_FLOW = (
    "select position from events where event_id >= ? and event_id < ? and +correlation_id = ? union all "
    "select position from events where correlation_id = ? and substr(event_id, 1, 13) <> substr(correlation_id, 1, 13)"
)
_OF_STREAM = f"{_SELECT} where stream = ? and version > ? order by version limit ?"
_PAGE = f"{_SELECT} where position > ? order by position limit ?"

_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_statements: dict[str, str] = {}


def events_of_stream(connection: Connection, stream: str, after_version: int, limit: int) -> list[StoredEvent]:
    return _stored(connection.execute(_OF_STREAM, (stream, after_version, limit)))


def events_at(connection: Connection, places: Sequence[int]) -> list[StoredEvent]:
    return _stored(
        connection.execute(f"{_SELECT} where position in ({marks(len(places))}) order by position", tuple(places))
    )


def read_events(connection: Connection, wanted: Selection, limit: int) -> list[StoredEvent]:
    return _stored(connection.execute(*_query(wanted, limit)))


def read_narrow(connection: Connection, wanted: Selection, limit: int) -> list[Narrow]:
    return cast("list[Narrow]", connection.execute(*_query(wanted, limit, _SELECT_NARROW)))


def _stored(rows: Sequence[tuple[Any, ...]]) -> list[StoredEvent]:
    # The inner loop of every replay: one unpacking and one positional call for each event (zipping columns is slower).
    return [
        StoredEvent(
            position, stream, version, type_, schema_version, event_id, occurred_at, recorded_at, actor, tenant,
            correlation_id, causation_id, () if tags is None else _tags(tags), metadata, data,
        )
        for (
            position, stream, version, type_, schema_version, event_id, occurred_at, recorded_at, actor, tenant,
            correlation_id, causation_id, tags, metadata, data,
        ) in rows
    ]  # fmt: skip


def _query(wanted: Selection, limit: int, select: str = _SELECT) -> tuple[str, list[Any]]:
    """The statement for a selection. `+column` keeps SQLite from an index that would make it sort."""
    where: list[str] = []
    bound: list[Any] = []

    def also(text: str, *values: Any) -> None:
        where.append(text)
        bound.extend(values)

    by_version = wanted.stream is not None
    if wanted.stream is not None:
        also("stream = ?", wanted.stream)
    if wanted.event_id is not None:
        also("event_id = ?", wanted.event_id)
    if wanted.correlation_id is not None:
        flow = wanted.correlation_id
        if by_version or wanted.event_id is not None:
            also("+correlation_id = ?", flow)
        else:
            # '~' comes after all that an id is made of: every event id that begins like the flow's
            also(f"position in ({_OF_FLOW})", flow[:13], f"{flow[:13]}~", flow, flow)
    if wanted.after > 0:
        also("+position > ?" if by_version else "position > ?", wanted.after)
    if wanted.up_to is not None:
        also("+position <= ?" if by_version else "position <= ?", wanted.up_to)
    if wanted.after_version > 0:
        also("version > ?", wanted.after_version)
    if wanted.up_to_version is not None:
        also("version <= ?", wanted.up_to_version)
    narrow = len(where)
    if wanted.category is not None and not by_version:
        # '.' is the character after '-': all names that begin with the category and a dash.
        also("+stream >= ? and +stream < ?", f"{wanted.category}-", f"{wanted.category}.")
    elif wanted.category is not None:
        also("substr(stream, 1, ?) = ?", len(wanted.category) + 1, f"{wanted.category}-")
    if wanted.types is not None:
        also(f"+type in ({marks(len(wanted.types))})", *wanted.types)
    if wanted.causation_id is not None:
        also("causation_id = ?", wanted.causation_id)
    if wanted.actor is not None:
        also("actor = ?", wanted.actor)
    if wanted.tenant is not None:
        also("tenant = ?", wanted.tenant)
    if wanted.since is not None:
        also("occurred_at >= ?", wanted.since)
    if wanted.until is not None:
        also("occurred_at <= ?", wanted.until)
    if wanted.criteria is not None and not matches_all(wanted.criteria):
        only = len(where) == narrow and not by_version and wanted.event_id is None and wanted.correlation_id is None
        only = only and wanted.after_version == 0 and wanted.up_to_version is None
        text, values = positions(
            wanted.criteria,
            after=wanted.after,
            up_to=wanted.up_to,
            # Only if nothing else is asked for may each alternative stop early.
            limit=limit if only else None,
            newest_first=wanted.newest_first,
        )
        also(f"position in ({text})", *values)
    order = f"{'version' if by_version else 'position'}{' desc' if wanted.newest_first else ''}"
    condition = f" where {' and '.join(where)}" if where else ""
    text = f"{select}{condition} order by {order} limit ?"
    bound.append(limit)
    # The same text is the same object, so that the driver's statement cache compares addresses.
    return _statements.setdefault(text, text) if len(_statements) < 1000 else text, bound
