"""The register itself: append, read, wait."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec

from daicho.core.conditions import ANY, AppendCondition, Criteria, Expected
from daicho.core.stored import NewEvent, StoredEvent
from daicho.core.streams import category_of
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.state_store import StateRow, StateWrite

__all__ = [
    "Appended",
    "AppendRequest",
    "Beginning",
    "CommandOutcome",
    "EventStore",
    "InlineTransaction",
    "Narrow",
    "NewEvent",
    "Selection",
    "StoredEvent",
    "StreamWrite",
]


class StreamWrite(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Events for one stream, in order, if the stream is at the expected version."""

    stream: str
    events: tuple[NewEvent, ...]
    expected: Expected = ANY
    state: StateWrite | None = None
    """The state after these events, for the stream's row; written with them or not at all."""


class CommandOutcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a command; kept for those with a key, those posted, and those refused."""

    command_id: str
    name: str
    state: str
    """`pending`, `done`, `rejected` or `failed`."""
    key: str | None = None
    fingerprint: str | None = None
    """Hash of the command's content: the same key with another content is refused."""
    stream: str | None = None
    version: int = 0
    position: int = 0
    reason: str | None = None
    actor: str | None = None
    tenant: str | None = None
    correlation_id: str | None = None
    cause: str | None = None
    """Id of the event whose handler sent it."""
    handler: str | None = None
    """Name of that handler."""
    received_at: str = ""
    finished_at: str | None = None
    payload: bytes | None = None
    """The command itself, and how it was sent: only while it may still have to run."""


class InlineTransaction(Protocol):
    """What an inline projection may do inside the append's transaction. Synchronous."""

    def checkpoint(self, processor: str) -> int | None:
        """The position that `processor` has reached; None if it was never registered."""
        ...

    def has_parked(self, processor: str) -> bool:
        """Whether `processor` has dead letters that have not been dealt with."""
        ...

    def rows(self, table: Any, keys: Sequence[str]) -> dict[str, Any]:
        """Those of the rows that exist."""
        ...

    def write(self, table: Any, upserts: dict[str, Any], deletes: Sequence[str]) -> None: ...

    def advance(self, processor: str, position: int) -> None: ...


class AppendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One indivisible append: all of it happens or none of it."""

    writes: tuple[StreamWrite, ...] = ()
    condition: AppendCondition | None = None
    outcome: CommandOutcome | None = None
    """Recorded in the same transaction; `stream`, `version` and `position` are filled in by the store if `writes`
    is not empty. Replaces an earlier outcome of the same command id."""
    inline: Callable[[InlineTransaction, Sequence[StoredEvent]], None] | None = None
    """Called inside the transaction, after the events are in. If it raises, this request is undone, alone."""
    epoch: int | None = None
    """The epoch in which the expected versions were looked at. If another has begun since, the same number may stand
    for other events, so the request is refused, unless its own events are there. None: nobody looked at any."""


class Appended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of an AppendRequest."""

    positions: tuple[int, ...]
    """One for each event, in the order of the request."""
    versions: tuple[int, ...]
    """Version of each written stream after the append, in the order of `writes`."""
    duplicate: bool = False
    """True if the very same events had been appended before: these are the places they got then."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to read. Conditions are AND-ed; None means any."""

    stream: str | None = None
    category: str | None = None
    types: tuple[str, ...] | None = None
    criteria: Criteria | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    event_id: str | None = None
    actor: str | None = None
    tenant: str | None = None
    since: str | None = None
    """Occurred at or after; ISO 8601 UTC text."""
    until: str | None = None
    """Occurred at or before."""
    after: int = 0
    """Position greater than."""
    up_to: int | None = None
    """Position not greater than."""
    after_version: int = 0
    up_to_version: int | None = None
    newest_first: bool = False
    beyond_head: bool = False
    """Also events that are stored but that the head has not passed yet. Only for decisions, which name what they have
    seen in an AppendCondition; never for a reader that keeps a checkpoint."""

    def matches(self, event: StoredEvent) -> bool:
        """Whether the event meets all conditions; the head is none of them."""
        return (
            event.position > self.after
            and (self.up_to is None or event.position <= self.up_to)
            and event.version > self.after_version
            and (self.up_to_version is None or event.version <= self.up_to_version)
            and (self.since is None or event.occurred_at >= self.since)
            and (self.until is None or event.occurred_at <= self.until)
            and self.stream in (None, event.stream)
            and self.category in (None, category_of(event.stream))
            and (self.types is None or event.type in self.types)
            and self.correlation_id in (None, event.correlation_id)
            and self.causation_id in (None, event.causation_id)
            and self.event_id in (None, event.event_id)
            and self.actor in (None, event.actor)
            and self.tenant in (None, event.tenant)
            and (self.criteria is None or self.criteria.matches(event.type, set(event.tags)))
        )


