"""The event with which a stream goes on from a state instead of from what came before it."""

from typing import Any

from daicho.core.messages import Event

__all__ = ["FOUNDED", "Founded", "HasFounding"]

FOUNDED = "daicho.founded"


class Founded(Event, name=FOUNDED):
    """The whole state at this place of the stream. What is folded from here on needs nothing that was before."""

    category: str
    schema: int
    """Version of the state's shape, as `state_version=` says it."""
    state: Any
    """What JSON holds: as the row of the state was."""
    origin: str = "state"
    """What it was founded on: a `state` that was kept in a row, or a row of a `crud` table."""


class HasFounding(Exception):
    """Among events that are to be folded one by one is a founding one, which begins anew. Does not leave the engine."""
