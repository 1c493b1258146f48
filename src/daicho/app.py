"""The composition root: parts in, a running system out. The only place that knows every room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from getpass import getuser
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from daicho.adapters.clock import SystemClock
from daicho.core.aggregate import Aggregate
from daicho.core.behaviour import Behaviour
from daicho.core.codec import CodecName
from daicho.core.conditions import Expected
from daicho.core.decider import Decider, Persistence
from daicho.core.errors import (
    InvalidMessage,
    NotFound,
    NotRunning,
    UnknownMessage,
    UnknownView,
)
from daicho.core.handlers import EventHandler
from daicho.core.journal import Journal
from daicho.core.messages import Command, Event, Query, Receipt, RecordedEvent, Row
from daicho.core.meter import Meter
from daicho.core.model import Model, Part
from daicho.core.operator_events import OperatorActed
from daicho.core.process import Process
from daicho.core.projection import Crud, Table
from daicho.core.registry import Registry
from daicho.core.signatures import describe
from daicho.core.streams import Position, check_place, stream_name
from daicho.core.tenancy import Tenancy
from daicho.flow.among import Among, PartitionState, accept_gap
from daicho.flow.forgetting import Forgetting
from daicho.flow.line import Line
from daicho.flow.process_admin import Processes
from daicho.flow.schedules import Scheduled
from daicho.flow.services import Services
from daicho.ports.clock import Clock
from daicho.ports.edge_cache import EdgeCache
from daicho.ports.event_bus import EventBus
from daicho.ports.event_store import CommandOutcome
from daicho.ports.failover import Failover, Orphan
from daicho.ports.key_store import Certificate, KeyStore
from daicho.ports.probe import Probe, silent
from daicho.ports.storage import Storage
from daicho.read.answers import Answered, Noted
from daicho.read.crud import CrudTable
from daicho.read.dead_letters import DeadLetters
from daicho.read.health import LATE, Health
from daicho.read.history import History, Trace
from daicho.read.lineage import Lineage, lineage
from daicho.read.live import Change
from daicho.read.processors import Processors
from daicho.read.progress import Lag
from daicho.read.projections import Projections
from daicho.read.purging import PurgeLag
from daicho.read.queries import Views
from daicho.read.rebuild import RebuildStep
from daicho.read.replicas.policy import ReplicaPolicy
from daicho.read.replicas.state import PrimaryReads, ReplicaState
from daicho.sync import SyncApp
from daicho.wiring.among import among_of, key_fields
from daicho.wiring.places import Places
from daicho.wiring.running import Running, joinable
from daicho.wiring.setup import Setup, Supplies, allow_personal, callables, segments_of
from daicho.wiring.urls import open_failover, shown, without_password
from daicho.write.keeping import KeptState, MoveStep, moving
from daicho.write.middleware.authorisation import Permit
from daicho.write.pipeline import Middleware
from daicho.write.pruning import PruneReport

if TYPE_CHECKING:
    from daicho.adapters.sealing import Curtain  # it needs an extra

__all__ = ["App"]

A = TypeVar("A", bound=Aggregate)
S = TypeVar("S")
R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)


def _place(after: Receipt | int | None) -> int:
    """The position that is meant. Raises InvalidMessage."""
    if isinstance(after, Receipt):
        return after.position
    if after:
        check_place(after, "after")
    return after or 0


class App:
    """CQRS and event sourcing over the parts you list: aggregates or deciders, event handlers, projections, query
    handlers, Crud tables, upcasters and routes.

    Construction checks the wiring and touches nothing outside. `async with app:` opens the store and starts the
    processors; `with app.sync() as app:` does the same for synchronous code. There is no global registry: two Apps in
    one process know nothing of each other.
    """

    def __init__(
        self,
        *parts: Part,
        store: str = "sqlite:///daicho.db",
        views: Mapping[Table[Any], str] | None = None,
        name: str = "app",
        clock: Clock | None = None,
        middleware: Sequence[Middleware] = (),
        authorise: Permit | None = None,
        provide: Sequence[Any] = (),
        codec: CodecName = "json",
        snapshot_after: int = 100,
        hot_aggregates: int = 10_000,
        segments: Mapping[Table[Any] | EventHandler | type[Process], int] | None = None,
        largest_event: int = 1024 * 1024,
        bus: str | EventBus | None = None,
        publish: Collection[type[Event]] | None = None,
        listen: Sequence[str] = (),
        remote: Mapping[str, Collection[type[Command]] | Mapping[type[Command], str]] | None = None,
        partitions: int = 8,
        tenancy: Tenancy | None = None,
        edge: str | EdgeCache | None = None,
        read_from: Sequence[str] = (),
        replicas: ReplicaPolicy | None = None,
        personal: str | KeyStore | None = None,
        probe: Probe = silent,
    ) -> None:
        """
        store           URL: `memory:`, `sqlite:///file.db`, `postgresql://host/database`
        views           where the rows of a projection are, if not with the events: `{orders: "redis://host/0"}`;
                        also `mongodb://`, `opensearch://` and `elasticsearch://`
        middleware      async functions `(envelope, proceed) -> Receipt` around every command
        authorise       asked with the envelope of every command from outside; False refuses
        provide         collaborators that handlers may ask for by annotation
        codec           how new events are stored: `json` (readable) or `msgpack` (smaller); both can always be read
        snapshot_after  a snapshot is taken when more than so many events came since the last
        hot_aggregates  so many states are kept in memory
        segments        into how many parts the work of a projection, an event handler or a Process is cut by key, so
                        that several processes share it: `{orders: 8}`; a power of two
        largest_event   bytes
        bus             URL of the broker between this service, which is called `name`, and others: `nats://host`,
                        `amqp://`, `kafka://`, `memory:name`...; or a bus of your own
        publish         event classes that are for others; all that this App's own parts record, unless given
        listen          names of the services whose events are recorded here, as far as a part reads them
        remote          commands that other services handle, by the service's name: `{"inventory": [Reserve]}`; their
                        first field says what they are about and keeps them in order, or `{Reserve: "sku"}` says which.
                        Without a bus, the other service is an App on the same store
        partitions      into how many parts each channel of the bus is cut by key: the same for all services on it
        tenancy         `Tenancy()` keeps tenants apart; without it, a tenant is only noted in events
        edge            an edge cache that is told which rows changed: `varnish://host:6081`, the URL to send purges
                        to, or anything with `purge(keys)` and `close()`
        read_from       URLs of streaming replicas of a PostgreSQL store: they answer queries as long as they are near
                        enough to it, and a query with a token only when they have got that far
        replicas        when a replica is near enough: `ReplicaPolicy(max_lag=2.0)`, in seconds
        personal        where the keys are under which fields marked `Personal` are stored, so that people can be
                        forgotten: `sqlite:///shop-keys.db`, `postgresql://host/keys`; never in the file of the events
        Raises WiringError, ConfigurationError and BadUrl.
        """
        services = key_fields(remote or {})
        model = Model(parts, remote=[command for commands in services.values() for command in commands])
        registry = Registry({*model.events, OperatorActed}, model.upcasters, codec=codec, largest=largest_event)
        self._places = Places(model, store, views=views or {}, read_from=read_from, bus=bus, edge=edge, keys=personal)
        self._setup = Setup(
            name=name,
            model=model,
            registry=registry,
            supplies=Supplies(model, provide),
            remote={command: service for service, commands in services.items() for command in commands},
            among=among_of(name, model, registry, bus, publish, listen, services, partitions, largest_event),
            clock=clock or SystemClock(),
            probe=probe,
            middleware=callables(middleware),
            authorise=authorise,
            tenancy=tenancy,
            snapshot_after=snapshot_after,
            hot_aggregates=hot_aggregates,
            segments=segments_of(model, segments or {}),
            replicas=replicas or ReplicaPolicy(),
            meter=Meter(model.sources),
            journal=Journal(),
        )
        if tenancy is not None:
            tenancy.check([(fold.name, fold.part.row_type) for fold in model.folds])
            tenancy.check([(crud.name, crud.row_type) for crud in model.cruds])
        if personal is not None:
            allow_personal(model)
        self.options: Mapping[str, object] = {
            "name": name,
            "codec": codec,
            "snapshot_after": snapshot_after,
            "hot_aggregates": hot_aggregates,
            "largest_event": largest_event,
            "segments": dict(self._setup.segments),
            "bus": shown(bus),
            "partitions": partitions,
            "tenancy": tenancy is not None,
            "personal": shown(personal),
            "middleware": [describe(each) for each in middleware],
        }
        """What the code said of how it runs, as far as it can be shown."""
        self.told: Sequence[tuple[str, str | None, str]] = ()
        """Settings that a tool was given for it: name, value without passwords, and where it came from."""
        self._running: Running | None = None

    # -- what it was told -----------------------------------------------------------------------------------------

    def place(self, *, views: str | None = None, search: str | None = None, edge: str | None = None) -> None:
        """Says where things are that the code has not placed, before the App is started; for those who deploy it.

        views   URL for the rows of projections that may be elsewhere: neither SQL nor inline, nor searched
        search  URL for those that are searched; without it they stay beside the events
        edge    URL of the edge cache that is told which rows changed

        Raises BadUrl.
        """
        self._places.place(views=views, search=search, edge=edge)

    @property
    def url(self) -> str:
        """The store. It may be set to another before the App is started, as `read_from` may."""
        return self._places.store

    @url.setter
    def url(self, url: str) -> None:
        self._places.store = url

    @property
    def read_from(self) -> list[str]:
        """URLs of replicas of the store that answer queries."""
        return self._places.read_from

    @read_from.setter
    def read_from(self, urls: list[str]) -> None:
        self._places.read_from = urls

    @property
    def view_urls(self) -> dict[str, str]:
        """By name, where the rows of those views are that are not kept with the events; without passwords."""
        return {name: without_password(url) for name, url in self._places.views.items()}

    @property
    def has_bus(self) -> bool:
        return self._places.bus is not None

    @property
    def has_keys(self) -> bool:
        """Whether personal data is enciphered: whether it was given `personal=`."""
        return self._places.keys is not None

    @property
    def name(self) -> str:
        return self._setup.name

    @property
    def model(self) -> Model:
        """The parts, compiled: who handles what."""
        return self._setup.model

    @property
    def registry(self) -> Registry:
        """Which class stands for which stored event."""
        return self._setup.registry

    @property
    def clock(self) -> Clock:
        return self._setup.clock

    @property
    def tenancy(self) -> Tenancy | None:
        return self._setup.tenancy

    @property
    def replica_policy(self) -> ReplicaPolicy:
        """When a replica is near enough to answer."""
        return self._setup.replicas

    @property
    def among(self) -> Among | None:
        """What this App was told about itself and other services; None without a bus."""
        return self._setup.among

    # -- life -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> App:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, *, processors: bool = True, register: bool = False) -> App:
        """Opens the store. With `processors=False` no reaction, projection or posted command is run here: for tools
        that look at a store which another process works on. With `register=True`, event handlers that the store does
        not know yet begin here all the same, so that none misses what this process records before another runs them.
        """
        if self._running is not None:
            raise NotRunning("this App is running already", do="enter it once; make a second App for a second store")
        running = Running(
            self._setup,
            self._places.find(self.clock),
            with_processors=processors,
            may_do_without_primary=not processors and not register,
        )
        try:
            await running.start()
            if register:
                await running.between.register()
        except BaseException:
            await running.stop()
            raise
        self._running = running
        return self

    async def stop(self) -> None:
        """Finishes what was accepted, notes every checkpoint, closes the store."""
        running, self._running = self._running, None
        if running is not None:
            await running.stop()

    def sync(self) -> SyncApp:
        """The same App for synchronous code: `with app.sync() as shop: shop.send(...)`. Safe to use from threads."""
        return SyncApp(self)

    @property
    def is_running(self) -> bool:
        """Whether it has been entered, and not left."""
        return self._running is not None

    @property
    def _now(self) -> Running:
        if self._running is None:
            raise NotRunning("this App is not running", do="use it inside `async with app:` or `with app.sync()`")
        return self._running

    @property
    def storage(self) -> Storage:
        """The opened store, with all its ports."""
        return self._now.storage

    # -- commands -------------------------------------------------------------------------------------------------

    async def send(
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
        """Handles a command and returns when its events are durable.

        actor        who asks; stands in every event
        key          idempotency key: sent again, the first outcome is returned and nothing is done
        expected     version the caller saw of the stream: ANY, ABSENT, EXISTS or a number
        occurred_at  business time (aware), for what happened earlier; events it causes inherit it
        command_id   canonical UUID, instead of `key`, for callers that have one
        within       your own connection to the same PostgreSQL database, in the middle of a transaction: of psycopg,
                     or of SQLAlchemy (connection or session) over psycopg

        With `within`, the command is decided on what your transaction sees, and what comes of it, its outcome under
        `key` and inline rows included, stands when you commit or never. Until then do not wait for the receipt, and be
        quick: readers wait for you. A command that is refused, or raises, leaves your transaction as it was and fit
        for use; conflicts are tried again inside it. After a StoreError other than ConcurrencyError, or if this was
        cancelled, roll it back.

        Raises Rejected, MessageError, ConcurrencyError (with `expected`, or after many retries), StoreError, and
        whatever the handler raises. With `within` also ConfigurationError, StoreClosed, StoreFailed and ForeignStore,
        before anything is done, for a connection that will not do.
        """
        gateway = self._now.write.gateway
        envelope = gateway.envelope(
            command,
            actor=actor,
            tenant=tenant,
            key=key,
            expected=expected,
            occurred_at=occurred_at,
            metadata=metadata,
            command_id=command_id,
            correlation_id=correlation_id,
        )
        if within is not None:
            envelope.within = await joinable(self.storage).join(within)
        return await gateway.send(envelope)

    async def post(
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
        """Makes the command durable and returns its id at once; it is handled soon, also after a crash.

        With `within`, a connection as for `send`, it is durable when your transaction commits, and handled soon after.
        `status(command_id)` tells what became of it. Raises MessageError and StoreError.
        """
        running = self._now
        self._check_handled(command)
        envelope = running.write.gateway.envelope(
            command,
            actor=actor,
            tenant=tenant,
            key=key,
            expected=expected,
            occurred_at=occurred_at,
            metadata=metadata,
        )
        if within is not None:
            envelope.within = await joinable(running.storage).join(within)
            return await running.write.gateway.post(envelope)
        command_id = await running.write.gateway.post(envelope)
        running.between.wake()
        return command_id

    async def imagine(self, command: Command, *, actor: str | None = None, tenant: str | None = None) -> Receipt:
        """What would come of a command if it was sent now: its receipt, and nothing of it is kept. Positions in it mean
        nothing. Collaborators are asked as ever. Raises what `send` raises."""
        return await self._now.write.imagined(command, actor, tenant)

    async def status(self, command_id: str) -> CommandOutcome | None:
        """What became of a posted, keyed or refused command: `pending`, `done`, `rejected` or `failed`. None: unknown,
        or handled without a trace but its events."""
        return await self._now.storage.outcome(command_id)

    async def outcome(self, command_id: str, *, within: float = 5.0) -> CommandOutcome:
        """What became of a posted command, here or in another service, as soon as that is known: `done`, `rejected`
        (with the `reason`) or `failed`. Raises OutcomeTimeout after `within` seconds; the command is not lost by it.
        """
        return await self._now.between.outcomes.wait(command_id, within)

    def _check_handled(self, command: Command) -> None:
        if type(command) not in self.model.behaviours and type(command) not in self.model.remote:
            raise UnknownMessage(f"no part of this App handles {type(command).__name__}", do="give App the part")

    # -- commands at their time -----------------------------------------------------------------------------------

    async def schedule(
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
        """Has the command posted `after` this long, or `at` this (aware) time; then `every` so long again. Durable when
        it returns the id of the schedule.

        key       with the same key, the same command is scheduled once
        catch_up  what was missed, because nothing ran or the clock was set forward, is sent as often as it was
                  missed; False: once, and then at the next time

        Each time happens once in effect. Raises MessageError and StoreError.
        """
        running = self._now
        self._check_handled(command)
        due = running.between.schedules.when(after, at)
        envelope = running.write.gateway.envelope(command, actor=actor, tenant=tenant, key=key)
        await running.write.gateway.check(envelope)
        schedule_id = await running.between.schedules.add(envelope, due, every, catch_up=catch_up)
        running.between.timekeeper.wake()
        return schedule_id

    async def reschedule(self, schedule_id: str, *, after: timedelta | None = None, at: datetime | None = None) -> bool:
        """Moves the next time of a schedule. False if there is no such schedule, or it is over."""
        running = self._now
        moved = await running.between.schedules.move(schedule_id, running.between.schedules.when(after, at))
        running.between.timekeeper.wake()
        return moved

    async def unschedule(self, schedule_id: str) -> bool:
        """Takes a schedule away. False if there is no such schedule, or it is over."""
        return await self._now.between.schedules.drop(schedule_id)

    async def schedules(self) -> list[Scheduled]:
        """Commands that wait for their time, earliest first."""
        return await self._now.between.schedules.all()

    async def next_due(self) -> datetime | None:
        """When the next deadline, retry or schedule is due; None if nothing waits for its time."""
        return await self._now.between.timekeeper.next_due()

    # -- queries --------------------------------------------------------------------------------------------------

    async def ask(
        self,
        query: Query[R],
        *,
        after: Receipt | int | None = None,
        within: float = 5.0,
        as_of: Receipt | int | datetime | None = None,
        tenant: str | None = None,
    ) -> R:
        """Answers a query, with `tenancy` from the rows of `tenant` alone. With `after`, the views it reads have first
        seen that receipt or position. With `as_of`, they are as they were then: after that receipt or position, or as
        far as things had *occurred* by that time.

        Raises UnknownMessage, StaleAnswer (with the stale answer) if that takes longer than `within` seconds,
        Rebuilding, and whatever the handler raises. With `as_of` also InvalidMessage for the future, NoPast, and
        PastIncomplete (with the answer); see `Views.as_of`.
        """
        position = _place(after)
        then = as_of.position if isinstance(as_of, Receipt) else as_of
        return await self._now.read.queries.ask(query, after=position, within=within, as_of=then, tenant=tenant)

    async def answered(
        self,
        query: Query[R],
        *,
        after: Receipt | int | None = None,
        within: float = 5.0,
        tenant: str | None = None,
    ) -> Answered[R]:
        """The answer as `ask` gives it, and what it depends on: for whoever keeps answers."""
        position = _place(after)
        noted = Noted(position, within, tenant, self._now.read.live.position)
        return noted.answered(await self._now.read.queries.answer(query, noted, within))

    def watch(
        self,
        query: Query[R],
        *,
        after: Receipt | int | None = None,
        within: float = 5.0,
        tenant: str | None = None,
    ) -> AsyncIterator[Change[R]]:
        """The answer as `ask` gives it, and then each one that differs from the one before, until the App stops.

        It is asked again when rows change that the answer depends on. Whoever is slow gets the newest answer, and not
        those in between. The first answer raises what `ask` raises; later, a store that is away is waited for, and
        only what the handler itself raises ends it.
        """
        position = _place(after)
        return self._now.read.live.watch(query, after=position, within=within, tenant=tenant)

    @property
    def views(self) -> Views:
        """The read models: `await app.views[orders].find(status="pending")`. Read where the store is,
        also with `read_from`."""
        return self._now.read.views

    def crud(self, part: Crud[RowT]) -> CrudTable[RowT]:
        """Writes and reads a Crud part."""
        if part not in self.model.cruds:
            raise UnknownView(f"{part.name!r} is not part of this App", do="give App the Crud part")
        return CrudTable(part, self._now.storage, self._now.read.changes)

    # -- states ---------------------------------------------------------------------------------------------------

    @overload
    async def load(self, part: type[A], identity: str, *, at: int | datetime | None = None) -> A: ...
    @overload
    async def load(self, part: Decider[Any, S, Any], identity: str, *, at: int | datetime | None = None) -> S: ...
    async def load(self, part: Any, identity: str, *, at: int | datetime | None = None) -> Any:
        """The state of one aggregate: now, after version `at`, or as far as it had occurred at the time `at`.

        An aggregate without history is in its initial state. The object is yours: changing it changes nothing else.
        A version or a time that is still to come stands for the present state.
        """
        behaviour = self._behaviour(part)
        return await self._now.write.repository.at(behaviour, stream_name(behaviour.category, identity), at)

    def states(self, part: type[Aggregate] | Decider[Any, Any, Any]) -> AsyncIterator[KeptState]:
        """All aggregates of a part as they are now, by identity, one after another; each when it is read."""
        return self._now.write.keeping.states(self._behaviour(part))

    def move(
        self, part: type[Aggregate] | Decider[Any, Any, Any], *, to: Persistence, rows: Crud[Any] | None = None
    ) -> AsyncIterator[MoveStep]:
        """Brings the streams of a part to `persistence="events"` or `"state"`, whatever the code says, while it and
        other processes go on; yields how far it has come, and with the last step is `done`. Interrupted, run it again.

        `rows`: founds an aggregate on each row of a Crud part first; those that exist are left alone.

        To events, each stream goes on with an event `daicho.founded` that holds its whole state. Raises
        UnreadableState and UnkeepableState for a state that does not fit its class.
        """
        return moving(self._now.write.keeping, self._behaviour(part), to, rows)

    async def prune(
        self,
        part: type[Aggregate] | Decider[Any, Any, Any],
        *,
        older_than: timedelta | None = None,
        before: datetime | None = None,
    ) -> PruneReport:
        """Deletes events of a part with `persistence="state"` that were recorded that long ago, or before that time,
        and that every durable reader has seen. States, versions, rules and what is younger stay as they are.

        The first and the last event of a stream stay, and those that a rule among streams needs. Where the rest of the
        history begins is remembered, so `load(at=...)` reaches as far back as the events do; before, it raises
        HistoryPruned. Raises ConfigurationError for a part whose events are the truth.
        """
        until = before if before is not None else self.clock.now() - (older_than or timedelta())
        return await self._now.write.pruning.prune(self._behaviour(part), until)

    def _behaviour(self, part: Any) -> Behaviour:
        behaviour = self.model.parts.get(id(part))
        if behaviour is None:
            raise UnknownMessage(f"{part!r} is not part of this App", do="give App the aggregate or decider")
        return behaviour

    # -- history --------------------------------------------------------------------------------------------------

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
    ) -> AsyncIterator[RecordedEvent[Any]]:
        """The audit log: recorded events that meet all conditions, in order. Finite.

        `since` and `until` are about when things occurred, and include both ends.
        """
        return self._now.read.history.events(
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

    def subscribe(
        self, *, after: int = 0, category: str | None = None, stream: str | None = None
    ) -> AsyncIterator[RecordedEvent[Any]]:
        """Every event behind `after`, then each new one as it comes. Without end; none is skipped."""
        return self._now.read.history.subscribe(after=after, category=category, stream=stream)

    async def trace(self, reference: str | Receipt) -> Trace | None:
        """The whole flow around an event id, command id, correlation id, stream or receipt, as a tree."""
        if isinstance(reference, Receipt):
            reference = reference.correlation_id
        return await self._now.read.history.trace(reference)

    async def lineage(self, part: Table[RowT], key: str) -> Lineage[RowT]:
        """Which events made a row, one by one, with the row after each; what this App's code makes of them; and the
        fields in which the stored row is another: changed by hand, or made by other code. Looks at every event of the
        projection's types. Raises UnknownView, and NoPast for a Crud table, a join or a projection in SQL.
        """
        running = self._now
        running.read.views[part]
        fold = running.read.pasts.fold_of(part.name)
        return await lineage(
            fold, key, running.read.elsewhere.get(part.name, self.storage), self.storage, self.registry
        )

    @property
    def history(self) -> History:
        return self._now.read.history

    # -- people ---------------------------------------------------------------------------------------------------

    def curtain(self, storage: Storage) -> Curtain | None:
        """Hangs before a store what enciphers personal data, if the App has `personal=`. Its `vault` is to be opened
        and closed with the store. For tools that open stores themselves."""
        return self._places.curtain(storage)

    async def forget(self, subject: str, *, by: str = "", reason: str = "", rebuild: bool = True) -> Certificate:
        """Destroys the key of a subject's personal data, for ever, and makes anew what was made of it; see
        `Forgetting.forget`. Raises ConfigurationError without `personal=`, NotFound, SubjectHeld, StoreError."""
        return await self.personal.forget(subject, by=by or getuser(), reason=reason, rebuild=rebuild)

    @property
    def personal(self) -> Forgetting:
        """Who is known, what of them, who was forgotten, and who must not be. Raises ConfigurationError."""
        return self._now.personal

    # -- how far it is --------------------------------------------------------------------------------------------

    async def settled(self, receipt: Receipt, *, within: float = 30.0) -> None:
        """Returns when everything that the receipt's command caused has been handled by every processor.

        Raises Unsettled if part of it was parked, StaleAnswer after `within` seconds.
        """
        if not isinstance(cast("object", receipt), Receipt):
            raise InvalidMessage(
                f"{receipt!r} is no receipt",
                do="give what `send` returned; for what `post` returned, `await app.outcome(command_id)` tells",
                path="receipt",
            )
        await self._now.between.settling.settled(receipt, within)

    async def settle(self, *, within: float = 30.0) -> None:
        """Returns when nothing is left to do: every processor at the head of the log, no posted command waiting."""
        await self._now.between.settling.at_rest(within)

    async def barrier(self, *tables: Table[Any], after: Receipt | int | None = None, within: float = 5.0) -> Position:
        """Waits until all of these views have seen what had happened when it was called, or, with `after`, that receipt
        or position. Returns the position that all of them have reached; what they show may be newer.

        Raises UnknownView, Rebuilding, and StaleAnswer if that takes longer than `within` seconds.
        """
        running = self._now
        goal = await running.storage.head() if after is None else _place(after)
        await running.read.queries.barrier(tables, after=goal, within=within)
        return Position(goal)

    async def lag(self) -> list[Lag]:
        """How every processor stands."""
        return await self._now.lag()

    async def health(self, *, late: float = LATE, within: float = 5.0) -> Health:
        """Whether all is well, and what to do if not; never `ok` while anything is parked. `late`: seconds that a
        reader may be behind. Without an answer from the store within `within` seconds it is `down`."""
        return await self._now.health(late, within)

    def purge_lag(self) -> PurgeLag | None:
        """How far the edge cache is behind; None if there is none, or the App does not run."""
        running = self._running
        return running.read.purger.lag() if running is not None and running.read.purger is not None else None

    @property
    def meter(self) -> Meter:
        """Look-to-Book: reads and writes since the App was made."""
        return self._setup.meter

    @property
    def journal(self) -> Journal:
        """What passed through this process lately: commands and how long queries took. Closed, until `open`ed."""
        return self._setup.journal

    # -- steering it ----------------------------------------------------------------------------------------------

    @property
    def processors(self) -> Processors:
        """Projections and event handlers at work: pause, resume, rewind. How they stand: `lag`."""
        return self._now.steering

    @property
    def dead_letters(self) -> DeadLetters:
        """Parked events: list, show, try, retry, skip, purge."""
        return self._now.dead_letters

    @property
    def processes(self) -> Processes:
        """Instances of process managers: list, show, stuck, nudge, compensate."""
        return self._now.between.processes

    @property
    def projections(self) -> Projections:
        """The generations of views: build, compare, switch, roll back."""
        return self._now.read.projections

    def rebuild(self, name: str) -> AsyncIterator[RebuildStep]:
        """Builds a view again beside the live one and switches to it; yields how far it has come."""
        return self.projections.rebuild(name)

    # -- replicas and failover ------------------------------------------------------------------------------------

    @property
    def replicas(self) -> list[ReplicaState]:
        """How the replicas stand that queries are answered from, in the order of `read_from`, as last looked at."""
        router = self._now.read.router
        return router.states() if router is not None else []

    @property
    def primary_reads(self) -> PrimaryReads | None:
        """What the primary had to do for the replicas; None without `read_from`."""
        router = self._now.read.router
        return router.primary_reads() if router is not None else None

    @property
    def failover(self) -> Failover:
        """Another PostgreSQL server in the place of the primary: `check`, `promote`, `lost`. The App need not run, and
        the primary need not either. Standbys are those of `read_from`, and those that are named. Raises
        ConfigurationError for another store."""
        return open_failover(self.url, self.read_from, self.clock)

    async def orphaned(self) -> list[Orphan]:
        """Who has seen events that were lost in a failover, until it is built anew or accepted: health is not `ok`
        meanwhile."""
        return await self._now.read.orphans.all()

    async def accept_orphan(self, checkpoint: str) -> None:
        """Somebody has seen to what a reaction or a relay did for events that were lost. Raises NotFound."""
        await self._now.read.orphans.accept(checkpoint)

    # -- other services -------------------------------------------------------------------------------------------

    def line(self) -> Line:
        """A connection to the bus for tools, not yet opened, beside the one of a running App. Raises NotFound."""
        return self._places.line()

    async def bus_status(self) -> list[PartitionState]:
        """What this App says and hears on its bus, partition by partition. Raises NotFound, BusUnavailable."""
        return await self._services.status()

    async def accept_gap(self, source: str) -> list[tuple[int, int]]:
        """Gives up messages of another service that are missing for good: goes on behind them, in each partition that
        has told a gap. Returns partitions and the number behind which they go on. Raises NotFound."""
        if not self.has_bus:
            raise NotFound("this App has no bus", do="give it one: App(bus=...)")
        return await accept_gap(self._now.storage, source)

    @property
    def _services(self) -> Services:
        services = self._now.between.services
        if services is None:
            raise NotFound("this App has no bus", do="give it one: App(bus=...)")
        return services
