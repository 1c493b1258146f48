"""One build of one view: which table it is, and which checkpoint vouches for it."""

from typing import Any, Generic, TypeVar

from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment
from daicho.core.sql_projection import SqlFold
from daicho.ports.checkpoint_store import Advance
from daicho.ports.view_store import TableSpec, ViewChange, ViewStore
from daicho.read.changes import Changes

__all__ = ["Build", "processor_name"]

F = TypeVar("F", bound="Fold[Any] | SqlFold[Any]")


def processor_name(table: TableSpec) -> str:
    """Each build of a view has a checkpoint of its own."""
    return f"projection:{table.name}@{table.generation}"


class Build(Generic[F]):
    """What all projectors are, whatever makes their rows."""

    def __init__(
        self, fold: F, table: TableSpec, views: ViewStore, registry: Registry, segment: Segment = WHOLE
    ) -> None:
        """`segment`: the keys that it deals with."""
        self.fold, self.table, self.segment = fold, table, segment
        self.name = segment.name(processor_name(table))
        self.complete_at = 0
        self.types = frozenset(registry.names_of(fold.events))
        self.views = views
        self.changes = Changes()
        """Told of every row that was written."""

    async def locate(self) -> str:
        """Moves to the build that readers see, which another process may have switched."""
        live = await self.views.live_generation(self.table.name)
        if live is not None and live != self.table.generation:
            self.table = TableSpec(self.table.name, live, self.table.row_type)
            self.name = self.segment.name(processor_name(self.table))
        return self.name

    async def advance(self, move: Advance) -> None:
        """Moves the checkpoint, wherever it vouches for the rows, without changing any. Raises LostLease."""
        await self.views.commit(ViewChange(table=self.table, upserts={}, deletes=(), advance=move))

    async def check(self) -> None:
        """Whether it can run at all, once its table is there. Raises WiringError."""
