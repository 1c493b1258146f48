"""Selections as SQL, and rows as StoredEvents."""

from typing import Any

import msgspec

from daicho.adapters.stores.postgres.criteria import matches_all, positions
from daicho.adapters.stores.postgres.lines import Rows
from daicho.core.collecting import uncollected
from daicho.ports.event_store import Narrow, Selection, StoredEvent

__all__ = ["narrow_events", "query", "query_narrow", "stored_events"]

COLUMNS = (
    "position, stream, version, type, schema_version, event_id, occurred_at, recorded_at, actor, tenant, "
    "correlation_id, causation_id, tags, metadata, data, packed"
)
_SELECT = f"select {COLUMNS} from daicho.events"  # noqa: S608
_SELECT_NARROW = "select position, version, type, schema_version, data, packed from daicho.events"
_OF_FLOW = (
    "select position from daicho.events where event_id >= %s and event_id < %s and correlation_id = %s union all "
    "select position from daicho.events "
    "where correlation_id = %s and substr(event_id, 1, 13) <> substr(correlation_id, 1, 13)"
)

_tags = msgspec.json.Decoder(tuple[str, ...]).decode


def stored_events(rows: Rows) -> list[StoredEvent]:
    # The inner loop of every replay: one unpacking and one positional call for each event.
    with uncollected():
        return [
            StoredEvent(
                position, stream, version, type_, schema_version, event_id, occurred_at, recorded_at, actor, tenant,
                correlation_id, causation_id, () if tags is None else _tags(tags), metadata, data or packed,
            )
            for (
                position, stream, version, type_, schema_version, event_id, occurred_at, recorded_at, actor, tenant,
                correlation_id, causation_id, tags, metadata, data, packed,
            ) in rows
        ]  # fmt: skip


def narrow_events(rows: Rows) -> list[Narrow]:
    with uncollected():
        return [
            (position, version, type_, schema, data or packed)
            for position, version, type_, schema, data, packed in rows
        ]


def query(wanted: Selection, limit: int, up_to: int | None) -> tuple[str, list[Any]]:
    return _query(_SELECT, wanted, limit, up_to)


def query_narrow(wanted: Selection, limit: int, up_to: int | None) -> tuple[str, list[Any]]:
    return _query(_SELECT_NARROW, wanted, limit, up_to)


def _query(select: str, wanted: Selection, limit: int, up_to: int | None) -> tuple[str, list[Any]]:
    """The statement for a selection, up to a position that may be looked at."""
    where: list[str] = []
    bound: list[Any] = []

    def also(text: str, *values: Any) -> None:
        where.append(text)
        bound.extend(values)

    by_version = wanted.stream is not None
    if wanted.stream is not None:
        also("stream = %s", wanted.stream)
    if wanted.event_id is not None:
        also("event_id = %s", wanted.event_id)
    if wanted.correlation_id is not None:
        flow = wanted.correlation_id
        if by_version or wanted.event_id is not None:
            also("correlation_id = %s", flow)
        else:
            # '~' comes after all that an id is made of: every event id that begins like the flow's
            also(f"position = any (array({_OF_FLOW}))", flow[:13], f"{flow[:13]}~", flow, flow)
    if wanted.after > 0:
        also("position > %s", wanted.after)
    if up_to is not None:
        also("position <= %s", up_to)
    if wanted.after_version > 0:
        also("version > %s", wanted.after_version)
    if wanted.up_to_version is not None:
        also("version <= %s", wanted.up_to_version)
    narrow = len(where)
    if wanted.category is not None:
        # '.' is the character after '-': all names that begin with the category and a dash.
        also("stream >= %s and stream < %s", f"{wanted.category}-", f"{wanted.category}.")
    if wanted.types is not None:
        also("type = any (%s)", list(wanted.types))
    for column in ("causation_id", "actor", "tenant"):
        value = getattr(wanted, column)
        if value is not None:
            also(f"{column} = %s", value)
    if wanted.since is not None:
        also("occurred_at >= %s", wanted.since)
    if wanted.until is not None:
        also("occurred_at <= %s", wanted.until)
    if wanted.criteria is not None and not matches_all(wanted.criteria):
        only = len(where) == narrow and not by_version and wanted.event_id is None and wanted.correlation_id is None
        only = only and wanted.after_version == 0 and wanted.up_to_version is None
        text, values = positions(
            wanted.criteria,
            after=wanted.after,
            up_to=up_to,
            # Only if nothing else is asked for may each alternative stop early.
            limit=limit if only else None,
            newest_first=wanted.newest_first,
        )
        also(f"position = any (array({text}))", *values)
    order = f"{'version' if by_version else 'position'}{' desc' if wanted.newest_first else ''}"
    condition = f" where {' and '.join(where)}" if where else ""
    bound.append(limit)
    return f"{select}{condition} order by {order} limit %s", bound
