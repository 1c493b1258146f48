"""Rows of read models, written together with the checkpoint that vouches for them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.dead_letter_store import ParkedEvent

__all__ = ["TableSpec", "ViewChange", "ViewStore"]


class TableSpec(msgspec.Struct, frozen=True):
    """A table of rows: its public name, which build of it, and the class of its rows."""

    name: str
    generation: int
    row_type: type[Row]


class ViewChange(msgspec.Struct, kw_only=True):
    """What one page of events did to one table."""

    table: TableSpec
    upserts: Mapping[str, Row]
    deletes: Sequence[str]
    advance: Advance | None = None
    parked: Sequence[ParkedEvent] = ()
    retried: Sequence[int] = ()
    """Dead letters that went through with this change."""


class ViewStore(Protocol):
    async def open_table(self, table: TableSpec) -> None:
        """Makes sure that the table exists in the shape of its row class."""
        ...

    async def live_generation(self, name: str) -> int | None:
        """Which generation readers of `name` get; None if there is none yet."""
        ...

    async def generations(self, name: str) -> Sequence[int]: ...

    async def shape_fits(self, table: TableSpec) -> bool:
        """Whether the stored table has the columns that the row class asks for. True if there is no such table."""
        ...

    async def switch(self, table: TableSpec) -> None:
        """Lets readers of the name see this generation, in one step."""
        ...

    async def drop_table(self, table: TableSpec) -> None: ...

    async def get(self, table: TableSpec, key: str) -> Any | None: ...

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        """Those of the rows that exist, by key."""
        ...

    async def find(
        self,
        table: TableSpec,
        equals: Mapping[str, object],
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Any]:
        """Rows whose fields equal the given values, by key unless ordered otherwise. Raises NoSuchField."""
        ...

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int: ...

    async def commit(self, change: ViewChange) -> None:
        """Writes rows, checkpoint, parked and retried letters, all or nothing. Raises LostLease, and writes nothing,
        if the advance is not the owner's next one."""
        ...