Narrow: TypeAlias = tuple[int, int, str, int, bytes]
"""Position, version, type, schema version and data of one event."""


class EventStore(Protocol):
    """The source of truth. Positions are assigned in commit order; a reader who has seen position p will never be
    shown a new event at or before p."""

    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        """Executes a group of appends, in order, durably, and answers for each one.

        Each request is atomic over all its streams, its condition, its outcome and its inline work; one that fails
        does not touch the others. Later requests see the events of earlier ones. When this returns, what was
        accepted is durable.

        Idempotent by event id: a request whose events all stand in the store already, under the same ids, streams
        and order, is answered with their places (`duplicate=True`), whatever it expected.

        Errors, as values: ConcurrencyError (nothing written), DuplicateEventId (some but not all of the ids are in
        use), whatever `inline` raised. Raises StoreError if the group as a whole could not be written.
        """
        ...

    async def read(self, selection: Selection, *, limit: int) -> list[StoredEvent]:
        """Up to `limit` events, by position (by version if one stream is selected); the same order either way."""
        ...

    async def read_narrow(self, selection: Selection, *, limit: int) -> list[Narrow]:
        """The same events in the same order as `read`, and of each only what folding it needs."""
        ...

    async def load(self, stream: str, fold: str, *, limit: int) -> tuple[Snapshot | None, list[Narrow]]:
        """What a state is restored from: the stream's snapshot, if the code called `fold` made it, and up to `limit`
        events of the stream, from the beginning; or from the last one that is in the snapshot, whose position is
        thereby told. If that one is missing, the snapshot is of another history."""
        ...

    async def load_state(self, stream: str, *, limit: int) -> tuple[StateRow | None, list[Narrow]]:
        """The row that keeps the stream's state, and up to `limit` events behind it: none, unless somebody appended
        without writing the row. Without a row, events from the beginning."""
        ...

    async def stream_version(self, stream: str) -> int:
        """Version of the stream's last event: how many it had ever; 0 if there is none."""
        ...

    async def head(self) -> int:
        """The greatest position that a reader may see; 0 for an empty store. Never goes back."""
        ...

    async def wait(self, after: int) -> int:
        """Returns the head as soon as it is greater than `after`, whichever process moved it."""
        ...

    async def streams(self, category: str | None, *, after: str = "", limit: int = 100) -> list[tuple[str, int]]:
        """Names and versions of streams in alphabetical order, beginning behind the name `after`."""
        ...

    async def counts(self) -> dict[tuple[str, int], int]:
        """How many events there are of each type and schema version. Reads everything: for reports."""
        ...


@runtime_checkable
class Beginning(Protocol):
    """A store that can send a lone append on its way before anything else happens in the event loop."""

    def begin(self, request: AppendRequest, told: Callable[[Appended | Exception], None], /) -> bool:
        """As `append` of this one request, but begun when this returns True; `told` is then called once, with what
        `append` would have answered or raised. False, and nothing was done: it takes `append`."""
        ...
