"""What a store can do besides, if it runs the SQL of projections itself."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from daicho.core.errors import StoreFailed
from daicho.ports.checkpoint_store import Advance
from daicho.ports.dead_letter_store import ParkedEvent
from daicho.ports.view_store import TableSpec

__all__ = ["SetStep", "SqlViews", "StepRefused", "Stretch"]


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What lies behind a position, as far as one step may go."""

    last: int
    """The position to which a step may go."""
    full: bool
    """Whether there may be more behind it."""
    events: int
    """How many events of the types that were asked for are to be dealt with."""
    followers: int
    """How many are of parked streams."""
    hidden: int
    """How many of `events` hold data that SQL cannot read."""


class SetStep(msgspec.Struct, frozen=True, kw_only=True):
    """Statements, the events they are to see, and what is committed with them."""

    table: TableSpec
    statements: Sequence[str]
    """With `{table}` and `{events}` in them; none if nothing is to be run."""
    types: Sequence[str]
    without: Sequence[str] = ()
    """Streams whose events are left out."""
    after: int
    up_to: int
    careful: bool = False
    """Whether an event that SQL cannot read may be among them: the step is then refused."""
    weight: int = 1
    """About how many events it has."""
    advance: Advance
    parked: Sequence[ParkedEvent] = ()
    retried: Sequence[int] = ()
    """Dead letters that went through with this step."""


class StepRefused(StoreFailed):
    """The database refused the statements for what these events, or the rows they met, hold. Nothing was written."""


@runtime_checkable
class SqlViews(Protocol):
    """A store in which a projection can be SQL over its events table."""

    dialect: str
    """`postgresql` or `sqlite`."""

    async def stretch(
        self, types: Sequence[str], parked: Sequence[str], *, after: int, up_to: int, limit: int
    ) -> Stretch:
        """Looks at the first `limit` events, of any type, behind `after` and not beyond `up_to`. `parked`: streams."""
        ...

    async def rehearse(self, table: TableSpec, statements: Sequence[str]) -> None:
        """Runs the statements on no events and takes everything back. Raises WiringError, with what the database says,
        if it refuses one, or if one ends the transaction."""
        ...

    async def try_set(self, steps: Sequence[SetStep]) -> tuple[int, StepRefused | None]:
        """Runs the statements of the steps one after another, and takes everything back; moves no checkpoint. How many
        went through, and what refused the next; None if all did."""
        ...

    async def apply_set(self, step: SetStep) -> None:
        """Runs the statements; writes checkpoint, parked and retried letters; all or nothing. Raises StepRefused,
        LostLease (the advance is not the owner's next one), and writes nothing then."""
        ...
