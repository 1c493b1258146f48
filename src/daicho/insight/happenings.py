"""What insight counts: something of a type happened to somebody at a time."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from daicho.core.stored import StoredEvent
from daicho.core.streams import category_of
from daicho.core.times import from_text

__all__ = ["Happening", "happenings", "key_reader"]


class Happening(NamedTuple):
    """One event, as far as it matters here."""

    key: str
    """Whose history it belongs to: a stream, a flow, or what a field of the event says."""
    type: str
    at: datetime
    """When it occurred."""


def key_reader(by: str) -> Callable[[StoredEvent], str | None]:
    """What tells the histories apart: `stream`, `correlation`, `actor`, or the name of a field of the events, by which
    events of several aggregates come together: `order_id`. None for an event that has no such field."""
    match by:
        case "stream":
            return lambda event: event.stream
        case "correlation":
            return lambda event: event.correlation_id
        case "actor":
            return lambda event: event.actor
        case _:
            return lambda event: _field(event, by)


def _field(event: StoredEvent, name: str) -> str | None:
    try:
        content: Any = (msgspec.json if event.data[:1] == b"{" else msgspec.msgpack).decode(event.data)
    except msgspec.DecodeError:
        return None
    found = content.get(name) if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, str) else str(found) if isinstance(found, int) else None  # pyright: ignore[reportUnknownArgumentType]


async def happenings(
    events: AsyncIterator[StoredEvent],
    *,
    by: str = "stream",
    category: str | None = None,
    types: Iterable[str] = (),
) -> AsyncIterator[Happening]:
    """Those events that have a key, in the order in which they come; of one category of streams, or of some types, if
    these are given."""
    key_of, wanted = key_reader(by), frozenset(types)
    async for event in events:
        if wanted and event.type not in wanted:
            continue
        if category is not None and category_of(event.stream) != category:
            continue
        key = key_of(event)
        if key is not None:
            yield Happening(key, event.type, from_text(event.occurred_at))
