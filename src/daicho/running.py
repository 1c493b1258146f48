"""Everything that lives between entering and leaving an App."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from daicho.adapters.owner import owner_name
from daicho.core.collaborators import Supply
from daicho.core.errors import ConfigurationError, StoreError
from daicho.core.handlers import EventHandler
from daicho.core.messages import Command, Query, Receipt, RecordedEvent
from daicho.core.model import Model
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment, root_of
from daicho.core.streams import Position
from daicho.flow.posted import Postman
from daicho.flow.reactions import Reaction
from daicho.flow.settling import Settling
from daicho.flow.trials import Trials
from daicho.ports.checkpoint_store import CUT, Checkpoint
from daicho.ports.clock import Clock
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import EventStore, Selection
from daicho.ports.probe import Probe
from daicho.ports.read_store import ReadStore
from daicho.ports.scratch import Scratch
from daicho.ports.storage import Joinable, Storage
from daicho.ports.view_store import TableSpec
from daicho.read import health
from daicho.read.build import Build
from daicho.read.changes import Changes
from daicho.read.crew import Crew, Job
from daicho.read.dead_letters import DeadLetters
from daicho.read.elsewhere import Elsewhere
from daicho.read.feed import Feed
from daicho.read.generations import BUILDING, FORMER
from daicho.read.history import History
from daicho.read.inline import Inline
from daicho.read.lag import lag_of
from daicho.read.live import Live
from daicho.read.past_views import PastViews
from daicho.read.pasts import Pasts
from daicho.read.processor import PageProcessor, Processor
from daicho.read.processors import Processors
from daicho.read.progress import Lag, Progress
from daicho.read.projections import Projections
from daicho.read.projector import Projector
from daicho.read.queries import Kept, Queries, Views, ViewState
from daicho.read.rebuild import AnyProjector, projector_for
from daicho.read.set_projector import SetProcessor, SetProjector
from daicho.read.stride import StridingProcessor
from daicho.write.appending import Appender
from daicho.write.execution import Execution
from daicho.write.gateway import Gateway
from daicho.write.imagined import Imagined
from daicho.write.middleware.audit import Audit
from daicho.write.middleware.authorisation import Authorisation, Permit
from daicho.write.middleware.idempotency import Idempotency
from daicho.write.middleware.retry import Retry
from daicho.write.middleware.tracing import Tracing, is_traced
from daicho.write.middleware.validation import Validation
from daicho.write.pipeline import Middleware, compose
from daicho.write.repository import Repository

__all__ = ["Running", "Setup", "joinable"]

_log = logging.getLogger("daicho")
_RENEW_EVERY = 3.0


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an App was told, checked and compiled."""

    name: str
    model: Model
    registry: Registry
    clock: Clock
    probe: Probe
    middleware: Sequence[Middleware]
    authorise: Permit | None
    supplies: Mapping[type[Command], Supply]
    reaction_supplies: Mapping[str, Supply | None]
    answers: Mapping[type[Query[Any]], Callable[..., Awaitable[Any]]]
    snapshot_after: int
    hot_aggregates: int
    segments: Mapping[str, int]
    """Of projections by `projection:NAME`, of reactions by `reaction:NAME`; those that are not here have one."""
    scratch: Callable[[], Scratch]
    """Makes an empty store in memory."""


