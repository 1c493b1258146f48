"""The composition root: parts in, a running system out. The only place that knows every room."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast, overload
from urllib.parse import urlsplit

from daicho.adapters.clock import SystemClock
from daicho.adapters.owner import owner_name
from daicho.core.aggregate import Aggregate
from daicho.core.behaviour import Behaviour
from daicho.core.codec import CodecName
from daicho.core.collaborators import supplier
from daicho.core.conditions import Expected
from daicho.core.decider import Decider
from daicho.core.errors import BadUrl, ConfigurationError, MissingExtra, NotRunning, UnknownMessage, UnknownView
from daicho.core.messages import Command, Context, Query, Receipt, RecordedEvent, Row
from daicho.core.model import Model, Part
from daicho.core.projection import Crud, Fold
from daicho.core.registry import Registry
from daicho.core.signatures import describe
from daicho.core.streams import Position, stream_name
from daicho.flow.posted import Postman
from daicho.flow.reactions import Reaction
from daicho.flow.settling import Settling
from daicho.ports.clock import Clock
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import CommandOutcome, Selection
from daicho.ports.probe import Probe, silent
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.read.crud import CrudTable
from daicho.read.dead_letters import DeadLetters
from daicho.read.feed import Feed
from daicho.read.history import History, Trace
from daicho.read.processor import Processor
from daicho.read.progress import Lag, Progress
from daicho.read.projector import Inline, Projector, processor_name
from daicho.read.queries import Kept, Queries, Views, ViewState
from daicho.read.rebuild import RebuildStep, rebuild
from daicho.sync import SyncApp
from daicho.write.appending import Appender
from daicho.write.execution import Execution
from daicho.write.gateway import Gateway
from daicho.write.middleware.audit import Audit
from daicho.write.middleware.authorisation import Authorisation, Permit
from daicho.write.middleware.idempotency import Idempotency
from daicho.write.middleware.retry import Retry
from daicho.write.middleware.tracing import Tracing, is_traced
from daicho.write.middleware.validation import Validation
from daicho.write.pipeline import Middleware, compose
from daicho.write.repository import Repository

__all__ = ["App"]

A = TypeVar("A", bound=Aggregate)
S = TypeVar("S")
R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)

_STORES = {
    "memory": ("daicho.adapters.stores.memory", "MemoryStorage", None),
    "sqlite": ("daicho.adapters.stores.sqlite", "SqliteStorage", None),
}


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
        name: str = "app",
        clock: Clock | None = None,
        middleware: Sequence[Middleware] = (),
        authorise: Permit | None = None,
        provide: Sequence[Any] = (),
        codec: CodecName = "json",
        snapshot_after: int = 100,
        hot_aggregates: int = 10_000,
        largest_event: int = 1024 * 1024,
        probe: Probe = silent,
    ) -> None:
        """
        store           URL: `memory:`, `sqlite:///file.db`
        middleware      async functions `(envelope, proceed) -> Receipt` around every command
        authorise       asked with the envelope of every command from outside; False refuses
        provide         collaborators that handlers may ask for by annotation
        codec           how new events are stored: `json` (readable) or `msgpack` (smaller); both can always be read
        snapshot_after  a snapshot is taken when more than so many events came since the last
        hot_aggregates  so many states are kept in memory
        largest_event   bytes
        Raises WiringError and BadUrl.
        """
        self.name, self.url = name, store
        self.model = Model(parts)
        self.registry = Registry(self.model.events, self.model.upcasters, codec=codec, largest=largest_event)
        self.clock: Clock = clock or SystemClock()
        self._middleware, self._authorise, self._probe = list(middleware), authorise, probe
        self._snapshot_after, self._hot_aggregates = snapshot_after, hot_aggregates
        self._supplies = {
            command: supply
            for command, behaviour in self.model.behaviours.items()
            if (supply := supplier(behaviour.asks[command], provide, f"{behaviour.name} ({command.__name__})"))
        }
        self._reaction_supplies = {
            reaction.name: supplier(reaction.asks, provide, describe(reaction.function))
            for reaction in self.model.reactions
        }
        self._answers = {
            query: self._answerer(handler.function, handler.asks, provide)
            for query, handler in self.model.queries.items()
        }
        _locate(store)
        self._running: _Running | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> App:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, *, processors: bool = True) -> App:
        """Opens the store. With `processors=False` no reaction, projection or posted command is run here: for tools
        that look at a store which another process works on."""
        if self._running is not None:
            raise NotRunning("this App is running already", do="enter it once; make a second App for a second store")
        running = _Running(self, processors)
        try:
            await running.start()
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
    def _now(self) -> _Running:
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
    ) -> Receipt:
        """Handles a command and returns when its events are durable.

        actor        who asks; stands in every event
        key          idempotency key: sent again, the first outcome is returned and nothing is done
        expected     version the caller saw of the stream: ANY, ABSENT, EXISTS or a number
        occurred_at  business time (aware), for what happened earlier; events it causes inherit it
        command_id   canonical UUID, instead of `key`, for callers that have one

        Raises Rejected, MessageError, ConcurrencyError (with `expected`, or after many retries), StoreError, and
        whatever the handler raises.
        """
        gateway = self._now.gateway
        return await gateway.send(
            gateway.envelope(
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
        )

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
    ) -> str:
        """Makes the command durable and returns its id at once; it is handled soon, also after a crash.

        `status(command_id)` tells what became of it. Raises MessageError and StoreError.
        """
        running = self._now
        if type(command) not in self.model.behaviours:
            raise UnknownMessage(f"no part of this App handles {type(command).__name__}", do="give App the part")
        command_id = await running.gateway.post(
            running.gateway.envelope(
                command,
                actor=actor,
                tenant=tenant,
                key=key,
                expected=expected,
                occurred_at=occurred_at,
                metadata=metadata,
            )
        )
        running.postman.wake()
        return command_id

    async def status(self, command_id: str) -> CommandOutcome | None:
        """What became of a posted, keyed or refused command: `pending`, `done`, `rejected` or `failed`. None: unknown,
        or handled without a trace but its events."""
        return await self._now.storage.outcome(command_id)

    # -- queries and states ---------------------------------------------------------------------------------------

    async def ask(self, query: Query[R], *, after: Receipt | int | None = None, within: float = 5.0) -> R:
        """Answers a query. With `after`, the views it reads have first seen that receipt or position.

        Raises UnknownMessage, StaleAnswer (with the stale answer) if that takes longer than `within` seconds,
        Rebuilding, and whatever the handler raises.
        """
        position = after.position if isinstance(after, Receipt) else after or 0
        return await self._now.queries.ask(query, after=position, within=within)

    @property
    def views(self) -> Views:
        """The read models: `await app.views[orders].find(status="pending")`."""
        return self._now.views

    def crud(self, part: Crud[RowT]) -> CrudTable[RowT]:
        """Writes and reads a Crud part."""
        if part not in self.model.cruds:
            raise UnknownView(f"{part.name!r} is not part of this App", do="give App the Crud part")
        return CrudTable(part, self._now.storage)

    @overload
    async def load(self, part: type[A], identity: str, *, at: int | datetime | None = None) -> A: ...
    @overload
    async def load(self, part: Decider[Any, S, Any], identity: str, *, at: int | datetime | None = None) -> S: ...
    async def load(self, part: Any, identity: str, *, at: int | datetime | None = None) -> Any:
        """The state of one aggregate: now, after version `at`, or as far as it had occurred at the time `at`.

        An aggregate without history is in its initial state. The object is yours: changing it changes nothing else.
        """
        behaviour = self._behaviour(part)
        return await self._now.repository.at(behaviour, stream_name(behaviour.category, identity), at)

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
        return self._now.history.events(
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
        return self._now.history.subscribe(after=after, category=category, stream=stream)

    async def trace(self, reference: str | Receipt) -> Trace | None:
        """The whole flow around an event id, command id, correlation id, stream or receipt, as a tree."""
        if isinstance(reference, Receipt):
            reference = reference.correlation_id
        return await self._now.history.trace(reference)

    @property
    def history(self) -> History:
        return self._now.history

    # -- running it -----------------------------------------------------------------------------------------------

    async def settled(self, receipt: Receipt, *, within: float = 30.0) -> None:
        """Returns when everything that the receipt's command caused has been handled by every processor.

        Raises Unsettled if part of it was parked, StaleAnswer after `within` seconds.
        """
        await self._now.settling.settled(receipt, within)

    async def settle(self, *, within: float = 30.0) -> None:
        """Returns when nothing is left to do: every processor at the head of the log, no posted command waiting."""
        await self._now.settling.at_rest(within)

    async def lag(self) -> list[Lag]:
        """How every processor stands."""
        return await self._now.lag()

    @property
    def dead_letters(self) -> DeadLetters:
        """Parked events: list, show, retry, skip."""
        return self._now.dead_letters

    async def rebuild(self, name: str) -> AsyncIterator[RebuildStep]:
        """Builds a view again beside the live one and switches to it; yields how far it has come."""
        fold = next((fold for fold in self.model.folds if fold.name == name), None)
        if fold is None:
            known = ", ".join(sorted(f.name for f in self.model.folds)) or "none"
            raise UnknownView(f"there is no projection {name!r}", why=f"this App has {known}", do="check the name")
        running = self._now
        async for step in rebuild(fold, running.storage, self.registry, running.owner):
            yield step

    @staticmethod
    def _answerer(
        function: Callable[..., Awaitable[Any]], asks: Sequence[tuple[str, Any]], provide: Sequence[Any]
    ) -> Callable[..., Awaitable[Any]]:
        """`(query, views) -> answer`, with the handler's further parameters filled in."""
        others = [(name, hint) for name, hint in asks if hint is not Views]
        if not others and len(asks) == 1:
            return function
        supply = supplier(others, provide, describe(function))

        def answer(query: Query[Any], views: Views) -> Awaitable[Any]:
            found = iter(supply(_NO_CONTEXT) if supply else ())
            return function(query, *[views if hint is Views else next(found) for _, hint in asks])

        return answer


