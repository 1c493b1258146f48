"""The App for synchronous code: the same calls, carried out by an event loop in a thread of its own."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from daicho.core.aggregate import Aggregate
from daicho.core.conditions import Expected
from daicho.core.decider import Decider, Persistence
from daicho.core.errors import ConfigurationError
from daicho.core.messages import Command, Query, Receipt, RecordedEvent, Row
from daicho.core.projection import Crud, Table
from daicho.core.streams import Position
from daicho.flow.among import PartitionState
from daicho.flow.schedules import Scheduled
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import CommandOutcome
from daicho.ports.failover import Orphan
from daicho.ports.key_store import Certificate
from daicho.read.health import LATE, Health
from daicho.read.history import Trace
from daicho.read.lineage import Lineage
from daicho.read.live import Change
from daicho.read.progress import Lag
from daicho.read.rebuild import RebuildStep
from daicho.read.replicas.state import PrimaryReads, ReplicaState
from daicho.read.trial import Trial
from daicho.sync.loop import Loop
from daicho.sync.parts import SyncCrud, SyncForgetting, SyncProcesses, SyncProjections, SyncViews
from daicho.wiring.running import joinable
from daicho.write.keeping import KeptState, MoveStep
from daicho.write.pruning import PruneReport

if TYPE_CHECKING:
    from daicho.app import App


__all__ = ["SyncApp"]

A = TypeVar("A", bound=Aggregate)
S = TypeVar("S")
R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)


class SyncApp:
    """What `app.sync()` gives. Every method does what the method of that name of App does, and blocks meanwhile.

    May be called from any number of threads at once: they share one loop, and so one group commit.
    """

    def __init__(self, app: App) -> None:
        self._app, self._loop = app, Loop()

    def __enter__(self) -> SyncApp:
        self._loop.start()
        try:
            self._loop.run(self._app.start())
        except BaseException:
            self._loop.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._loop.run(self._app.stop())
        finally:
            self._loop.end()

    def send(
        self,
        command: Command,
        *,
        actor: str | None = None,
        tenant: str | None = None,
        key: str | None = None,
        expected: Expected | None = None,
        occurred_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        command_id: str | None = None,
        correlation_id: str | None = None,
        within: object | None = None,
    ) -> Receipt:
        """Handles a command and returns when its events are durable. See App.send."""
        beneath = self._beneath(within)
        return self._loop.run(
            self._app.send(
                command,
                actor=actor,
                tenant=tenant,
                key=key,
                expected=expected,
                occurred_at=occurred_at,
                metadata=metadata,
                command_id=command_id,
                correlation_id=correlation_id,
                within=beneath,
            )
        )

    def post(
        self,
        command: Command,
        *,
        actor: str | None = None,
        tenant: str | None = None,
        key: str | None = None,
        expected: int | None = None,
        occurred_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        within: object | None = None,
    ) -> str:
        """Makes the command durable and returns its id. See App.post."""
        beneath = self._beneath(within)
        return self._loop.run(
            self._app.post(
                command,
                actor=actor,
                tenant=tenant,
                key=key,
                expected=expected,
                occurred_at=occurred_at,
                metadata=metadata,
                within=beneath,
            )
        )

    def _beneath(self, connection: object | None) -> object | None:
        """The driver's connection. A wrapper may belong to the thread that we are in."""
        if connection is None:
            return None
        if inspect.iscoroutinefunction(getattr(connection, "commit", None)):
            raise ConfigurationError(
                f"a synchronous App cannot use an asynchronous {type(connection).__name__}",
                why="that belongs to the event loop that it is awaited in",
                do="give a psycopg.Connection or SQLAlchemy's Session or Connection, or use the asynchronous App",
            )
        return joinable(self._app.storage).beneath(connection)

    def imagine(self, command: Command, *, actor: str | None = None, tenant: str | None = None) -> Receipt:
        """What would come of a command, of which nothing is kept. See App.imagine."""
        return self._loop.run(self._app.imagine(command, actor=actor, tenant=tenant))

    def status(self, command_id: str) -> CommandOutcome | None:
        return self._loop.run(self._app.status(command_id))

    def outcome(self, command_id: str, *, within: float = 5.0) -> CommandOutcome:
        return self._loop.run(self._app.outcome(command_id, within=within))

    def ask(
        self,
        query: Query[R],
        *,
        after: Receipt | int | None = None,
        within: float = 5.0,
        as_of: Receipt | int | datetime | None = None,
        tenant: str | None = None,
    ) -> R:
        return self._loop.run(self._app.ask(query, after=after, within=within, as_of=as_of, tenant=tenant))

    def watch(
        self,
        query: Query[R],
        *,
        after: Receipt | int | None = None,
        within: float = 5.0,
        tenant: str | None = None,
    ) -> Iterator[Change[R]]:
        """The answer, then each one that differs, until the App is left. See App.watch."""
        changes = self._app.watch(query, after=after, within=within, tenant=tenant)

        async def following() -> Change[R] | None:
            return await anext(changes, None)

        while self._loop.is_running and (change := self._loop.run(following())):
            yield change

    @overload
    def load(self, part: type[A], identity: str, *, at: int | datetime | None = None) -> A: ...
    @overload
    def load(self, part: Decider[Any, S, Any], identity: str, *, at: int | datetime | None = None) -> S: ...
    def load(self, part: Any, identity: str, *, at: int | datetime | None = None) -> Any:
        return self._loop.run(self._app.load(part, identity, at=at))

    def events(
        self,
        *,
        stream: str | None = None,
        category: str | None = None,
        correlation: str | None = None,
        actor: str | None = None,
        tenant: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent[Any]]:
        """The audit log. See App.events."""
        return self._loop.batched(
            self._app.events(
                stream=stream,
                category=category,
                correlation=correlation,
                actor=actor,
                tenant=tenant,
                since=since,
                until=until,
                after=after,
                newest_first=newest_first,
                limit=limit,
            )
        )

    def subscribe(
        self, *, after: int = 0, category: str | None = None, stream: str | None = None
    ) -> Iterator[RecordedEvent[Any]]:
        """Every event behind `after`, then each new one as it comes; whoever is waiting for it when the App is left is
        told so by NotRunning. See App.subscribe."""
        return self._loop.each(self._app.subscribe(after=after, category=category, stream=stream))

    def trace(self, reference: str | Receipt) -> Trace | None:
        return self._loop.run(self._app.trace(reference))

    def lineage(self, part: Table[RowT], key: str) -> Lineage[RowT]:
        """Which events made a row. See App.lineage."""
        return self._loop.run(self._app.lineage(part, key))

    def settled(self, receipt: Receipt, *, within: float = 30.0) -> None:
        self._loop.run(self._app.settled(receipt, within=within))

    def settle(self, *, within: float = 30.0) -> None:
        self._loop.run(self._app.settle(within=within))

    def forget(self, subject: str, *, by: str = "", reason: str = "", rebuild: bool = True) -> Certificate:
        """Destroys the key of a subject's personal data. See App.forget."""
        return self._loop.run(self._app.forget(subject, by=by, reason=reason, rebuild=rebuild))

    @property
    def personal(self) -> SyncForgetting:
        return SyncForgetting(self._loop, self._app.personal)

    @property
    def replicas(self) -> list[ReplicaState]:
        return self._app.replicas

    @property
    def primary_reads(self) -> PrimaryReads | None:
        return self._app.primary_reads

    def lag(self) -> list[Lag]:
        return self._loop.run(self._app.lag())

    def orphaned(self) -> list[Orphan]:
        return self._loop.run(self._app.orphaned())

    def accept_orphan(self, checkpoint: str) -> None:
        self._loop.run(self._app.accept_orphan(checkpoint))

    def bus_status(self) -> list[PartitionState]:
        return self._loop.run(self._app.bus_status())

    def accept_gap(self, source: str) -> list[tuple[int, int]]:
        """Gives up messages of another service that are missing for good. See App.accept_gap."""
        return self._loop.run(self._app.accept_gap(source))

    def health(self, *, late: float = LATE, within: float = 5.0) -> Health:
        return self._loop.run(self._app.health(late=late, within=within))

    def barrier(self, *tables: Table[Any], after: Receipt | int | None = None, within: float = 5.0) -> Position:
        return self._loop.run(self._app.barrier(*tables, after=after, within=within))

    def pause(self, name: str) -> None:
        """Stops a projection or event handler in all processes. See App.processors."""
        self._loop.run(self._app.processors.pause(name))

    def resume(self, name: str) -> None:
        self._loop.run(self._app.processors.resume(name))

    def rewind(self, name: str, position: int) -> None:
        self._loop.run(self._app.processors.rewind(name, position))

    def rebuild(self, name: str) -> Iterator[RebuildStep]:
        """Builds a view again beside the live one. See App.rebuild; the generator must be used up."""
        return self._loop.each(self._app.rebuild(name))

    def states(self, part: type[Aggregate] | Decider[Any, Any, Any]) -> Iterator[KeptState]:
        """All aggregates of a part as they are now. See App.states; the generator must be used up."""
        return self._loop.each(self._app.states(part))

    def move(
        self, part: type[Aggregate] | Decider[Any, Any, Any], *, to: Persistence, rows: Crud[Any] | None = None
    ) -> Iterator[MoveStep]:
        """Keeps a part the other way. See App.move; the generator must be used up."""
        return self._loop.each(self._app.move(part, to=to, rows=rows))

    def prune(
        self,
        part: type[Aggregate] | Decider[Any, Any, Any],
        *,
        older_than: timedelta | None = None,
        before: datetime | None = None,
    ) -> PruneReport:
        """Deletes old events of a part that is kept as its state. See App.prune."""
        return self._loop.run(self._app.prune(part, older_than=older_than, before=before))

    @property
    def projections(self) -> SyncProjections:
        return SyncProjections(self._loop, self._app.projections)

    def schedule(
        self,
        command: Command,
        *,
        after: timedelta | None = None,
        at: datetime | None = None,
        every: timedelta | None = None,
        catch_up: bool = True,
        actor: str | None = None,
        tenant: str | None = None,
        key: str | None = None,
    ) -> str:
        """Has the command posted at a time, once or again and again. See App.schedule."""
        return self._loop.run(
            self._app.schedule(
                command, after=after, at=at, every=every, catch_up=catch_up, actor=actor, tenant=tenant, key=key
            )
        )

    def reschedule(self, schedule_id: str, *, after: timedelta | None = None, at: datetime | None = None) -> bool:
        return self._loop.run(self._app.reschedule(schedule_id, after=after, at=at))

    def unschedule(self, schedule_id: str) -> bool:
        return self._loop.run(self._app.unschedule(schedule_id))

    def schedules(self) -> list[Scheduled]:
        return self._loop.run(self._app.schedules())

    def next_due(self) -> datetime | None:
        return self._loop.run(self._app.next_due())

    @property
    def processes(self) -> SyncProcesses:
        return SyncProcesses(self._loop, self._app.processes)

    def parked(self, processor: str | None = None) -> Sequence[DeadLetter]:
        """Parked events, oldest first. See App.dead_letters."""
        return self._loop.run(self._app.dead_letters.list(processor))

    def retry(self, number: int | None = None, *, processor: str | None = None) -> int:
        """Handles parked events again, and returns how many were asked for once that is done."""
        letters = self._app.dead_letters
        asked = self._loop.run(letters.retry(number, processor=processor))
        self._loop.run(letters.retried())
        return asked

    def try_(self, number: int, *, whole_key: bool = True) -> Trial:
        """What a retry of the parked event's key would do. See App.dead_letters."""
        return self._loop.run(self._app.dead_letters.try_(number, whole_key=whole_key))

    def purge(self, older_than: timedelta, states: Sequence[str] = ("retried", "skipped")) -> int:
        """Removes old letters that were dealt with. Returns how many."""
        return self._loop.run(self._app.dead_letters.purge(older_than, states))

    def skip(self, number: int, reason: str) -> None:
        """Gives a parked event up. The reason stays on record."""
        self._loop.run(self._app.dead_letters.skip(number, reason))

    def crud(self, part: Crud[RowT]) -> SyncCrud[RowT]:
        return SyncCrud(self._loop, self._app.crud(part))

    @property
    def views(self) -> SyncViews:
        return SyncViews(self._loop, self._app.views)