class Running:
    """An opened store, and the two sides at work on it."""

    def __init__(
        self,
        setup: Setup,
        storage: Storage,
        read_stores: Mapping[str, ReadStore] | None = None,
        *,
        with_processors: bool,
    ) -> None:
        """`read_stores`: by the name of the view whose rows are there."""
        self._setup, self._with_processors = setup, with_processors
        model, registry, clock, probe = setup.model, setup.registry, setup.clock, setup.probe
        self.owner = owner_name()
        self.storage = storage
        self.read_stores = list({id(store): store for store in (read_stores or {}).values()}.values())
        self.elsewhere = {name: Elsewhere(store, storage, clock) for name, store in (read_stores or {}).items()}
        self.feed = Feed(storage, registry)
        self.progress = Progress(storage)
        self.changes = Changes()
        self.history = History(storage, storage, registry, self.feed)
        self.appender = Appender(storage)
        self.repository = Repository(
            storage, storage, registry, snapshot_after=setup.snapshot_after, hot=setup.hot_aggregates
        )
        self.projectors = [self._projector(fold, WHOLE) for fold in model.folds]
        inline = [p for p in self.projectors if isinstance(p, Projector) and p.fold.part.inline]
        execution = Execution(
            model.behaviours,
            setup.supplies,
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
            checks.insert(0, Tracing(setup.name))
        if setup.authorise is not None:
            checks.append(Authorisation(setup.authorise))
        idempotency = Idempotency(storage, self._recorded, clock)
        handler = compose([*checks, *setup.middleware, Retry(clock), idempotency], execution)
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
        self._handler = handler
        self.reactions = [self._reaction(part, WHOLE) for part in model.reactions]
        self.crew = Crew(
            setup.name,
            self.owner,
            storage,
            storage,
            [*map(self._view_job, self.projectors), *map(self._reaction_job, self.reactions)],
        )
        kept: list[ViewState] = [Kept(TableSpec(crud.name, 1, crud.row_type), storage) for crud in model.cruds]
        states: dict[str, ViewState] = {state.table.name: state for state in [*self.projectors, *kept]}
        self.pasts = Pasts(model.folds, storage, registry, setup.scratch)
        self.views = Views(states, self.progress, past=lambda then: PastViews(states, self.progress, self.pasts, then))
        self.queries = Queries(setup.answers, self.views)
        self.live = Live(self.queries, self.changes, states, self.progress, None if with_processors else self.relocate)
        self.settling = Settling(storage, storage, self.progress, self.postman, self._processor_names)
        bare = compose([validation, Retry(clock), idempotency], execution)
        imagine = partial(Imagined, storage, clock)
        trials = Trials(storage, registry, self.projectors, self.reactions, bare, imagine)
        self.dead_letters = DeadLetters(storage, lambda: self.processors, trials, clock)
        self.steering = Processors(storage, self.crew.look)
        self.projections = Projections(model.folds, storage, registry, self.owner, clock, self.elsewhere, self.relocate)
        self._opened = False
        self._heart: asyncio.Task[None] | None = None

    @property
    def processors(self) -> list[Processor[Any]]:
        return self.crew.processors

    def _projector(self, fold: Any, segment: Segment) -> AnyProjector:
        table = TableSpec(fold.name, 1, fold.part.row_type)
        elsewhere = self.elsewhere.get(fold.name)
        registry, probe = self._setup.registry, self._setup.probe
        projector = projector_for(fold, table, self.storage, registry, probe, elsewhere, segment)
        projector.changes = self.changes
        return projector

    def _reaction(self, part: EventHandler, segment: Segment) -> Reaction:
        setup, storage = self._setup, self.storage
        supply = setup.reaction_supplies[part.name]
        handler, registry = self._handler, setup.registry
        codes = {command: setup.model.behaviours[command].codes[command] for command in part.commands}
        clock, probe = setup.clock, setup.probe
        return Reaction(part, supply, handler, storage, storage, storage, registry, clock, probe, codes, segment)

    def _view_job(self, whole: AnyProjector) -> Job:
        def processor(segment: Segment) -> Processor[Any]:
            return self._processor(whole if segment.of == 1 else self._projector(whole.fold, segment))

        async def prepare_cut(old: Sequence[Checkpoint], new: Mapping[str, int]) -> None:
            if isinstance(whole.views, Elsewhere):
                await whole.views.recut(whole.table, max(each.token for each in old) + 1, new)

        return Job(whole, self._setup.segments.get(f"projection:{whole.fold.name}", 1), processor, prepare_cut)

    def _reaction_job(self, whole: Reaction) -> Job:
        def processor(segment: Segment) -> Processor[Any]:
            return self._processor(whole if segment.of == 1 else self._reaction(whole.part, segment))

        return Job(whole, self._setup.segments.get(whole.name, 1), processor)

    async def _recorded(self, selection: Selection, joined: EventStore | None = None) -> list[RecordedEvent[Any]]:
        history = self.history if joined is None else History(joined, self.storage, self._setup.registry)
        return [history.recorded(event) async for event in history.stored(selection)]

    def _processor_names(self) -> list[str]:
        return [*(p.name for p in self.projectors), *(r.name for r in self.reactions)]

    async def start(self) -> None:
        await self.storage.open()
        self._opened = True
        for store in self.read_stores:
            await store.open()
        if self._with_processors:
            await self._register()
        else:
            for projector in self.projectors:
                await projector.locate()
                await projector.refusal()
        await self.feed.start()
        if not self._with_processors:
            return
        await self.crew.start()
        await self.postman.start()
        self.dead_letters.start()
        self._heart = asyncio.create_task(self._beat(), name="daicho-leases")

    def _processor(self, consumer: AnyProjector | Reaction) -> Processor[Any]:
        if isinstance(consumer, SetProjector):
            return SetProcessor(consumer.name, consumer, self.feed, self.storage, self.progress, self.owner)
        if isinstance(consumer, Projector):
            return StridingProcessor(consumer.name, consumer, self.feed, self.storage, self.progress, self.owner)
        return PageProcessor(consumer.name, consumer, self.feed, self.storage, self.progress, self.owner)

    async def _register(self) -> None:
        """Tables and checkpoints for every part, before the first command can be sent."""
        storage = self.storage
        known = _positions(await storage.checkpoints())
        head = await storage.head()
        for projector in self.projectors:
            await self._register_view(projector, known, head)
        for reaction in self.reactions:
            if reaction.name not in known:
                await storage.register(reaction.name, position=0 if reaction.part.from_start else head)
        for crud in self._setup.model.cruds:
            table = TableSpec(crud.name, 1, crud.row_type)
            if not await storage.shape_fits(table):
                raise ConfigurationError(
                    f"the stored table {crud.name!r} has other columns than {crud.row_type.__name__}",
                    why="the class was changed after rows had been stored",
                    do="give the Crud part a new `name=` and copy the rows, or change the class back",
                )
            await storage.open_table(table)
            await storage.switch(table)

    async def _register_view(self, projector: Build[Any], known: Mapping[str, int], head: int) -> None:
        storage, views, name = self.storage, projector.views, projector.table.name
        live = await views.live_generation(name)
        if live is not None:
            projector.move_to(live)
            if await views.shape_fits(projector.table):
                await projector.check()
                if projector.name not in known:
                    await storage.register(projector.name, position=0, fold=projector.fold.code)
                await projector.take_up()
                await self._still_building(projector, known)
                return
            # the row class changed: rows of the old shape cannot be read, so the view is built anew, unless it was
            newest = max(await views.generations(name))
            home = await projector.home()
            projector.move_to(home or newest + 1)
            if home is not None:
                await projector.check()
                await projector.take_up()
                projector.complete_at = head if home > live else 0
                return
        await views.open_table(projector.table)
        await projector.check()
        await storage.register(projector.name, position=0, fold=projector.fold.code)
        if head:
            await storage.register(BUILDING + projector.name, position=head)
        await views.switch(projector.table)
        if live is not None:
            await self.projections.generations(name).note(FORMER, live)
        await projector.take_up()
        projector.complete_at = head

    async def _still_building(self, projector: Build[Any], known: Mapping[str, int]) -> None:
        """A build that was interrupted is not complete because it was begun."""
        goal = known.get(BUILDING + projector.name)
        if goal is None:
            return
        if known.get(projector.name, 0) < goal:
            projector.complete_at = goal
        else:
            await self.storage.forget(BUILDING + projector.name)

    async def stop(self) -> None:
        try:
            await self.live.stop()
            await self.dead_letters.stop()
            await self.postman.stop()
            await self.crew.stop()
            await self.appender.close()
            await self.feed.stop()
            if self._heart is not None:
                self._heart.cancel()
                await asyncio.wait([self._heart])
            if self._opened and self._with_processors:
                await self.storage.release(self.owner)
        finally:
            for store in self.read_stores:
                await store.close()
            await self.storage.close()

    async def _beat(self) -> None:
        """Tells other processes that this one lives, so that they leave its processors alone."""
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                await self.storage.renew(self.owner)
            except StoreError as error:
                _log.warning("could not renew the leases of %s: %s", self.owner, error)

    async def relocate(self, name: str) -> None:
        """Moves to the build of the view that readers are to see."""
        for projector in self.projectors:
            if projector.fold.name == name and not self._with_processors:
                await projector.locate()
                await projector.refusal()
        for processor in self.processors:
            if not isinstance(processor.consumer, Reaction) and processor.consumer.fold.name == name:
                await processor.relocate()
        await self.crew.look()

    async def lag(self) -> list[Lag]:
        now = self._setup.clock.now
        return await lag_of(self._processor_names(), self.storage, self.progress, self.processors, now)

    async def health(self, late: float, within: float) -> health.Health:
        return await health.examine(
            self.storage,
            self._setup.clock.now(),
            late=late,
            within=within,
            readers=self._setup.model.readers,
            own={p.name: health.Own(self.progress.position(p.name), p.state, p.error) for p in self.processors},
        )


def joinable(storage: Storage) -> Joinable:
    """The store, if it takes part in its callers' transactions. Raises ConfigurationError."""
    if not isinstance(storage, Joinable):
        raise ConfigurationError(
            "`within=` needs a PostgreSQL store",
            why=f"what is in {storage.url} shares no transaction with a connection of yours",
            do="give App a postgresql:// store in the database that your own tables are in, or leave `within` out",
        )
    return storage


def _positions(checkpoints: Sequence[Checkpoint]) -> dict[str, int]:
    """Where the last segment of each processor is."""
    found: dict[str, int] = {}
    for each in checkpoints:
        if each.owner != CUT:
            root = root_of(each.processor)
            found[root] = min(each.position, found.get(root, each.position))
    return found


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
