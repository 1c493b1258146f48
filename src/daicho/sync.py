"""The App for synchronous code: the same calls, carried out by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from daicho.core.aggregate import Aggregate
from daicho.core.conditions import Expected
from daicho.core.decider import Decider, Persistence
from daicho.core.errors import ConfigurationError, NotRunning
from daicho.core.messages import Command, Query, Receipt, RecordedEvent, Row
from daicho.core.projection import Crud, Table
from daicho.core.streams import Position
from daicho.flow.among import PartitionState
from daicho.flow.forgetting import Forgetting, PersonFound
from daicho.flow.process_admin import InstanceLine, ProcessCount, Processes, ProcessStory
from daicho.flow.schedules import Scheduled
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import CommandOutcome
from daicho.ports.failover import Orphan
from daicho.ports.key_store import Certificate, Hold
from daicho.read.crud import CrudTable
from daicho.read.diff import Diff
from daicho.read.generations import Generation
from daicho.read.health import LATE, Health
from daicho.read.history import Trace
from daicho.read.lineage import Lineage
from daicho.read.live import Change
from daicho.read.progress import Lag
from daicho.read.projections import Projections, ProjectionState
from daicho.read.queries import PageOf, View, Views
from daicho.read.rebuild import RebuildStep
from daicho.read.replicas.state import PrimaryReads, ReplicaState
from daicho.read.trial import Trial
from daicho.wiring.running import joinable
from daicho.write.keeping import KeptState, MoveStep
from daicho.write.pruning import PruneReport

if TYPE_CHECKING:
    from daicho.app import App

__all__ = ["SyncApp"]

T = TypeVar("T")
A = TypeVar("A", bound=Aggregate)
S = TypeVar("S")
R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)


class SyncApp:
    """What `app.sync()` gives. Every method does what the method of that name of App does, and blocks meanwhile.

    May be called from any number of threads at once: they share one loop, and so one group commit.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._door = threading.Lock()

    def __enter__(self) -> SyncApp:
        if self._loop is not None:
            raise NotRunning("this App is running already", do="enter it once")
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name="daicho-sync", daemon=True)
        self._thread.start()
        try:
            self._run(self._app.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._app.stop())
        finally:
            self._end()

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def _end(self) -> None:
        with self._door:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_wind_up(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._door:  # whatever gets in is carried out, or told that it was not
            if self._loop is None:
                work.close()
                raise NotRunning("this App is not running", do="use it inside `with app.sync() as shop:`")
            if threading.current_thread() is self._thread:
                work.close()
                raise NotRunning("called from inside the App's own loop", do="use the async App there")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise NotRunning("the App was left meanwhile", do="leave it when all threads have come home") from None

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def some() -> list[T]:
            found: list[T] = []
            async for item in items:
                found.append(item)
                if len(found) == 500:
                    break
            return found

        while batch := self._run(some()):
            yield from batch

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
        return self._run(
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
        return self._run(
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
        return self._run(self._app.imagine(command, actor=actor, tenant=tenant))

    def status(self, command_id: str) -> CommandOutcome | None:
        return self._run(self._app.status(command_id))

    def outcome(self, command_id: str, *, within: float = 5.0) -> CommandOutcome:
        return self._run(self._app.outcome(command_id, within=within))

    def ask(
        self,
        query: Query[R],
        *,
        after: Receipt | int | None = None,
        within: float = 5.0,
        as_of: Receipt | int | datetime | None = None,
        tenant: str | None = None,
    ) -> R:
        return self._run(self._app.ask(query, after=after, within=within, as_of=as_of, tenant=tenant))

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

        while self._loop is not None and (change := self._run(following())):
            yield change

    @overload
    def load(self, part: type[A], identity: str, *, at: int | datetime | None = None) -> A: ...
    @overload
    def load(self, part: Decider[Any, S, Any], identity: str, *, at: int | datetime | None = None) -> S: ...
    def load(self, part: Any, identity: str, *, at: int | datetime | None = None) -> Any:
        return self._run(self._app.load(part, identity, at=at))

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
        return self._iterate(
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
        return self._each(self._app.subscribe(after=after, category=category, stream=stream))

    def trace(self, reference: str | Receipt) -> Trace | None:
        return self._run(self._app.trace(reference))

    def lineage(self, part: Table[RowT], key: str) -> Lineage[RowT]:
        """Which events made a row. See App.lineage."""
        return self._run(self._app.lineage(part, key))

    def settled(self, receipt: Receipt, *, within: float = 30.0) -> None:
        self._run(self._app.settled(receipt, within=within))

    def settle(self, *, within: float = 30.0) -> None:
        self._run(self._app.settle(within=within))

    def forget(self, subject: str, *, by: str = "", reason: str = "", rebuild: bool = True) -> Certificate:
        """Destroys the key of a subject's personal data. See App.forget."""
        return self._run(self._app.forget(subject, by=by, reason=reason, rebuild=rebuild))

    @property
    def personal(self) -> SyncForgetting:
        return SyncForgetting(self, self._app.personal)

    @property
    def replicas(self) -> list[ReplicaState]:
        return self._app.replicas

    @property
    def primary_reads(self) -> PrimaryReads | None:
        return self._app.primary_reads

    def lag(self) -> list[Lag]:
        return self._run(self._app.lag())

    def orphaned(self) -> list[Orphan]:
        return self._run(self._app.orphaned())

    def accept_orphan(self, checkpoint: str) -> None:
        self._run(self._app.accept_orphan(checkpoint))

    def bus_status(self) -> list[PartitionState]:
        return self._run(self._app.bus_status())

    def accept_gap(self, source: str) -> list[tuple[int, int]]:
        """Gives up messages of another service that are missing for good. See App.accept_gap."""
        return self._run(self._app.accept_gap(source))

    def health(self, *, late: float = LATE, within: float = 5.0) -> Health:
        return self._run(self._app.health(late=late, within=within))

    def barrier(self, *tables: Table[Any], after: Receipt | int | None = None, within: float = 5.0) -> Position:
        return self._run(self._app.barrier(*tables, after=after, within=within))

    def pause(self, name: str) -> None:
        """Stops a projection or event handler in all processes. See App.processors."""
        self._run(self._app.processors.pause(name))

    def resume(self, name: str) -> None:
        self._run(self._app.processors.resume(name))

    def rewind(self, name: str, position: int) -> None:
        self._run(self._app.processors.rewind(name, position))

    def rebuild(self, name: str) -> Iterator[RebuildStep]:
        """Builds a view again beside the live one. See App.rebuild; the generator must be used up."""
        return self._each(self._app.rebuild(name))

    def states(self, part: type[Aggregate] | Decider[Any, Any, Any]) -> Iterator[KeptState]:
        """All aggregates of a part as they are now. See App.states; the generator must be used up."""
        return self._each(self._app.states(part))

    def move(
        self, part: type[Aggregate] | Decider[Any, Any, Any], *, to: Persistence, rows: Crud[Any] | None = None
    ) -> Iterator[MoveStep]:
        """Keeps a part the other way. See App.move; the generator must be used up."""
        return self._each(self._app.move(part, to=to, rows=rows))

    def prune(
        self,
        part: type[Aggregate] | Decider[Any, Any, Any],
        *,
        older_than: timedelta | None = None,
        before: datetime | None = None,
    ) -> PruneReport:
        """Deletes old events of a part that is kept as its state. See App.prune."""
        return self._run(self._app.prune(part, older_than=older_than, before=before))

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """One by one, as they come."""

        async def following() -> T | None:
            return await anext(items, None)

        while (item := self._run(following())) is not None:
            yield item

    @property
    def projections(self) -> SyncProjections:
        return SyncProjections(self, self._app.projections)

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
        return self._run(
            self._app.schedule(
                command, after=after, at=at, every=every, catch_up=catch_up, actor=actor, tenant=tenant, key=key
            )
        )

    def reschedule(self, schedule_id: str, *, after: timedelta | None = None, at: datetime | None = None) -> bool:
        return self._run(self._app.reschedule(schedule_id, after=after, at=at))

    def unschedule(self, schedule_id: str) -> bool:
        return self._run(self._app.unschedule(schedule_id))

    def schedules(self) -> list[Scheduled]:
        return self._run(self._app.schedules())

    def next_due(self) -> datetime | None:
        return self._run(self._app.next_due())

    @property
    def processes(self) -> SyncProcesses:
        return SyncProcesses(self, self._app.processes)

    def parked(self, processor: str | None = None) -> Sequence[DeadLetter]:
        """Parked events, oldest first. See App.dead_letters."""
        return self._run(self._app.dead_letters.list(processor))

    def retry(self, number: int | None = None, *, processor: str | None = None) -> int:
        """Handles parked events again, and returns how many were asked for once that is done."""
        letters = self._app.dead_letters
        asked = self._run(letters.retry(number, processor=processor))
        self._run(letters.retried())
        return asked

    def try_(self, number: int, *, whole_key: bool = True) -> Trial:
        """What a retry of the parked event's key would do. See App.dead_letters."""
        return self._run(self._app.dead_letters.try_(number, whole_key=whole_key))

    def purge(self, older_than: timedelta, states: Sequence[str] = ("retried", "skipped")) -> int:
        """Removes old letters that were dealt with. Returns how many."""
        return self._run(self._app.dead_letters.purge(older_than, states))

    def skip(self, number: int, reason: str) -> None:
        """Gives a parked event up. The reason stays on record."""
        self._run(self._app.dead_letters.skip(number, reason))

    def crud(self, part: Crud[RowT]) -> SyncCrud[RowT]:
        return SyncCrud(self, self._app.crud(part))

    @property
    def views(self) -> SyncViews:
        return SyncViews(self, self._app.views)


async def _wind_up() -> None:
    """What is still under way ends here, and the helpers of the loop with it."""
    loop = asyncio.get_running_loop()
    if rest := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in rest:
            task.cancel()
        await asyncio.wait(rest)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


class SyncCrud(Generic[RowT]):
    """A Crud table for synchronous code."""

    def __init__(self, app: SyncApp, table: CrudTable[RowT]) -> None:
        self._run, self._table = app._run, table  # pyright: ignore[reportPrivateUsage]

    def put(self, *rows: RowT) -> None:
        self._run(self._table.put(*rows))

    def delete(self, *keys: str) -> None:
        self._run(self._table.delete(*keys))

    def get(self, key: str) -> RowT | None:
        return self._run(self._table.get(key))

    def find(
        self, *, order_by: str | None = None, descending: bool = False, limit: int | None = None, **equals: object
    ) -> list[RowT]:
        return self._run(self._table.find(order_by=order_by, descending=descending, limit=limit, **equals))


class SyncProcesses:
    """Instances of process managers for synchronous code: see App.processes."""

    def __init__(self, app: SyncApp, processes: Processes) -> None:
        self._run, self._processes = app._run, processes  # pyright: ignore[reportPrivateUsage]

    def list(self) -> Sequence[ProcessCount]:
        return self._run(self._processes.list())

    def instances(self, process: str, *, status: str | None = None, limit: int = 100) -> Sequence[InstanceLine]:
        return self._run(self._processes.instances(process, status=status, limit=limit))

    def stuck(self, *, older: timedelta = timedelta(hours=1)) -> Sequence[InstanceLine]:
        return self._run(self._processes.stuck(older=older))

    def show(self, process: str, key: str) -> ProcessStory:
        return self._run(self._processes.show(process, key))

    def nudge(self, process: str, key: str) -> bool:
        return self._run(self._processes.nudge(process, key))

    def compensate(self, process: str, key: str, reason: str) -> bool:
        return self._run(self._processes.compensate(process, key, reason))


class SyncProjections:
    """The generations of views for synchronous code: see App.projections. Generators must be used up."""

    def __init__(self, app: SyncApp, projections: Projections) -> None:
        self._run, self._each = app._run, app._each  # pyright: ignore[reportPrivateUsage]
        self._projections = projections

    def rebuild(
        self, name: str, *, switch: bool = True, at_most: float | None = None, afresh: bool = False
    ) -> Iterator[RebuildStep]:
        return self._each(self._projections.rebuild(name, switch=switch, at_most=at_most, afresh=afresh))

    def deploy(self, name: str, *, at_most: float | None = None) -> Iterator[RebuildStep]:
        return self._each(self._projections.deploy(name, at_most=at_most))

    def diff(self, name: str, *, within: float = 10.0) -> Diff:
        return self._run(self._projections.diff(name, within=within))

    def verify(self, name: str, *, at_most: float | None = None, within: float = 10.0) -> Diff:
        return self._run(self._projections.verify(name, at_most=at_most, within=within))

    def switch(self, name: str) -> Generation:
        return self._run(self._projections.switch(name))

    def rollback(self, name: str) -> Generation:
        return self._run(self._projections.rollback(name))

    def list(self) -> list[ProjectionState]:
        return self._run(self._projections.list())


class SyncForgetting:
    """People and their data for synchronous code: see App.personal."""

    def __init__(self, app: SyncApp, forgetting: Forgetting) -> None:
        self._run, self._iterate = app._run, app._iterate  # pyright: ignore[reportPrivateUsage]
        self._forgetting = forgetting

    def find(self, subject: str) -> PersonFound:
        return self._run(self._forgetting.find(subject))

    def whoami(self, subject: str) -> Iterator[RecordedEvent[Any]]:
        return self._iterate(self._forgetting.whoami(subject))

    def certificates(self, subject: str | None = None) -> Sequence[Certificate]:
        return self._run(self._forgetting.certificates(subject))

    def hold(self, subject: str, *, reason: str, by: str) -> Hold:
        return self._run(self._forgetting.hold(subject, reason=reason, by=by))

    def release(self, subject: str) -> None:
        self._run(self._forgetting.release(subject))

    def holds(self) -> Sequence[Hold]:
        return self._run(self._forgetting.holds())


class SyncViews:
    """All views for synchronous code."""

    def __init__(self, sync: SyncApp, views: Views) -> None:
        self._sync, self._views = sync, views

    def __getitem__(self, table: Table[RowT]) -> SyncView[RowT]:
        return SyncView(self._sync, self._views[table])

    def as_of(self, moment: int | datetime) -> SyncViews:
        """The same views as they were then. See Views.as_of."""
        return SyncViews(self._sync, self._views.as_of(moment))


class SyncView(Generic[RowT]):
    """One view for synchronous code."""

    def __init__(self, sync: SyncApp, view: View[RowT]) -> None:
        self._run, self._view = sync._run, view  # pyright: ignore[reportPrivateUsage]

    def get(self, key: str) -> RowT | None:
        return self._run(self._view.get(key))

    def get_many(self, keys: Sequence[str]) -> dict[str, RowT]:
        return self._run(self._view.get_many(keys))

    def find(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
        **equals: object,
    ) -> list[RowT]:
        return self._run(
            self._view.find(order_by=order_by, descending=descending, limit=limit, offset=offset, **equals)
        )

    def page(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int = 50,
        cursor: str | None = None,
        **equals: object,
    ) -> PageOf[RowT]:
        return self._run(
            self._view.page(order_by=order_by, descending=descending, limit=limit, cursor=cursor, **equals)
        )

    def search(self, text: str, /, *, limit: int = 50, offset: int = 0, **equals: object) -> list[RowT]:
        return self._run(self._view.search(text, limit=limit, offset=offset, **equals))

    def count(self, **equals: object) -> int:
        return self._run(self._view.count(**equals))
