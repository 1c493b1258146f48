"""The composition root: parts in, a running system out. The only place that knows every room."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast, overload
from urllib.parse import urlsplit

from daicho.adapters.clock import SystemClock
from daicho.core.aggregate import Aggregate
from daicho.core.behaviour import Behaviour
from daicho.core.codec import CodecName
from daicho.core.collaborators import supplier
from daicho.core.conditions import Expected
from daicho.core.decider import Decider
from daicho.core.errors import (
    BadUrl,
    ConfigurationError,
    MissingCollaborator,
    MissingExtra,
    NotRunning,
    UnknownMessage,
    UnknownView,
)
from daicho.core.handlers import EventHandler
from daicho.core.join import JoinFold
from daicho.core.messages import Command, Context, Query, Receipt, RecordedEvent, Row
from daicho.core.model import Model, Part
from daicho.core.projection import Crud, Table
from daicho.core.registry import Registry
from daicho.core.segments import MOST_SEGMENTS
from daicho.core.signatures import describe
from daicho.core.sql_projection import SqlFold
from daicho.core.streams import Position, stream_name
from daicho.ports.clock import Clock
from daicho.ports.event_store import CommandOutcome
from daicho.ports.probe import Probe, silent
from daicho.ports.read_store import ReadStore
from daicho.ports.scratch import Scratch
from daicho.ports.storage import Storage
from daicho.read.crud import CrudTable
from daicho.read.dead_letters import DeadLetters
from daicho.read.health import LATE, Health
from daicho.read.history import History, Trace
from daicho.read.lineage import Lineage, lineage
from daicho.read.live import Change
from daicho.read.processors import Processors
from daicho.read.progress import Lag
from daicho.read.projections import Projections
from daicho.read.queries import Views
from daicho.read.rebuild import RebuildStep
from daicho.running import Running, Setup, joinable
from daicho.sync import SyncApp
from daicho.write.middleware.authorisation import Permit
from daicho.write.pipeline import Middleware

__all__ = ["App"]

A = TypeVar("A", bound=Aggregate)
S = TypeVar("S")
R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)

_STORES = {
    "memory": ("daicho.adapters.stores.memory", "MemoryStorage", None),
    "sqlite": ("daicho.adapters.stores.sqlite", "SqliteStorage", None),
    "postgresql": ("daicho.adapters.stores.postgres", "PostgresStorage", "postgres"),
    "postgres": ("daicho.adapters.stores.postgres", "PostgresStorage", "postgres"),
}

_READ_STORES = {
    "redis": ("daicho.adapters.views.redis", "RedisReadStore", "redis"),
    "rediss": ("daicho.adapters.views.redis", "RedisReadStore", "redis"),
    "mongodb": ("daicho.adapters.views.mongodb", "MongoReadStore", "mongodb"),
    "opensearch": ("daicho.adapters.views.opensearch", "SearchReadStore", "opensearch"),
    "elasticsearch": ("daicho.adapters.views.opensearch", "SearchReadStore", "opensearch"),
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
        views: Mapping[Table[Any], str] | None = None,
        name: str = "app",
        clock: Clock | None = None,
        middleware: Sequence[Middleware] = (),
        authorise: Permit | None = None,
        provide: Sequence[Any] = (),
        codec: CodecName = "json",
        snapshot_after: int = 100,
        hot_aggregates: int = 10_000,
        segments: Mapping[Table[Any] | EventHandler, int] | None = None,
        largest_event: int = 1024 * 1024,
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
        segments        into how many parts the work of a projection or an event handler is cut by key, so that several
                        processes share it: `{orders: 8}`; a power of two
        largest_event   bytes
        Raises WiringError and BadUrl.
        """
        self.url = store
        _locate(store)
        model = Model(parts)
        self._view_urls = _view_urls(model, views or {})
        self._setup = Setup(
            name=name,
            model=model,
            registry=Registry(model.events, model.upcasters, codec=codec, largest=largest_event),
            clock=clock or SystemClock(),
            probe=probe,
            middleware=tuple(middleware),
            authorise=authorise,
            supplies={
                command: supply
                for command, behaviour in model.behaviours.items()
                if (supply := supplier(behaviour.asks[command], provide, f"{behaviour.name} ({command.__name__})"))
            },
            reaction_supplies={
                reaction.name: supplier(reaction.asks, provide, describe(reaction.function))
                for reaction in model.reactions
            },
            answers={
                query: _answerer(handler.function, handler.asks, provide) for query, handler in model.queries.items()
            },
            snapshot_after=snapshot_after,
            hot_aggregates=hot_aggregates,
            segments=_segments(model, segments or {}),
            scratch=lambda: cast("Scratch", open_storage("memory:", self.clock)),
        )
        self._running: Running | None = None

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
        stores = {url: open_read_store(url, self.clock) for url in sorted(set(self._view_urls.values()))}
        running = Running(
            self._setup,
            open_storage(self.url, self.clock),
            {name: stores[url] for name, url in self._view_urls.items()},
            with_processors=processors,
        )
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
        gateway = self._now.gateway
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
        if type(command) not in self.model.behaviours:
            raise UnknownMessage(f"no part of this App handles {type(command).__name__}", do="give App the part")
        envelope = running.gateway.envelope(
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
            return await running.gateway.post(envelope)
        command_id = await running.gateway.post(envelope)
        running.postman.wake()
        return command_id

    async def status(self, command_id: str) -> CommandOutcome | None:
        """What became of a posted, keyed or refused command: `pending`, `done`, `rejected` or `failed`. None: unknown,
        or handled without a trace but its events."""
        return await self._now.storage.outcome(command_id)

    # -- queries and states ---------------------------------------------------------------------------------------

    async def ask(
        self,
        query: Query[R],
        *,
        after: Receipt | int | None = None,
        within: float = 5.0,
        as_of: Receipt | int | datetime | None = None,
    ) -> R:
        """Answers a query. With `after`, the views it reads have first seen that receipt or position. With `as_of`,
        they are as they were then: after that receipt or position, or as far as things had *occurred* by that time.

        Raises UnknownMessage, StaleAnswer (with the stale answer) if that takes longer than `within` seconds,
        Rebuilding, and whatever the handler raises. With `as_of` also InvalidMessage for the future, NoPast, and
        PastIncomplete (with the answer); see `Views.as_of`.
        """
        position = after.position if isinstance(after, Receipt) else after or 0
        then = as_of.position if isinstance(as_of, Receipt) else as_of
        return await self._now.queries.ask(query, after=position, within=within, as_of=then)

    def watch(
        self, query: Query[R], *, after: Receipt | int | None = None, within: float = 5.0
    ) -> AsyncIterator[Change[R]]:
        """The answer as `ask` gives it, and then each one that differs from the one before, until the App stops.

        It is asked again when rows change that the answer depends on. Whoever is slow gets the newest answer, and not
        those in between. The first answer raises what `ask` raises; later, a store that is away is waited for, and
        only what the handler itself raises ends it.
        """
        position = after.position if isinstance(after, Receipt) else after or 0
        return self._now.live.watch(query, after=position, within=within)

    @property
    def views(self) -> Views:
        """The read models: `await app.views[orders].find(status="pending")`."""
        return self._now.views

    def crud(self, part: Crud[RowT]) -> CrudTable[RowT]:
        """Writes and reads a Crud part."""
        if part not in self.model.cruds:
            raise UnknownView(f"{part.name!r} is not part of this App", do="give App the Crud part")
        return CrudTable(part, self._now.storage, self._now.changes)

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

    async def lineage(self, part: Table[RowT], key: str) -> Lineage[RowT]:
        """Which events made a row, one by one, with the row after each; what this App's code makes of them; and the
        fields in which the stored row is another: changed by hand, or made by other code. Looks at every event of the
        projection's types. Raises UnknownView, and NoPast for a Crud table, a join or a projection in SQL.
        """
        running = self._now
        running.views[part]
        fold = running.pasts.fold_of(part.name)
        return await lineage(fold, key, running.elsewhere.get(part.name, self.storage), self.storage, self.registry)

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

    async def health(self, *, late: float = LATE, within: float = 5.0) -> Health:
        """Whether all is well, and what to do if not; never `ok` while anything is parked. `late`: seconds that a
        reader may be behind. Without an answer from the store within `within` seconds it is `down`."""
        return await self._now.health(late, within)

    @property
    def dead_letters(self) -> DeadLetters:
        """Parked events: list, show, try, retry, skip, purge."""
        return self._now.dead_letters

    @property
    def processors(self) -> Processors:
        """Projections and event handlers at work: pause, resume, rewind. How they stand: `lag`."""
        return self._now.steering

    async def barrier(self, *tables: Table[Any], after: Receipt | int | None = None, within: float = 5.0) -> Position:
        """Waits until all of these views have seen what had happened when it was called, or, with `after`, that receipt
        or position. Returns the position that all of them have reached; what they show may be newer.

        Raises UnknownView, Rebuilding, and StaleAnswer if that takes longer than `within` seconds.
        """
        running = self._now
        position = after.position if isinstance(after, Receipt) else after
        goal = await running.storage.head() if position is None else position
        await running.queries.barrier(tables, after=goal, within=within)
        return Position(goal)

    @property
    def projections(self) -> Projections:
        """The generations of views: build, compare, switch, roll back."""
        return self._now.projections

    def rebuild(self, name: str) -> AsyncIterator[RebuildStep]:
        """Builds a view again beside the live one and switches to it; yields how far it has come."""
        return self.projections.rebuild(name)


_NO_CONTEXT = cast("Context", None)  # a query handler that asks for one is refused before it can matter


def _answerer(
    function: Callable[..., Awaitable[Any]], asks: Sequence[tuple[str, Any]], provide: Sequence[Any]
) -> Callable[..., Awaitable[Any]]:
    """`(query, views) -> answer`, with the handler's further parameters filled in."""
    others = [(name, hint) for name, hint in asks if hint is not Views]
    if any(hint is Context for _, hint in others):
        raise MissingCollaborator(
            f"{describe(function)} asks for a Context",
            why="a context belongs to a command or event; a question has none",
            do="put what the query needs into its fields",
        )
    if not others and len(asks) == 1:
        return function
    supply = supplier(others, provide, describe(function))

    def answer(query: Query[Any], views: Views) -> Awaitable[Any]:
        found = iter(supply(_NO_CONTEXT) if supply else ())
        return function(query, *[views if hint is Views else next(found) for _, hint in asks])

    return answer


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
    _locate(url)
    return cast("Storage", _adapter(_STORES[urlsplit(url).scheme])(url, now=clock.now))


def open_read_store(url: str, clock: Clock) -> ReadStore:
    """The adapter for the URL of read models, not yet opened."""
    return cast("ReadStore", _adapter(_READ_STORES[urlsplit(url).scheme])(url, now=clock.now))


def _adapter(where: tuple[str, str, str | None]) -> Callable[..., object]:
    module_name, class_name, extra = where
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if extra is None:
            raise
        raise MissingExtra(
            f"{class_name} needs an extra", why=str(error), do=f'pip install "daicho[{extra}]"', extra=extra
        ) from error
    return cast("Callable[..., object]", getattr(module, class_name))


def _view_urls(model: Model, views: Mapping[Table[Any], str]) -> dict[str, str]:
    """By the name of the view. Raises BadUrl, and ConfigurationError for a view that cannot be away from the events."""
    folds = {fold.name: fold for fold in model.folds}
    found: dict[str, str] = {}
    for part, url in views.items():
        fold = folds.get(part.name)
        if fold is None or fold.part is not part:
            raise UnknownView(f"{part.name!r} is no projection of this App", do="list it among the parts, too")
        if urlsplit(url).scheme not in _READ_STORES:
            raise BadUrl(
                f"rows of {part.name!r} cannot be kept in {_without_password(url)!r}",
                why=f"a URL for views begins with {', '.join(f'{name}://' for name in _READ_STORES)}",
                do="leave it out for rows beside the events, in SQL",
            )
        if isinstance(fold, SqlFold) or fold.part.inline:
            raise ConfigurationError(
                f"{part.name!r} is {'SQL' if isinstance(fold, SqlFold) else 'inline'}, and cannot be kept elsewhere",
                why="it is written in the transaction of the events",
                do="leave it out of `views=`, or make it a projection of its own",
            )
        found[part.name] = url
    return found


def _segments(model: Model, segments: Mapping[Table[Any] | EventHandler, int]) -> dict[str, int]:
    """By the name of the processor. Raises ConfigurationError for what cannot be cut."""
    folds = {fold.name: fold for fold in model.folds}
    found: dict[str, int] = {}
    for part, count in segments.items():
        if not 1 <= count <= MOST_SEGMENTS or count.bit_count() != 1:
            raise ConfigurationError(
                f"{part.name!r} cannot be cut into {count} segments",
                why=f"their number is a power of two, up to {MOST_SEGMENTS}",
                do="write 2, 4, 8, ...",
            )
        if isinstance(part, EventHandler):
            if part not in model.reactions:
                raise ConfigurationError(f"{part.name!r} is not part of this App", do="list it among the parts, too")
            found[f"reaction:{part.name}"] = count
            continue
        fold = folds.get(part.name)
        if fold is None or fold.part is not part:
            raise UnknownView(f"{part.name!r} is no projection of this App", do="list it among the parts, too")
        if isinstance(fold, (SqlFold, JoinFold)) or fold.part.inline:
            kind = "SQL" if isinstance(fold, SqlFold) else "a join" if isinstance(fold, JoinFold) else "inline"
            raise ConfigurationError(
                f"{part.name!r} is {kind}, and cannot be cut",
                why="only a fold of single rows knows which events concern which keys",
                do="leave it out of `segments=`",
            )
        found[f"projection:{part.name}"] = count
    return found


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
