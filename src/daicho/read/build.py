"""One build of one view: which table it is, and which checkpoint vouches for it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from daicho.core.join import JoinFold
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment, root_of
from daicho.core.sql_projection import SqlFold
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.view_store import TableSpec, ViewChange, ViewStore
from daicho.read.changes import Changes
from daicho.read.generations import ADOPTED, complete_at, may_adopt, processor_name, standing
from daicho.read.orphans import Orphans

__all__ = ["Build", "processor_name"]

_UNKNOWN = "it is not known yet which code built these rows"
_LOOK_EVERY = 0.25
"""Seconds after which whoever reads looks again which build is live, where no processor does."""
F = TypeVar("F", bound="Fold[Any] | SqlFold[Any] | JoinFold[Any]")


class Build(Generic[F]):
    """What all projectors are, whatever makes their rows."""

    def __init__(
        self,
        fold: F,
        table: TableSpec,
        views: ViewStore,
        registry: Registry,
        checkpoints: CheckpointStore,
        segment: Segment = WHOLE,
    ) -> None:
        """`segment`: the keys that it deals with."""
        self.fold, self.table, self.segment = fold, table, segment
        self.name = segment.name(processor_name(table))
        self.complete_at = 0
        self.moving: asyncio.Future[None] | None = None
        self.is_begun = True
        self.types = frozenset(registry.names_of(fold.events))
        self.changes = Changes()
        """Told of every row that was written."""
        self.views, self._checkpoints = views, checkpoints
        self.refused = _UNKNOWN
        """Why this process may not fold events into these rows; empty if it may."""
        self.adopted = False
        """Whether other code has built these rows, and this one, which was never deployed, goes on with them."""
        self.orphans: Orphans | None = None
        self._follows = False
        """Whether a running App moves it from build to build."""
        self._looks, self._looked_at = False, 0.0
        """Whether its readers do."""

    @property
    def is_orphaned(self) -> bool:
        """Whether its rows are known to have seen events that a failover has lost."""
        known = self.orphans.known if self.orphans is not None else frozenset[str]()
        return bool(known) and any(root_of(each) == root_of(self.name) for each in known)

    def move_to(self, generation: int) -> None:
        self.refused = _UNKNOWN  # before anything else: appends, which look at it, may run in another thread
        self.table = TableSpec(self.table.name, generation, self.table.row_type)
        self.name = self.segment.name(processor_name(self.table))

    async def locate(self) -> str:
        """Moves to the build that readers see, which another process may have switched. If those rows are of another
        class, to the one that this code has built, if there is one."""
        live = await self.views.live_generation(self.table.name)
        if live is not None and live != self.table.generation:
            goal = await self._own(live)
            if goal != self.table.generation:
                await self._go(goal, live)
        return self.name

    async def _own(self, live: int) -> int:
        if await self.views.shape_fits(TableSpec(self.table.name, live, self.table.row_type)):
            return live
        return await self.home() or live

    async def _go(self, generation: int, live: int) -> None:
        checkpoints = await self._checkpoints.checkpoints()
        self.move_to(generation)
        self.complete_at = complete_at(checkpoints, self.table.name, generation, live)
        await self.refusal()

    async def follow(self) -> None:
        """From now on, its readers look which build is live: nobody runs it here."""
        live = await self.views.live_generation(self.table.name)
        if live is None:
            await self.refusal()
        else:
            await self._go(await self._own(live), live)
        self._looks, self._looked_at = True, time.monotonic()

    async def look(self) -> None:
        """Before its rows are read."""
        if self._looks and time.monotonic() - self._looked_at > _LOOK_EVERY:
            await self.locate()
            self._looked_at = time.monotonic()

    async def home(self) -> int | None:
        """The newest generation that this code has built."""
        checkpoints, name = await self._checkpoints.checkpoints(), self.table.name
        for number in reversed(await self.views.generations(name)):
            table = TableSpec(name, number, self.table.row_type)
            own = any(c.processor == processor_name(table) and c.fold == self.fold.code for c in checkpoints)
            if own and await self.views.shape_fits(table):
                return number
        return None

    async def take_up(self) -> None:
        """At the start of an App: code that was never deployed goes on with the rows that other code has made."""
        checkpoints, code = await self._checkpoints.checkpoints(), self.fold.code
        note = ADOPTED + processor_name(self.table)
        if may_adopt(checkpoints, self.table, code):
            await self._checkpoints.register(note, position=0, fold=code)
        elif any(c.processor == note and c.fold == code for c in checkpoints):
            await self._checkpoints.forget(note)  # it has been deployed since
        await self.refusal()
        self._follows = True

    async def refusal(self) -> str:
        """Why this process may not fold events into these rows; empty if it may."""
        return self.judge(await self._checkpoints.checkpoints())

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        """The same, from all checkpoints as they have just been read."""
        self.refused, self.adopted = standing(checkpoints, self.table, self.fold.code)
        return self.refused

    async def advance(self, move: Advance) -> None:
        """Moves the checkpoint, wherever it vouches for the rows, without changing any. Raises LostLease."""
        await self.views.commit(ViewChange(table=self.table, upserts={}, deletes=(), advance=move))

    async def check(self) -> None:
        """Whether it can run at all, once its table is there. Raises WiringError."""