_NO_CONTEXT = cast("Context", None)


def _locate(url: str) -> tuple[str, str]:
    """Module and class for a store URL; raises BadUrl."""
    scheme = urlsplit(url).scheme if ":" in url else ""
    if scheme not in _STORES:
        raise BadUrl(
            f"{url!r} is not the URL of a store",
            why=f"this Daicho knows {', '.join(f'{name}:' for name in _STORES)}",
            do="write for instance `sqlite:///shop.db` or `memory:`",
            url=url,
        )
    module, cls, _ = _STORES[scheme]
    return module, cls


def open_storage(url: str, clock: Clock) -> Storage:
    """The adapter for a URL, not yet opened. The only table from URL to adapter; adapters are imported when named."""
    module_name, class_name = _locate(url)
    extra = _STORES[urlsplit(url).scheme][2]
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if extra is None:
            raise
        raise MissingExtra(
            f"the store {url!r} needs an extra", why=str(error), do=f'pip install "daicho[{extra}]"', extra=extra
        ) from error
    return cast("Storage", getattr(module, class_name)(url, now=clock.now))


class _Running:
    """Everything that lives between entering and leaving an App."""

    def __init__(self, app: App, with_processors: bool) -> None:
        self._app, self._with_processors = app, with_processors
        model, registry, clock, probe = app.model, app.registry, app.clock, app._probe
        self.owner = owner_name()
        self.storage = storage = open_storage(app.url, clock)
        self.feed = Feed(storage, registry)
        self.progress = Progress(storage)
        self.history = History(storage, storage, registry, self.feed)
        self.appender = Appender(storage)
        self.repository = Repository(
            storage, storage, registry, snapshot_after=app._snapshot_after, hot=app._hot_aggregates
        )
        self.projectors = [self._projector(fold) for fold in model.folds]
        inline = [p for p in self.projectors if p.fold.part.inline]
        execution = Execution(
            model.behaviours,
            app._supplies,
            self.repository,
            self.appender,
            storage,
            storage,
            registry,
            clock,
            probe,
            Inline(inline, registry) if inline else None,
        )
        validation = Validation()
        checks: list[Middleware] = [Audit(storage, clock), validation]
        if is_traced():
            checks.insert(0, Tracing(app.name))
        if app._authorise is not None:
            checks.append(Authorisation(app._authorise))
        idempotency = Idempotency(storage, self._recorded)
        handler = compose([*checks, *app._middleware, Retry(clock), idempotency], execution)
        self.gateway = Gateway(handler, compose(checks, _accept), storage, clock)
        self.postman = Postman(
            storage,
            storage,
            handler,
            {c.__message_name__: c for c in model.behaviours},
            clock,
            probe,
            self.owner,
        )
        self.reactions = [
            Reaction(
                part,
                app._reaction_supplies[part.name],
                handler,
                storage,
                storage,
                storage,
                registry,
                clock,
                probe,
            )
            for part in model.reactions
        ]
        self.processors: list[Processor] = []
        kept: list[ViewState] = [Kept(TableSpec(crud.name, 1, crud.row_type)) for crud in model.cruds]
        states: dict[str, ViewState] = {state.table.name: state for state in [*self.projectors, *kept]}
        self.views = Views(states, storage, self.progress)
        self.queries = Queries(app._answers, self.views)
        self.settling = Settling(storage, storage, self.progress, self.postman, self._processor_names)
        self.dead_letters = DeadLetters(storage, lambda: self.processors)
        self._opened = False

    def _projector(self, fold: Fold[Any]) -> Projector:
        table = TableSpec(fold.name, 1, fold.part.row_type)
        storage = self.storage
        return Projector(fold, table, storage, storage, storage, self._app.registry, self._app._probe)

    async def _recorded(self, selection: Selection) -> list[RecordedEvent[Any]]:
        history = self.history
        return [history.recorded(event) async for event in history.stored(selection)]

    def _processor_names(self) -> list[str]:
        return [*(p.name for p in self.projectors), *(r.name for r in self.reactions)]

    async def start(self) -> None:
        await self.storage.open()
        self._opened = True
        await self._register()
        await self.feed.start()
        if not self._with_processors:
            return
        consumers: list[Projector | Reaction] = [*self.projectors, *self.reactions]
        for consumer in consumers:
            processor = Processor(consumer.name, consumer, self.feed, self.storage, self.progress, self.owner)
            self.processors.append(processor)
            processor.start()
        await self.postman.start()
        self.dead_letters.start()

    async def _register(self) -> None:
        """Tables and checkpoints for every part, before the first command can be sent."""
        storage = self.storage
        known = {c.processor for c in await storage.checkpoints()}
        head = await storage.head()
        for projector in self.projectors:
            await self._register_view(projector, known, head)
        for reaction in self.reactions:
            if reaction.name not in known:
                await storage.register(reaction.name, position=0 if reaction.part.from_start else head)
        for crud in self._app.model.cruds:
            table = TableSpec(crud.name, 1, crud.row_type)
            if not await storage.shape_fits(table):
                raise ConfigurationError(
                    f"the stored table {crud.name!r} has other columns than {crud.row_type.__name__}",
                    why="the class was changed after rows had been stored",
                    do="give the Crud part a new `name=` and copy the rows, or change the class back",
                )
            await storage.open_table(table)
            await storage.switch(table)

    async def _register_view(self, projector: Projector, known: set[str], head: int) -> None:
        storage, name = self.storage, projector.table.name
        live = await storage.live_generation(name)
        if live is not None:
            projector.table = TableSpec(name, live, projector.table.row_type)
            projector.name = processor_name(projector.table)
            if await storage.shape_fits(projector.table):
                if projector.name not in known:
                    await storage.register(projector.name, position=0, fold=projector.fold.code)
                return
            # the row class changed: rows of the old shape cannot be read, so the view is built anew
            newest = max(await storage.generations(name))
            projector.table = TableSpec(name, newest + 1, projector.table.row_type)
            projector.name = processor_name(projector.table)
        await storage.open_table(projector.table)
        await storage.register(projector.name, position=0, fold=projector.fold.code)
        await storage.switch(projector.table)
        if live is not None:
            await storage.forget(processor_name(TableSpec(name, live, projector.table.row_type)))
        projector.complete_at = head

    async def stop(self) -> None:
        await self.dead_letters.stop()
        await self.postman.stop()
        for processor in self.processors:
            await processor.stop()
        await self.appender.close()
        await self.feed.stop()
        if self._opened:
            try:
                if self._with_processors:
                    await self.storage.release(self.owner)
            finally:
                await self.storage.close()

    async def lag(self) -> list[Lag]:
        storage, head = self.storage, await self.storage.head()
        stored = {c.processor: c for c in await storage.checkpoints()}
        parked: dict[str, int] = {}
        for letter in await storage.letters():
            parked[letter.processor] = parked.get(letter.processor, 0) + 1
        own = {p.name: p for p in self.processors}
        found: list[Lag] = []
        for name in self._processor_names():
            checkpoint, processor = stored.get(name), own.get(name)
            position = self.progress.position(name)
            if position is None:
                position = checkpoint.position if checkpoint else 0
            found.append(
                Lag(
                    processor=name,
                    position=position,
                    events_behind=max(0, head - position),
                    seconds_behind=await self._age(position) if position < head else 0.0,
                    parked=parked.get(name, 0),
                    state=processor.state if processor else "waiting",
                    error=(processor.error or None) if processor else None,
                )
            )
        return found

    async def _age(self, position: int) -> float:
        """Seconds since the first event behind `position` was recorded."""
        following = await self.storage.read(Selection(after=position), limit=1)
        if not following:
            return 0.0
        recorded_at = datetime.fromisoformat(following[0].recorded_at)
        return max(0.0, (self._app.clock.now() - recorded_at).total_seconds())


async def _accept(envelope: Envelope) -> Receipt:
    """The end of the checks of a posted command: it has passed, and nothing has come of it yet."""
    return Receipt(
        command_id=envelope.command_id,
        stream="",
        version=0,
        position=Position(0),
        events=(),
        correlation_id=envelope.correlation_id,
    )
