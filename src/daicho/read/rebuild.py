"""A view built again from the beginning, beside the one that readers see."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import msgspec

from daicho.core.errors import InvalidMessage, NoSuchTable
from daicho.core.join import JoinFold
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment, root_of
from daicho.core.sql_projection import SqlFold
from daicho.core.streams import Position, apart
from daicho.ports.checkpoint_store import Advance, Checkpoint
from daicho.ports.clock import Clock
from daicho.ports.event_store import Narrow, Selection
from daicho.ports.probe import Probe, silent
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.build_lease import BuildLease, build_lease
from daicho.read.elsewhere import Elsewhere
from daicho.read.feed import Page
from daicho.read.generations import ADOPTED, BUILT, FORMER, Generations, generation_of, processor_name
from daicho.read.join_projector import JoinProjector
from daicho.read.join_tables import JoinTables
from daicho.read.orphans import ORPHANED
from daicho.read.projector import Projector
from daicho.read.set_projector import Place, SetProjector
from daicho.read.stride import Stride

__all__ = ["AnyFold", "AnyProjector", "Builder", "RebuildStep", "projector_for"]

_PAGE = 5000
_LOOK_EVERY = 3.0
"""Seconds between two looks whether it is still our turn."""

Done: TypeAlias = tuple[int, int, int]
"""Position, head, events dealt with in this step."""
AnyFold: TypeAlias = Fold[Any] | SqlFold[Any] | JoinFold[Any]
AnyProjector: TypeAlias = Projector | SetProjector | JoinProjector


class RebuildStep(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rebuild has come."""

    position: int
    head: int
    events: int
    """Events folded so far."""
    generation: int
    switched: bool = False
    events_per_second: float = 0.0
    """Since this run began."""
    seconds_left: float | None = None
    """Until the head, at this rate. None: not known yet."""


def projector_for(
    fold: AnyFold,
    table: TableSpec,
    storage: Storage,
    registry: Registry,
    probe: Probe,
    elsewhere: Elsewhere | None = None,
    segment: Segment = WHOLE,
) -> AnyProjector:
    """`elsewhere`: where its rows are, if not with the events. Raises ConfigurationError if the store cannot run it."""
    if isinstance(fold, SqlFold):
        return SetProjector(fold, table, storage, registry, probe)
    if isinstance(fold, JoinFold):
        return JoinProjector(fold, table, storage, registry, probe, elsewhere)
    return Projector(fold, table, elsewhere or storage, storage, storage, storage, registry, probe, segment)


