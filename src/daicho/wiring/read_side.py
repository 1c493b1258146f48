"""The read side of a running App: from events in the store to rows, and from rows to answers."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from daicho.core.errors import BeingBuilt, ConfigurationError
from daicho.core.segments import WHOLE, Segment, root_of
from daicho.ports.checkpoint_store import CUT, Checkpoint
from daicho.ports.replication import ReplicaStorage
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.read.build import Build
from daicho.read.changes import Changes
from daicho.read.crew import Job
from daicho.read.elsewhere import Elsewhere
from daicho.read.feed import Feed
from daicho.read.generations import BUILDING, FORMER
from daicho.read.history import History
from daicho.read.live import Live
from daicho.read.orphans import Orphans
from daicho.read.past_views import PastViews
from daicho.read.pasts import Pasts
from daicho.read.processor import Consumer, PageProcessor, Processor
from daicho.read.progress import Progress
from daicho.read.projections import Projections
from daicho.read.projector import Projector
from daicho.read.pruned import check_whole
from daicho.read.purging import Purger
from daicho.read.queries import Kept, Queries, Views, ViewState
from daicho.read.rebuild import AnyProjector, projector_for
from daicho.read.replicas.replica import Replica
from daicho.read.replicas.router import Router
from daicho.read.replicas.views import states_on
from daicho.read.set_projector import SetProcessor, SetProjector
from daicho.read.stride import StridingProcessor
from daicho.wiring.places import Found
from daicho.wiring.setup import Setup
from daicho.wiring.urls import open_scratch

__all__ = ["ReadSide", "last_positions"]

_PATIENCE, _LOOK_AGAIN = 20.0, 0.5
"""Seconds that a start waits for another process that builds a view, and after which it looks whether it may join."""


class ReadSide:
    def __init__(
        self,
        setup: Setup,
        found: Found,
        storage: Storage,
        owner: str,
        relocate: Callable[[str], Awaitable[None]],
        *,
        projects: bool,
    ) -> None:
        """
        storage   the one that was found, or what stands before it
        relocate  moves to the build of a view that readers are to see
        projects  whether this process writes rows
        """
        model, registry, clock = setup.model, setup.registry, setup.clock
        self._setup, self._storage, self._owner = setup, storage, owner
        self.orphans = Orphans(storage, storage)
        self.read_stores = list({id(store): store for store in found.read_stores.values()}.values())
        self.elsewhere = {name: Elsewhere(store, storage, clock) for name, store in found.read_stores.items()}
        for away in self.elsewhere.values():
            away.orphans = self.orphans
        self.feed = Feed(storage, registry)
        self.progress = Progress(storage)
        self.changes = Changes()
        self.history = History(storage, storage, registry, self.feed)
        self.history.orphans = self.orphans
        self.projectors = [self._projector(fold, WHOLE) for fold in model.folds]
        kept: list[ViewState] = [Kept(TableSpec(crud.name, 1, crud.row_type), storage) for crud in model.cruds]
        states: dict[str, ViewState] = {state.table.name: state for state in [*self.projectors, *kept]}
        scratch = partial(open_scratch, clock)
        self.pasts = Pasts(model.folds, storage, registry, scratch, self._check_whole)
        self.views = Views(
            states,
            self.progress,
            past=lambda then: PastViews(states, self.progress, self.pasts, then),
            relocate=relocate,
        )
        self.queries = Queries(
            setup.supplies.answers,
            self.views,
            setup.meter,
            setup.journal,
            isolated=setup.tenancy is not None,
            orphans=self.orphans,
        )
        self.purger: Purger | None = None
        if found.edge is not None:
            self.purger = Purger(found.edge, clock, [projector.table for projector in self.projectors])
            self.changes.listen(self.purger)
        self.live = Live(self.queries, self.changes, states, self.progress, None if projects else relocate)
        self.projections = Projections(
            model.folds, storage, registry, owner, clock, self.elsewhere, relocate, self._check_whole
        )
        self.router: Router | None = None
        if found.replicas:
            self.queries.places = self.router = self._router(found.replicas)

    @property
    def inline(self) -> list[Projector]:
        """Those that write their rows with the events."""
        return [each for each in self.projectors if isinstance(each, Projector) and each.fold.part.inline]

    @property
    def jobs(self) -> list[Job]:
        return [self._job(projector) for projector in self.projectors]

    def processor(self, consumer: Consumer | AnyProjector) -> Processor[Any]:
        """Feeds it, and keeps its checkpoint."""
        shared = (self.feed, self._storage, self.progress, self._owner)
        if isinstance(consumer, SetProjector):
            return SetProcessor(consumer.name, consumer, *shared)
        if isinstance(consumer, Projector):
            return StridingProcessor(consumer.name, consumer, *shared)
        return PageProcessor(consumer.name, consumer, *shared)

    def _projector(self, fold: Any, segment: Segment) -> AnyProjector:
        table = TableSpec(fold.name, 1, fold.part.row_type)
        elsewhere = self.elsewhere.get(fold.name)
        registry, probe = self._setup.registry, self._setup.probe
        projector = projector_for(fold, table, self._storage, registry, probe, elsewhere, segment)
        projector.changes, projector.orphans = self.changes, self.orphans
        return projector

    def _job(self, whole: AnyProjector) -> Job:
        def processor(segment: Segment) -> Processor[Any]:
            return self.processor(whole if segment.of == 1 else self._projector(whole.fold, segment))

        async def prepare_cut(old: Sequence[Checkpoint], new: Mapping[str, int]) -> None:
            if isinstance(whole.views, Elsewhere):
                await whole.views.recut(whole.table, max(each.token for each in old) + 1, new)

        return Job(whole, self._setup.segments.get(f"projection:{whole.fold.name}", 1), processor, prepare_cut)

    def _router(self, replicas: Mapping[str, Callable[[], ReplicaStorage]]) -> Router:
        setup = self._setup

        def states(storage: ReplicaStorage) -> dict[str, ViewState]:
            return states_on(storage, setup.model, setup.registry, setup.probe, self.projectors, self.elsewhere)

        shared = (setup.replicas, setup.clock, states, self.views.as_of)
        return Router([Replica(name, make, *shared) for name, make in replicas.items()], setup.replicas)

    async def _check_whole(self, view: str) -> None:
        await check_whole(self._storage, view, self._setup.model.sources)

    # -- tables and checkpoints, before the first command can be sent -----------------------------------------------

    async def register(self) -> None:
        known = last_positions(await self._storage.checkpoints())
        head = await self._storage.head()
        for projector in self.projectors:
            await self._register(projector, known, head)

    async def _register(self, projector: Build[Any], known: Mapping[str, int], head: int) -> None:
        name, deadline = projector.table.name, time.monotonic() + _PATIENCE
        while not await self._takes_up(projector, known, head):
            if not head and await projector.views.live_generation(name) is None:
                await self._found(projector, head)  # without history, there is nothing to build
                return
            builder = self.projections.builder(name)
            try:
                async with builder.lease(within=_LOOK_AGAIN):
                    if not await self._takes_up(projector, known, head):
                        projector.move_to((await builder.fresh_table()).generation)
                        await self._found(projector, head)
                return
            except BeingBuilt:
                if time.monotonic() > deadline:
                    raise

    async def _takes_up(self, projector: Build[Any], known: Mapping[str, int], head: int) -> bool:
        """Whether there is a generation that this code can go on with."""
        storage, views, name = self._storage, projector.views, projector.table.name
        live = await views.live_generation(name)
        if live is None:
            return False
        projector.move_to(live)
        if await views.shape_fits(projector.table):
            await projector.check()
            if projector.name not in known:
                await storage.register(projector.name, position=0, fold=projector.fold.code)
            await projector.take_up()
            await self._still_building(projector, known)
            return True
        # the row class changed: rows of the old shape cannot be read, so the view is built anew, unless it was
        home = await projector.home()
        if home is None:
            return False
        projector.move_to(home)
        await projector.check()
        await projector.take_up()
        projector.complete_at = head if home > live else 0
        return True

    async def _found(self, projector: Build[Any], head: int) -> None:
        """Makes the generation where it is the live one, empty as it is."""
        storage, views, name = self._storage, projector.views, projector.table.name
        live = await views.live_generation(name)
        if head:
            await self._check_whole(name)
        await views.open_table(projector.table)
        await projector.check()
        await storage.register(projector.name, position=0, fold=projector.fold.code)
        if head:
            await storage.register(BUILDING + projector.name, position=head)
        await views.switch(projector.table)
        if live is not None:
            await self.projections.builder(name).generations.note(FORMER, live)
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
            await self._storage.forget(BUILDING + projector.name)

    async def open_tables(self) -> None:
        """Those of Crud parts."""
        for crud in self._setup.model.cruds:
            table = TableSpec(crud.name, 1, crud.row_type)
            if not await self._storage.shape_fits(table):
                raise ConfigurationError(
                    f"the stored table {crud.name!r} has other columns than {crud.row_type.__name__}",
                    why="the class was changed after rows had been stored",
                    do="give the Crud part a new `name=` and copy the rows, or change the class back",
                )
            await self._storage.open_table(table)
            await self._storage.switch(table)

    async def locate(self) -> None:
        """Looks for the builds that readers are to see, for a process that projects nothing itself."""
        for projector in self.projectors:
            await projector.follow()
            projector.is_begun = await projector.views.live_generation(projector.table.name) is not None


def last_positions(checkpoints: Sequence[Checkpoint]) -> dict[str, int]:
    """Where the last segment of each processor is."""
    found: dict[str, int] = {}
    for each in checkpoints:
        if each.owner != CUT:
            root = root_of(each.processor)
            found[root] = min(each.position, found.get(root, each.position))
    return found
