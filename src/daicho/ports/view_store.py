"""Rows of read models, written together with the checkpoint that vouches for them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.dead_letter_store import ParkedEvent

__all__ = ["Mark", "TableSpec", "ViewChange", "ViewStore"]


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
    seen: Mapping[str, int] = {}
    """For changed keys: the position of the last event that its row has seen. A store whose rows guard themselves needs
    it for every key; others may ignore it."""
    beside: Sequence["ViewChange"] = ()
    """Rows of other tables that belong to these, in the same transaction: `table`, `upserts`, `deletes` and `seen`."""


class Mark(msgspec.Struct, frozen=True):
    """Where a page of rows ended."""

    key: str
    value: object = None
    """Of the field that the rows are ordered by."""


class ViewStore(Protocol):
    """Whatever reads rows raises NoSuchTable if the table was dropped before all of the answer was read, by whomever:
    nothing found means that nothing was there."""

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

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        """The next `limit` rows behind the key `after`, by key, as they are stored: values by field, of whatever class
        the rows are, with all that had been committed before. For comparing tables of different shapes. A field that is
        None may be missing."""
        ...

    async def switch(self, table: TableSpec) -> None:
        """Lets readers of the name see this generation, in one step. Its rows may be of another class."""
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
        """Rows whose fields equal the given values, by key unless ordered otherwise: None comes first, rows equal in
        the ordering field come by key, and `descending` turns all of it round. Raises NoSuchField."""
        ...

    async def page(
        self,
        table: TableSpec,
        equals: Mapping[str, object],
        *,
        limit: int,
        order_by: str | None = None,
        descending: bool = False,
        after: "Mark | None" = None,
    ) -> "list[tuple[str, Any]]":
        """The next `limit` (key, row) behind `after`, in the order of `find`: rows that come and go before it shift
        nothing. Raises NoSuchField."""
        ...

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        """Rows in whose `search` fields all words of `text` occur, the last one perhaps only begun; best first, then by
        key. What counts as a word: `daicho.core.words`; without one, nothing is found. Raises NotSearchable (the row
        class names no fields to search, or the store cannot) and NoSuchField."""
        ...

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int: ...

    async def settle(self, table: TableSpec) -> None:
        """When this returns, all reads, of any process, find what had been committed before it was called. `get` and
        `get_many` always do."""
        ...

    async def commit(self, change: ViewChange) -> None:
        """Writes rows, checkpoint, parked and retried letters, all or nothing. Raises LostLease, and writes nothing,
        if the advance is not the owner's next one."""
        ...