class Builder:
    """Builds generations of one view, with the code of this App. Reactions are not run.

    One process at a time builds a view, within `lease`; interrupted, it can be gone on with, by any.
    """

    def __init__(
        self,
        fold: AnyFold,
        storage: Storage,
        registry: Registry,
        owner: str,
        clock: Clock,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.fold, self._storage, self._registry, self._owner, self._clock = fold, storage, registry, owner, clock
        self._elsewhere = elsewhere
        views: ViewStore = elsewhere or storage
        if isinstance(fold, JoinFold):
            views = JoinTables(views, fold)
        self.generations = Generations(fold.name, fold.part.row_type, storage, elsewhere, views)
        self._leases: list[BuildLease] = []

    # -- whose turn it is -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, *, within: float = 2.0, takes: bool = False) -> AsyncGenerator[BuildLease, None]:
        """Nobody else says meanwhile which generations there are. Raises BeingBuilt if that is not to be had `within`
        seconds; with `takes`, it is taken from whoever has it."""
        name = f"projection:{self.fold.name}"
        async with build_lease(self._storage, name, self._owner, within=within, takes=takes) as lease:
            self._leases.append(lease)
            try:
                yield lease
            finally:
                self._leases.remove(lease)

    @asynccontextmanager
    async def spare(self) -> AsyncGenerator[TableSpec, None]:
        """A generation that nobody is ever to see, for as long as this lasts. Others may build meanwhile."""
        async with AsyncExitStack() as stack:
            async with self.lease() as turn:
                table = self.generations.table(await self._fresh(turn))
                lease = await stack.enter_async_context(build_lease(self._storage, processor_name(table), self._owner))
                await self._begin(table, lease, is_spare=True)
            self._leases.append(lease)
            try:
                yield table
            finally:
                self._leases.remove(lease)
                await self.generations.drop(table.generation, notes=True)

    @property
    def _lease(self) -> BuildLease:
        return self._leases[-1]

    # -- building -------------------------------------------------------------------------------------------------

    async def next_table(self, *, afresh: bool = False) -> TableSpec:
        """For the next generation: the one whose build was interrupted, if this code began it (never, if `afresh`), or
        a fresh one. No other is left beside it and the live one, and the one before that, unless somebody is at work on
        it."""
        generations, lease = self.generations, self._lease
        live = await generations.live()
        busy = await generations.busy(lease.builder, since=live)
        above = [number for number in await generations.numbers() if number > live and number not in busy]
        if above and not afresh and await self._can_go_on(generations.table(above[-1])):
            return generations.table(above[-1])
        fresh = await self._fresh(lease)
        for number in above:
            await generations.drop(number, notes=False)
        return generations.table(fresh)

    async def fresh_table(self) -> TableSpec:
        """For a generation that has nothing to do with any that there was."""
        return self.generations.table(await self._fresh(self._lease))

    async def _fresh(self, lease: BuildLease) -> int:
        """Above all numbers that are known, also by those who came before the lease counted them."""
        noted = [generation_of(c.processor, self.fold.name) or 0 for c in await self._storage.checkpoints()]
        live, numbers = await self.generations.live(), await self.generations.numbers()
        return await lease.number(max([live, *numbers, *noted]) + 1)

    async def _can_go_on(self, table: TableSpec) -> bool:
        name, checkpoints = processor_name(table), await self._storage.checkpoints()
        begun = next((c for c in checkpoints if c.processor == name), None)
        is_done = any(c.processor in (BUILT + name, FORMER + name) for c in checkpoints)
        is_orphaned = any(root_of(c.processor) == ORPHANED + name for c in checkpoints)
        return (
            begun is not None
            and begun.fold == self.fold.code
            and not is_done
            and not is_orphaned
            and await self.generations.views.shape_fits(table)
        )

    async def build(
        self, table: TableSpec, *, at_most: float | None = None, up_to: int | None = None
    ) -> AsyncIterator[RebuildStep]:
        """Folds what lies before the head, or `up_to`, into the table. `at_most`: events per second. Raises LostLease
        if somebody rolls the view back meanwhile."""
        if at_most is not None and not at_most > 0:
            raise InvalidMessage(f"at_most={at_most} would never end", do="give events per second, more than 0")
        storage, lease = self._storage, self._lease
        await self._begin(table, lease)
        size = _PAGE if at_most is None else max(1, min(_PAGE, math.ceil(at_most / 4)))
        for segment in await self.generations.segments(table.generation):
            projector = self._projector(table, segment)
            claimed = await self.generations.seize(projector.name, lease.builder)
            claimed = msgspec.structs.replace(claimed, position=await projector.begin(claimed))
            if up_to is not None and up_to <= claimed.position:
                continue
            if isinstance(projector, SetProjector):
                steps = _by_sql(projector, storage, claimed, up_to, None if at_most is None else size)
            elif isinstance(projector, JoinProjector):
                steps = _by_join(projector, storage, self._registry, claimed, up_to, size)
            else:
                steps = _by_fold(projector, storage, claimed, up_to, size)
            pace = _Pace(self._clock, claimed.position, at_most)
            looked = time.monotonic()
            async with aclosing(steps):  # type: ignore[type-var]
                try:
                    async for position, head, events in steps:
                        if events:
                            yield pace.step(table, position, head, events)
                            await pace.keep()
                        if time.monotonic() - looked > _LOOK_EVERY:
                            await lease.check()
                            looked = time.monotonic()
                except NoSuchTable:
                    await lease.check()  # that is why, if it raises
                    raise

    async def _begin(self, table: TableSpec, lease: BuildLease, *, is_spare: bool = False) -> None:
        """When this returns, it is known that somebody builds it. `is_spare`: it does not count as a deployment of this
        code."""
        await self.generations.views.open_table(table)
        await self._projector(table, WHOLE).check()
        if not await self.generations.is_begun(table.generation):
            fold = None if is_spare else self.fold.code
            await self._storage.register(processor_name(table), position=0, fold=fold)
        for segment in await self.generations.segments(table.generation):
            await self.generations.seize(segment.name(processor_name(table)), lease.builder)

    def _projector(self, table: TableSpec, segment: Segment) -> AnyProjector:
        return projector_for(self.fold, table, self._storage, self._registry, silent, self._elsewhere, segment)

    async def catch_up(self, table: TableSpec, up_to: int | None = None) -> None:
        """Brings a build of this code to the head, or at least `up_to`."""
        steps = self.build(table, up_to=up_to)
        async with aclosing(steps):  # type: ignore[type-var]
            async for _ in steps:
                pass

    async def make_live(self, table: TableSpec) -> None:
        """Lets readers see it, as soon as it has seen everything that the live one has seen: no row that was there is
        missing for a moment. The live one becomes the one to roll back to; older ones go."""
        generations, lease = self.generations, self._lease
        await self.catch_up(table)  # nearly all of it, while the live one goes on
        await lease.check()
        live = await generations.live()
        if live:
            async with generations.held(live, self._owner) as pieces:
                await self.catch_up(table, max(pieces.values()))
                await lease.check()
                await generations.views.switch(table)
            await generations.note(FORMER, live)
            await generations.forget_note(ADOPTED, live)
        else:
            await generations.views.switch(table)
        for note in (BUILT, FORMER):
            await generations.forget_note(note, table.generation)
        if live:
            await lease.check()
            await generations.drop_all_but(live, table.generation, builder=lease.builder)


class _Pace:
    """How fast a build goes, and how fast it may."""

    def __init__(self, clock: Clock, position: int, at_most: float | None) -> None:
        self._clock, self._began_at, self._at_most = clock, position, at_most
        self._began, self._events = clock.now(), 0

    def step(self, table: TableSpec, position: int, head: int, events: int) -> RebuildStep:
        self._events += events
        seconds = (self._clock.now() - self._began).total_seconds()
        passed = apart(self._began_at, position)
        return RebuildStep(
            position=position,
            head=head,
            events=self._events,
            generation=table.generation,
            events_per_second=self._events / seconds if seconds > 0 else 0.0,
            seconds_left=apart(position, head) * seconds / passed if seconds > 0 and passed > 0 else None,
        )

    async def keep(self) -> None:
        """Waits until the next events may come."""
        if self._at_most is None:
            return
        due = self._began + timedelta(seconds=self._events / self._at_most)
        if (wait := (due - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(wait)


async def _by_fold(
    projector: Projector, storage: Storage, claimed: Checkpoint, up_to: int | None, size: int
) -> AsyncIterator[Done]:
    async with Stride(projector, claimed.token, claimed.position) as stride:
        stride.page, dealt = min(stride.page, size), size
        while dealt >= stride.page:
            head, dealt = await storage.head() if up_to is None else up_to, 0
            while stride.position < head:
                events = await stride.step(head)
                dealt += events
                yield stride.position, head, events
            if up_to is not None:
                break
            # what came meanwhile is little, and as long as others write there will always be some
        await stride.finish()


async def _by_join(
    projector: JoinProjector,
    storage: Storage,
    registry: Registry,
    claimed: Checkpoint,
    up_to: int | None,
    size: int,
) -> AsyncIterator[Done]:
    position, token = claimed.position, claimed.token
    types = tuple(sorted(projector.types))
    coming: asyncio.Task[list[Narrow]] | None = None
    head = 0
    while True:
        if coming is None:  # what is on its way was looked for up to the head of then, and what came since lies behind
            head = await storage.head() if up_to is None else up_to
        wanted = Selection(after=position, up_to=head, types=types)
        narrow = await (coming or storage.read_narrow(wanted, limit=size))
        coming = None
        if len(narrow) == size:  # the next page is read while this one is folded and written
            behind = Selection(after=narrow[-1][0], up_to=head, types=types)
            coming = asyncio.ensure_future(storage.read_narrow(behind, limit=size))
            await asyncio.sleep(0)  # so that it is really asked for, before we are busy with this page
        if not narrow:
            if position < head:
                await projector.advance(Advance(processor=projector.name, token=token, old=position, new=head))
                position = head
                yield position, head, 0
            if up_to is not None or await storage.head() == head:
                break
            continue
        if await projector.consume_narrow(narrow, token, position):
            position = narrow[-1][0]
        else:
            page = Page(position, await storage.read(wanted, limit=size), registry)
            position = await projector.consume(page, list(range(len(page.events))), token, position)
        yield position, head, len(narrow)
        if len(narrow) < size and up_to is None:
            break  # what came meanwhile is little, and as long as others write there will always be some


async def _by_sql(
    projector: SetProjector, storage: Storage, claimed: Checkpoint, up_to: int | None, size: int | None
) -> AsyncIterator[Done]:
    place = Place(claimed.position, claimed.position)
    while True:
        head = await storage.head() if up_to is None else up_to
        goal = head if size is None else await _goal(storage, place.position, head, size)
        place = await projector.step(claimed.token, place, goal)
        yield place.position, head, place.events
        if not place.more and goal == head:
            break
    await storage.advance(Advance(processor=projector.name, token=claimed.token, old=place.stored, new=place.position))


async def _goal(storage: Storage, position: int, head: int, size: int) -> int:
    """`size` positions further. Between the end of an epoch and the next there are none, nor may a checkpoint be."""
    if Position(position).epoch == Position(head).epoch:
        return min(head, position + size)
    following = await storage.read_narrow(Selection(after=position, up_to=head), limit=size)
    return following[-1][0] if len(following) == size else head
