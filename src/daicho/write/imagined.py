"""A register that only seems to be written: for asking what would come of a command."""

from collections.abc import Sequence

from daicho.core.conditions import holds
from daicho.core.errors import ConcurrencyError
from daicho.core.times import to_text
from daicho.ports.clock import Clock
from daicho.ports.event_store import (
    Appended,
    AppendRequest,
    CommandOutcome,
    Narrow,
    NewEvent,
    Selection,
    StoredEvent,
    StreamWrite,
)
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.state_store import StateRow
from daicho.ports.storage import Joined, Storage

__all__ = ["Imagined"]

_BEYOND = 2**62
"""Imagined events lie behind all that are stored, and behind all that may come meanwhile."""
_AT_ONCE = 1000


class Imagined(Joined):
    """What is stored, and on top of it what was appended here, which nobody else sees and nothing keeps.

    Later decisions see earlier ones. Inline projections are not run.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage, self._clock = storage, clock
        self._events: list[StoredEvent] = []
        self._outcomes: dict[str, CommandOutcome] = {}

    # -- the register ---------------------------------------------------------------------------------------------

    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        return [await self._append(request) for request in requests]

    async def _append(self, request: AppendRequest) -> Appended | Exception:
        first = next((event for write in request.writes for event in write.events), None)
        if first is not None and (earlier := await self.read(Selection(event_id=first.event_id), limit=1)):
            return Appended(positions=(earlier[0].position,), versions=(earlier[0].version,), duplicate=True)
        placed: list[StoredEvent] = []
        for write in request.writes:
            version = await self.stream_version(write.stream)
            if not holds(write.expected, version):
                what = f"{write.stream} is at version {version}, not {write.expected!r}"
                return ConcurrencyError(what, expected=write.expected, actual=version)
            placed += self._placed(write, version, _BEYOND + len(self._events) + len(placed) + 1)
        condition = request.condition
        if condition is not None:
            wanted = Selection(criteria=condition.criteria, after=condition.after, beyond_head=True)
            later = [e for e in await self.read(wanted, limit=_AT_ONCE) if e.position not in condition.seen]
            if later:
                what = f"{len(later)} events were recorded after position {condition.after} that meet the condition"
                return ConcurrencyError(what, expected=condition, actual=None, events=tuple(later))
        self._events += placed
        if request.outcome is not None:
            self._outcomes[request.outcome.command_id] = request.outcome
        versions = [await self.stream_version(write.stream) for write in request.writes]
        return Appended(positions=tuple(event.position for event in placed), versions=tuple(versions))

    def _placed(self, write: StreamWrite, version: int, position: int) -> list[StoredEvent]:
        at = to_text(self._clock.now())
        return [_stored(event, write.stream, version + n + 1, position + n, at) for n, event in enumerate(write.events)]

    async def read(self, selection: Selection, *, limit: int) -> list[StoredEvent]:
        mine = [event for event in self._events if self._is_shown(selection) and selection.matches(event)]
        if selection.newest_first:
            mine = mine[::-1][:limit]
            return mine + (await self._storage.read(selection, limit=limit - len(mine)) if len(mine) < limit else [])
        stored = await self._storage.read(selection, limit=limit)
        return stored + mine[: limit - len(stored)]

    @staticmethod
    def _is_shown(selection: Selection) -> bool:
        """A stream is always read to its end, one event is always found; the rest ends at the head, which stays."""
        return selection.beyond_head or selection.stream is not None or selection.event_id is not None

    async def read_narrow(self, selection: Selection, *, limit: int) -> list[Narrow]:
        return _narrow(await self.read(selection, limit=limit))

    async def load(self, stream: str, fold: str, *, limit: int) -> tuple[Snapshot | None, list[Narrow]]:
        snapshot, page = await self._storage.load(stream, fold, limit=limit)
        mine = _narrow([event for event in self._events if event.stream == stream])
        return snapshot, page + mine[: limit - len(page)]

    async def load_state(self, stream: str, *, limit: int) -> tuple[StateRow | None, list[Narrow]]:
        row, page = await self._storage.load_state(stream, limit=limit)
        return row, page + _narrow([event for event in self._events if event.stream == stream][: limit - len(page)])

    async def stream_version(self, stream: str) -> int:
        mine = sum(event.stream == stream for event in self._events)
        return await self._storage.stream_version(stream) + mine

    async def head(self) -> int:
        return await self._storage.head()

    async def wait(self, after: int) -> int:
        return await self._storage.wait(after)

    async def streams(self, category: str | None, *, after: str = "", limit: int = 100) -> list[tuple[str, int]]:
        return await self._storage.streams(category, after=after, limit=limit)

    async def counts(self) -> dict[tuple[str, int], int]:
        return await self._storage.counts()

    # -- the command log ------------------------------------------------------------------------------------------

    async def record(self, outcome: CommandOutcome, *, replace: bool = True) -> CommandOutcome:
        earlier = None if replace else await self.outcome(outcome.command_id)
        return earlier or self._keep(outcome)

    async def note(self, outcome: CommandOutcome) -> None:
        self._keep(outcome)

    def _keep(self, outcome: CommandOutcome) -> CommandOutcome:
        self._outcomes[outcome.command_id] = outcome
        return outcome

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        return self._outcomes.get(command_id) or await self._storage.outcome(command_id)

    async def pending(self, *, limit: int, names: Sequence[str] | None = None) -> Sequence[CommandOutcome]:
        return await self._storage.pending(limit=limit, names=names)

    async def outcomes(
        self, *, state: str | None = None, correlation_id: str | None = None, limit: int = 100
    ) -> Sequence[CommandOutcome]:
        return await self._storage.outcomes(state=state, correlation_id=correlation_id, limit=limit)


def _narrow(events: Sequence[StoredEvent]) -> list[Narrow]:
    return [(e.position, e.version, e.type, e.schema_version, e.data) for e in events]


def _stored(event: NewEvent, stream: str, version: int, position: int, at: str) -> StoredEvent:
    return StoredEvent(
        position,
        stream,
        version,
        event.type,
        event.schema_version,
        event.event_id,
        event.occurred_at,
        at,
        event.actor,
        event.tenant,
        event.correlation_id,
        event.causation_id,
        event.tags,
        event.metadata,
        event.data,
    )
