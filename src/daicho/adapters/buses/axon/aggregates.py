"""Aggregates on the server: what is in one, and appending the next events of one."""

from collections.abc import Sequence

from daicho.adapters.buses.axon.events import chain_of
from daicho.adapters.buses.axon.protocol import Message, new
from daicho.adapters.buses.axon.wire import Wire
from daicho.core.errors import BusRefused, BusUnavailable

__all__ = ["append_all", "chain_at", "events_of", "last_of"]

_PAGE = 100

_APPEND = "event.EventStore/AppendEvent"
_EVENTS = "event.EventStore/ListAggregateEvents"
_HIGHEST = "event.EventStore/ReadHighestSequenceNr"


async def last_of(wire: Wire, aggregate: str) -> Message | None:
    """The newest event."""
    asked = new("event.ReadHighestSequenceNrRequest", aggregate_id=aggregate)
    highest = (await wire.ask(_HIGHEST, asked)).to_sequence_nr
    if highest < 0:
        return None
    found = await events_of(wire, aggregate, highest, 1)
    if not found:
        raise BusUnavailable(
            f"{wire.url} does not find event {highest} of {aggregate}",
            why="it said a moment ago that this is the newest one",
            do="try again; if it stays so, look into the server's log",
        )
    return found[0]


async def events_of(wire: Wire, aggregate: str, start: int, limit: int) -> Sequence[Message]:
    """From that sequence number on, in order, none left out."""
    asked = new(
        "event.GetAggregateEventsRequest",
        aggregate_id=aggregate,
        initial_sequence=start,
        max_sequence=start + limit,  # inclusive or not: releases differ, and one too many does no harm
    )
    found = await wire.list(_EVENTS, asked, limit)
    if [event.aggregate_sequence_number for event in found] != list(range(start, start + len(found))):
        raise BusRefused(
            f"{wire.url} leaves out events of {aggregate}",
            why=f"from {start} on it has {[event.aggregate_sequence_number for event in found]}",
            do="look into the server's log: an aggregate has no holes",
        )
    return found


async def chain_at(wire: Wire, aggregate: str, sequence: int) -> int:
    """The number of the last message of a chain up to that event; 0 if there is none."""
    size = 1
    while sequence >= 0:
        start = max(0, sequence - size + 1)
        for event in reversed(await events_of(wire, aggregate, start, sequence - start + 1)):
            if (chain := chain_of(event)) is not None:
                return chain
        sequence, size = start - 1, _PAGE  # somebody else's event tells nothing
    return 0


async def append_all(wire: Wire, new_events: Sequence[Message]) -> None:
    """All or none. Raises InvalidSequence if they are not the next ones."""
    said = await wire.tell(_APPEND, new_events)
    if not said.success:
        raise BusRefused(f"{wire.url} did not confirm {len(new_events)} events", why="it says: no success")
