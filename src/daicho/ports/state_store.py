"""Present states in rows, for aggregates whose state is what is kept: written in the transaction of the events.

    append of n events at version v ──> the row says v + n, in the same transaction
    load ──> the row, and events that came after it (of a writer that keeps none): normally none

Never a cache: nothing but `daicho move` deletes a row, and the events before it may be gone.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = ["Pruned", "Standing", "StateRow", "StateStore", "StateWrite"]


class StateWrite(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an append says about the row of its stream."""

    data: bytes | None
    """The state after the append, as JSON; None removes the row."""
    schema_version: int = 1
    position: int = 0
    """Of the last event, for an append that has none."""
    fenced: bool = True
    """Whether the row is left alone, as it is, once the category is being moved or was moved to events."""


class StateRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one stream."""

    stream: str
    version: int
    """After this many events."""
    position: int
    """Of the last of them."""
    schema_version: int
    data: bytes
    """JSON."""
    updated_at: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the streams of a category are kept. A category that was never kept in rows has none."""

    category: str
    kind: str
    """`state` or `events`."""
    moving_to: str | None = None
    """The other one, while that is under way."""
    pruned_to: int = 0
    """No event behind this position has been pruned; of those up to it, some have."""
    rules: tuple[str, ...] = ()
    """The rules among streams that were declared when events were pruned first."""


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a stream goes, and the state at that place, from which the rest can be folded."""

    stream: str
    version: int
    occurred_at: str
    """Of all events up to there, the latest."""
    schema_version: int
    data: bytes


class StateStore(Protocol):
    async def states(self, category: str, *, after: str = "", limit: int = 100) -> list[StateRow]:
        """Rows of a category, by stream, beginning behind the name `after`."""
        ...

    async def standings(self) -> dict[str, Standing]:
        """By category."""
        ...

    async def note_standing(self, standing: Standing, *, only_new: bool = False) -> None:
        """Durable when it returns; with `only_new`, one that is there stays. Appends that begin afterwards heed it."""
        ...

    async def prune(self, category: str, some: Sequence[Pruned], up_to: int) -> int:
        """Deletes events of these streams up to the given versions, and keeps the states there; all or nothing. Notes
        that some up to the position `up_to` are gone. Returns how many events went.

        The first event of a stream, the last one, those that its row has not seen, and tagged ones stay. Nothing is
        done if the category is not kept in rows, or is being moved.
        """
        ...

    async def base(self, stream: str) -> Pruned | None:
        """The state where the kept history of a pruned stream begins."""
        ...
