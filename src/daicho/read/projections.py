"""Views built beside the live ones, compared with them, switched to, and back: what operators do with projections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

import msgspec

from daicho.core.errors import NotBuilt, UnknownView
from daicho.core.registry import Registry
from daicho.core.segments import Segment
from daicho.core.streams import apart
from daicho.ports.clock import Clock
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.read.diff import Comparison, Diff, Span, together
from daicho.read.elsewhere import Elsewhere
from daicho.read.generations import ADOPTED, BUILT, FORMER, Generation, Generations
from daicho.read.rebuild import AnyFold, Builder, RebuildStep

__all__ = ["ProjectionState", "Projections"]

_LOOK_EVERY = 0.02


class ProjectionState(msgspec.Struct, frozen=True, kw_only=True):
    """How the generations of one projection stand."""

    name: str
    live: int | None
    """The generation that readers see. None: there is none yet."""
    events_behind: int
    """Positions between the live generation and the head of the log."""
    code: str
    """Fingerprint of the code of this App."""
    generations: list[Generation]


class Projections:
    """Builds the views of an App anew beside the live ones. All names are those of its projections: UnknownView."""

    def __init__(
        self,
        folds: Sequence[AnyFold],
        storage: Storage,
        registry: Registry,
        owner: str,
        clock: Clock,
        elsewhere: Mapping[str, Elsewhere],
        relocate: Callable[[str], Awaitable[None]],
        check_whole: Callable[[str], Awaitable[None]],
    ) -> None:
        """`relocate` lets the processors of this process move to the generation that readers see; `check_whole` raises
        if some of the events that a view is made of were pruned."""
        self._folds, self._storage, self._registry = {fold.name: fold for fold in folds}, storage, registry
        self._owner, self._clock, self._elsewhere, self._relocate = owner, clock, elsewhere, relocate
        self._check_whole = check_whole

    async def rebuild(
        self, name: str, *, switch: bool = True, at_most: float | None = None, afresh: bool = False
    ) -> AsyncIterator[RebuildStep]:
        """Builds the next generation with the code of this App, and switches readers to it once it has caught up.

        The live one stays live until then. Interrupted, it goes on where it was when it is run again, if the code is
        the same, unless it is to begin `afresh`. `at_most`: events per second, to spare the database. Raises
        HistoryPruned, BeingBuilt if another process builds the view, and LostLease if somebody rolls it back meanwhile.
        """
        builder = self._builder(name)
        await self._check_whole(name)
        async with builder.lease() as lease:
            table = await builder.next_table(afresh=afresh)
            step = RebuildStep(position=0, head=0, events=0, generation=table.generation)
            steps = builder.build(table, at_most=at_most)
            async with aclosing(steps):  # type: ignore[type-var]
                async for step in steps:
                    yield step
            await lease.check()
            await builder.generations.note(BUILT, table.generation)
            if switch:
                await builder.make_live(table)
        if switch:
            await self._relocate(name)
            position = await builder.generations.position(table.generation)
            yield msgspec.structs.replace(step, position=position, head=position, switched=True, seconds_left=0.0)

    async def forget_former(self, name: str, *, newer: bool = False) -> None:
        """Drops the generation that was live before: nobody is to go back to it. `newer`: also those that nobody has
        switched to yet. Raises BeingBuilt."""
        builder = self._builder(name)
        async with builder.lease() as lease:
            live, busy = await builder.generations.live(), await builder.generations.busy(lease.builder)
            for number in await builder.generations.numbers():
                if number not in busy and (number < live or (newer and number > live)):
                    await builder.generations.drop(number, notes=number < live)

    def deploy(self, name: str, *, at_most: float | None = None) -> AsyncIterator[RebuildStep]:
        """Builds the next generation with the code of this App beside the live one, and leaves that live: see `diff`
        and `switch`."""
        return self.rebuild(name, switch=False, at_most=at_most)

    async def diff(self, name: str, *, within: float = 10.0) -> Diff:
        """Compares the newest generation that was built with the live one, row by row.

        The built one first catches up, if the code of this App built it; the live one has `within` seconds to come as
        far. Rows that differ are looked at once more with both at the same position: writes that go on meanwhile make
        no differences. Raises NotBuilt, and BeingBuilt if another process builds the view.
        """
        builder = self._builder(name)
        live, built = await self._pair(builder)
        if not built.own:
            return await self._compare(builder, live.number, built.number, False, within)
        async with builder.lease():
            live, built = await self._pair(builder)
            await builder.catch_up(builder.generations.table(built.number))
            return await self._compare(builder, live.number, built.number, True, within)

    async def verify(
        self,
        name: str,
        *,
        at_most: float | None = None,
        within: float = 10.0,
        progress: Callable[[RebuildStep], None] | None = None,
    ) -> Diff:
        """Whether the live rows are what the code of this App makes of history: builds them once more, beside, compares
        and drops them. Others may build meanwhile. Raises NotBuilt if there are no live rows, and BeingBuilt if another
        process builds the view when this begins."""
        builder = self._builder(name)
        await self._check_whole(name)
        live = await builder.generations.live()
        if not live:
            raise NotBuilt(f"{name!r} has no rows yet", do=f"start the app, or `daicho projection deploy {name}`")
        async with builder.spare() as table:
            steps = builder.build(table, at_most=at_most, up_to=await builder.generations.position(live))
            async with aclosing(steps):  # type: ignore[type-var]
                async for step in steps:
                    if progress is not None:
                        progress(step)
            return await self._compare(builder, live, table.generation, True, within)

    async def switch(self, name: str) -> Generation:
        """Brings the newest generation that was built to the head, and lets readers see it. Raises NotBuilt if there is
        none, or if other code than that of this App built it; BeingBuilt if another process builds the view."""
        builder = self._builder(name)
        async with builder.lease():
            _, built = await self._pair(builder, needs_live=False)
            if not built.own:
                raise NotBuilt(
                    f"generation {built.number} of {name!r} was built by other code",
                    why="only the code that built a generation can bring it up to date",
                    do=f"switch with the app that deployed it, or `daicho projection deploy {name}` with this one",
                    projection=name,
                    generation=built.number,
                )
            await builder.make_live(builder.generations.table(built.number))
        await self._relocate(name)
        return await self._one(builder, built.number)

    async def rollback(self, name: str) -> Generation:
        """Lets readers see the generation again that was live before, at once, with the rows that it had. Only the code
        that built it brings it up to date. It waits for nobody: whoever builds the view is interrupted, and what was
        built is kept. Raises NotBuilt if it is not kept."""
        builder = self._builder(name)
        generations = builder.generations
        await self._before(generations)
        async with builder.lease(takes=True):
            live, before = await self._before(generations)
            await generations.note(FORMER, live)  # first: its code shall not take up the old rows
            await generations.forget_note(ADOPTED, before)
            await generations.views.switch(generations.table(before))
            await generations.forget_note(FORMER, before)
            await generations.unseat(live)
        await self._relocate(name)
        return await self._one(builder, before)

    async def list(self) -> list[ProjectionState]:
        """All projections of the App, by name."""
        return [await self._state(name) for name in sorted(self._folds)]

    def builder(self, name: str) -> Builder:
        """For who makes a generation by itself: an App at its start."""
        return self._builder(name)

    # -- how ------------------------------------------------------------------------------------------------------

    def _builder(self, name: str) -> Builder:
        fold = self._folds.get(name)
        if fold is None:
            known = ", ".join(sorted(self._folds)) or "none"
            raise UnknownView(f"there is no projection {name!r}", why=f"this App has {known}", do="check the name")
        return Builder(fold, self._storage, self._registry, self._owner, self._clock, self._elsewhere.get(name))

    async def _state(self, name: str) -> ProjectionState:
        builder = self._builder(name)
        found = await builder.generations.list(builder.fold.code)
        live = next((each for each in found if each.live), None)
        return ProjectionState(
            name=name,
            live=None if live is None else live.number,
            events_behind=apart(0, await self._storage.head()) if live is None else live.events_behind,
            code=builder.fold.code,
            generations=found,
        )

    async def _one(self, builder: Builder, number: int) -> Generation:
        return next(each for each in await builder.generations.list(builder.fold.code) if each.number == number)

    @staticmethod
    async def _before(generations: Generations) -> tuple[int, int]:
        """The live generation, and the one that was live before it."""
        live, former = await generations.live(), await generations.former()
        older = [number for number in await generations.numbers() if number < live and number in former]
        if not older:
            name = generations.name
            raise NotBuilt(
                f"there is no generation of {name!r} to go back to",
                why="none was live before, or it is not kept any more: only the one right before is",
                do=f"put the old code back and `daicho projection rebuild {name}`",
                projection=name,
            )
        return live, older[-1]

    async def _pair(self, builder: Builder, *, needs_live: bool = True) -> tuple[Generation, Generation]:
        """The live generation, and the newest one that was built since."""
        name = builder.fold.name
        found = await builder.generations.list(builder.fold.code)
        live = next((each for each in found if each.live), None)
        newer = [each for each in found if each.built and (live is None or each.number > live.number)]
        if not newer or (live is None and needs_live):
            begun = [each for each in found if live is None or each.number > live.number]
            why = f"the build of generation {begun[-1].number} did not come to its end" if begun else ""
            raise NotBuilt(
                f"no generation of {name!r} was built beside the live one",
                why=why,
                do=f"`daicho projection deploy {name}`",
                projection=name,
            )
        return live or newer[-1], newer[-1]

    async def _compare(self, builder: Builder, live: int, built: int, own: bool, within: float) -> Diff:
        generations, deadline = builder.generations, asyncio.get_running_loop().time() + within
        old, new = generations.table(live), generations.table(built)
        built_at = await generations.position(built)
        live_at = await self._reached(generations, live, built_at, deadline)
        comparison = Comparison(generations.views, old, new, plainly=not await generations.views.shape_fits(old))
        await comparison.settle()
        after: str | None = None
        while True:
            span = await comparison.span(after)
            if own and not span.is_same:
                exact = await self._exactly(builder, comparison, after, old, new, deadline)
                if exact is not None:
                    span, live_at = exact
                    built_at = live_at
            comparison.count(span)
            if span.end is None:
                return comparison.result(live_position=live_at, built_position=built_at)
            after = span.end

    async def _exactly(
        self,
        builder: Builder,
        comparison: Comparison,
        after: str | None,
        old: TableSpec,
        new: TableSpec,
        deadline: float,
    ) -> tuple[Span, int] | None:
        """The rows again, with both generations at the same position, and that. None if they did not get there.

        The parts of the old one stand at positions of their own; the new one comes to one after the other.
        """
        generations = builder.generations
        while True:
            async with generations.held(old.generation, self._owner) as pieces:
                if await generations.furthest(new.generation) <= min(pieces.values()):
                    spans: list[tuple[Segment, Span]] = []
                    for segment, position in sorted(pieces.items(), key=lambda piece: piece[1]):
                        await builder.catch_up(new, position)
                        await comparison.settle()
                        spans.append((segment, await comparison.span(after)))
                    furthest = max(pieces.values())
                    if await generations.furthest(old.generation) <= furthest:  # inline rows go on meanwhile
                        return together(spans), furthest
            if asyncio.get_running_loop().time() >= deadline:
                return None
            await self._reached(generations, old.generation, await generations.furthest(new.generation), deadline)

    @staticmethod
    async def _reached(generations: Generations, number: int, position: int, deadline: float) -> int:
        """Where it stands, once it is at the position, or the time is over."""
        while (at := await generations.position(number)) < position:
            if asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(_LOOK_EVERY)
        return at
