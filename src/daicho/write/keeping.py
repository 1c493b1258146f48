"""How the streams of a category are kept, checked at the start; and from one way to the other, under traffic.

    to events:  noted ──> no row is written any more ──> each stream: a founding event, and its row goes ──> noted
    to state:   noted ──> rows may be written ──> each stream: its row, as of its last event ──> noted

Every step is one append with an expected version, and whoever loads a state believes what it finds and not what it was
told (see Repository): so processes with the old code and with the new one may write all the while, and a move that was
interrupted is simply begun again.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from daicho.core.behaviour import Behaviour
from daicho.core.decider import Persistence
from daicho.core.errors import ConcurrencyError, HistoryPruned, UnreadableState, WrongPersistence
from daicho.core.founding import FOUNDED, Founded
from daicho.core.ids import derived_id
from daicho.core.messages import replace
from daicho.core.projection import Crud
from daicho.core.registry import Registry
from daicho.core.streams import id_of, stream_name
from daicho.core.times import to_text
from daicho.ports.clock import Clock
from daicho.ports.event_store import AppendRequest, NewEvent, Selection, StreamWrite
from daicho.ports.state_store import Standing, StateWrite
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.write.pruning import boundary_over
from daicho.write.repository import Held, Repository

__all__ = ["Keeping", "KeptState", "MoveStep", "moving"]

_AT_ONCE = 100
_WALKS = 5
"""New streams that come after so many are right as they are: what has no row is folded from its beginning."""
_MOVES = "5d3a4b0e-7a64-5e0b-9f0c-3d2f7c1f9a10"
"""Namespace of the ids of founding events; fixed for ever."""


class MoveStep(msgspec.Struct, frozen=True, kw_only=True):
    """How far a move has come."""

    category: str
    to: str
    streams: int
    """Moved by this call so far."""
    done: bool = False


class KeptState(msgspec.Struct, frozen=True, kw_only=True):
    """One aggregate as it is now."""

    identity: str
    version: int
    state: Any


class Keeping:
    """For the aggregates of one App."""

    def __init__(
        self,
        storage: Storage,
        repository: Repository,
        categories: Mapping[str, Behaviour],
        registry: Registry,
        clock: Clock,
    ) -> None:
        self._storage, self._repository, self._categories = storage, repository, categories
        self._registry, self._clock = registry, clock

    async def check(self, *, may_write: bool = True) -> None:
        """Whether the store keeps each category as the code says; a new category begins as the code says, which is
        noted if `may_write`.

        Raises WrongPersistence, which names the command that mends it, and HistoryPruned for a rule among streams that
        was declared when part of the history was gone.
        """
        standings = await self._storage.standings()
        for category, behaviour in self._categories.items():
            standing = standings.get(category)
            if behaviour.keeps_state:
                await self._check_state(behaviour, standing, may_write)
            elif standing is not None and standing.kind == "state":
                raise _wrong(behaviour, "in rows of their present state", standing)

    async def _check_state(self, behaviour: Behaviour, standing: Standing | None, may_write: bool) -> None:
        category = behaviour.category
        if standing is None:
            for stream, _ in await self._storage.streams(category, limit=1):
                if (await self._storage.load_state(stream, limit=1))[0] is None:
                    raise _wrong(behaviour, "as events, without rows of their state", standing)
            if may_write:
                await self._storage.note_standing(Standing(category=category, kind="state"), only_new=True)
        elif standing.kind == "events":
            raise _wrong(behaviour, "as events, without rows of their state", standing)
        elif standing.pruned_to and (other := boundary_over(behaviour, self._categories)) is not None:
            raise HistoryPruned(
                f"{other.name} decides within a boundary on events of {category}, of which some were pruned",
                why="it would decide on what is left, as if the rest had never been",
                do="let it decide on tagged events, which are never pruned, or on its own streams",
                category=category,
            )
        elif standing.pruned_to and (new := set(behaviour.rule_names) - set(standing.rules)):
            rule = sorted(new)[0]
            raise HistoryPruned(
                f"{behaviour.name} has the rule {rule}, which was declared after events of {category} had been pruned",
                why="what was taken by pruned events is not known to the rule, so it would not hold",
                do="take the rule back, or declare it for a new category",
                category=category,
                rule=rule,
            )

    # -- states ---------------------------------------------------------------------------------------------------

    async def states(self, behaviour: Behaviour) -> AsyncIterator[KeptState]:
        """Every aggregate of the category as it is now, by identity. From rows where there are rows."""
        after = ""
        while page := await self._storage.streams(behaviour.category, after=after, limit=_AT_ONCE):
            for stream, _ in page:
                held = await self._repository.load(behaviour, stream)
                yield KeptState(identity=id_of(stream), version=held.version, state=held.state)
            after = page[-1][0]

    # -- moving ---------------------------------------------------------------------------------------------------

    async def move(self, behaviour: Behaviour, to: Persistence) -> AsyncIterator[MoveStep]:
        """Brings all streams of the category from one way to the other, a few at a time; the last step is `done`.

        Version numbers go on, nothing is lost, and the order of the log stays. Interrupted, it goes on where it was.
        Raises UnreadableState and UnkeepableState for a state that does not fit, and has then moved those before it.
        """
        category, moved = behaviour.category, 0
        if to == "state":
            behaviour.check_personal()
        standings = await self._storage.standings()
        standing = standings.get(category) or Standing(category=category, kind="events" if to == "state" else "state")
        if standing.kind != to or standing.moving_to is not None:
            other: Persistence = "events" if to == "state" else "state"
            await self._storage.note_standing(replace(standing, kind=other, moving_to=to))
            walk = self._to_events if to == "events" else self._to_state
            for _ in range(_WALKS):  # until one finds nothing to do: others write meanwhile
                found = 0
                async for count in walk(behaviour):
                    found += count
                    moved += count
                    yield MoveStep(category=category, to=to, streams=moved)
                if not found:
                    break
            await self._storage.note_standing(replace(standing, kind=to, moving_to=None))
        yield MoveStep(category=category, to=to, streams=moved, done=True)

    async def _to_events(self, behaviour: Behaviour) -> AsyncIterator[int]:
        after = ""
        while page := await self._storage.states(behaviour.category, after=after, limit=_AT_ONCE):
            for row in page:
                # asked beforehand: between looking at a stream and writing it shall be as little time as possible
                first = await self._storage.read(Selection(stream=row.stream), limit=1)
                await self._until_moved(behaviour, row.stream, partial(self._founding, first[0].tenant))
            yield len(page)
            after = page[-1].stream

    async def _to_state(self, behaviour: Behaviour) -> AsyncIterator[int]:
        after = ""
        while page := await self._storage.streams(behaviour.category, after=after, limit=_AT_ONCE):
            moved = 0
            for stream, _ in page:
                row, _ = await self._storage.load_state(stream, limit=1)
                if row is None:  # one that is behind is right, with what is behind it
                    moved += await self._until_moved(behaviour, stream, self._row)
            if moved:
                yield moved
            after = page[-1][0]

    async def _until_moved(
        self, behaviour: Behaviour, stream: str, write: Callable[[Behaviour, str, Held], StreamWrite]
    ) -> int:
        while True:
            held = await self._repository.load_any(behaviour, stream)
            request = AppendRequest(writes=(write(behaviour, stream, held),), epoch=held.epoch)
            [answer] = await self._storage.append([request])
            if not isinstance(answer, Exception):
                if (hot := self._repository.held(stream)) is not None:
                    self._repository.evict(stream, hot)
                return 1
            if not isinstance(answer, ConcurrencyError):
                raise answer  # else somebody wrote in between, and it is loaded anew

    def _founding(self, tenant: str | None, behaviour: Behaviour, stream: str, held: Held) -> StreamWrite:
        event = self._founded(behaviour, stream, held, "state", tenant)
        return StreamWrite(stream=stream, events=(event,), expected=held.version, state=StateWrite(data=None))

    def _row(self, behaviour: Behaviour, stream: str, held: Held) -> StreamWrite:
        return StreamWrite(stream=stream, events=(), expected=held.version, state=self._kept(behaviour, held))

    def _kept(self, behaviour: Behaviour, held: Held) -> StateWrite:
        data = behaviour.kept.encode(held.state)
        return StateWrite(data=data, schema_version=behaviour.state_version, position=held.position, fenced=False)

    def _founded(self, behaviour: Behaviour, stream: str, held: Held, origin: str, tenant: str | None) -> NewEvent:
        state = behaviour.kept.plain(held.state)
        event = Founded(category=behaviour.category, schema=behaviour.state_version, state=state, origin=origin)
        event_id = derived_id(_MOVES, f"{stream}\0{held.version}")
        return NewEvent(
            event_id=event_id,
            type=FOUNDED,
            schema_version=1,
            data=self._registry.encode(event),
            occurred_at=to_text(self._clock.now()),
            correlation_id=event_id,
            causation_id=event_id,
            tenant=tenant,
        )

    # -- from Crud ------------------------------------------------------------------------------------------------

    async def found(self, behaviour: Behaviour, table: TableSpec) -> AsyncIterator[MoveStep]:
        """Makes an aggregate of each row of a Crud table, by key: its fields are those of the state, and the first
        event founds it. Aggregates that exist are left alone, so it can be run again; the rows stay as they are.

        Raises UnreadableState for a row with a field that the state does not have.
        """
        after: str | None = None
        moved, category = 0, behaviour.category
        while page := await self._storage.plain(table, limit=_AT_ONCE, after=after):
            requests = [self._from_row(behaviour, key, values, table.name) for key, values in page]
            for answer in await self._storage.append(requests):
                if isinstance(answer, ConcurrencyError):
                    continue  # there is such an aggregate already
                if isinstance(answer, Exception):
                    raise answer
                moved += not answer.duplicate
            after = page[-1][0]
            yield MoveStep(category=category, to=behaviour.persistence, streams=moved)
        yield MoveStep(category=category, to=behaviour.persistence, streams=moved, done=True)

    def _from_row(self, behaviour: Behaviour, key: str, values: Mapping[str, Any], table: str) -> AppendRequest:
        stream = stream_name(behaviour.category, key)
        known = behaviour.kept.fields
        fields = {name: value for name, value in values.items() if name in known or value != key}
        if strange := sorted(set(fields) - set(known)):
            raise UnreadableState(
                f"the row {key!r} of {table!r} has the field {strange[0]!r}, which {behaviour.name} does not have",
                why="a founding that left out a part of the row would lose it",
                do="add the attribute, with the same name and type",
                category=behaviour.category,
            )
        state = behaviour.kept.restored(behaviour.state_version, fields, stream)
        held = Held(behaviour, state, 0, 0, snapshot_version=0)
        event = self._founded(behaviour, stream, held, "crud", values.get("tenant"))
        kept = self._kept(behaviour, held) if behaviour.keeps_state else None
        write = StreamWrite(stream=stream, events=(event,), expected=0, state=kept)
        return AppendRequest(writes=(write,))


async def moving(
    keeping: Keeping, behaviour: Behaviour, to: Persistence, rows: Crud[Any] | None
) -> AsyncIterator[MoveStep]:
    """Both, one after the other: from the rows of a Crud part, and from the other way of keeping."""
    founded = 0
    if rows is not None:
        async for step in keeping.found(behaviour, TableSpec(rows.name, 1, rows.row_type)):
            founded = step.streams
            if not step.done:
                yield step
    async for step in keeping.move(behaviour, to):
        yield replace(step, streams=founded + step.streams)


def _wrong(behaviour: Behaviour, how: str, standing: Standing | None) -> WrongPersistence:
    to, category = behaviour.persistence, behaviour.category
    under_way = standing is not None and standing.moving_to == to
    return WrongPersistence(
        f"{behaviour.name} says persistence={to!r}, and the store keeps the streams of {category!r} {how}",
        why="they are being moved, and not all of them are" if under_way else "they were stored by code that says so",
        do=f"run `daicho move {category} --to {to}` (while the old code runs, if it shall not pause), then start this "
        "code; or take the `persistence` back",
        category=category,
        to=to,
    )
