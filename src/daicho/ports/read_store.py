"""A place for read models alone, away from the events: Redis, MongoDB, a search engine.

    register (events, leases, dead letters)                 read store (rows, each with its position)
        │ claim -> token                                          │
        ├──────────── fence(processor, token) ───────────────────>│  tells how far its rows have come
        ├──────────── commit(rows, seen, old -> new) ────────────>│  a row takes only what is newer than itself
        │ advance(old -> new)                                     │

The position of a processor is kept beside the rows that it vouches for. If the read store loses its tail, or an old
backup of it is put back, the rows and the position are old together, and the events in between are simply delivered
again. If it dies in the middle of a commit that it cannot do in one step, some rows are ahead of the position: they
know how far they are, and let what they have seen pass.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from daicho.ports.storage import Finding
from daicho.ports.view_store import TableSpec, ViewChange, ViewStore

__all__ = ["Placed", "ReadStore"]


class Placed(msgspec.Struct, frozen=True):
    """A row with its place in history."""

    row: Any | None
    """None: deleted."""
    position: int
    """Of the last event that it has seen."""


class ReadStore(ViewStore, Protocol):
    """`commit`, on a read store:

    - takes an `advance` (or None: rows only), and `seen` for every changed key; never `parked`, `retried`
      or `beside`;
    - writes a row, or marks it deleted, only if `seen` is greater than the position of the row that is there;
    - raises LostLease if the token is older than the one of `fence`, or the stored position is not `advance.old`; then
      nothing was written, except, in a store that cannot do it in one step, rows that were newer than what was there;
    - moves the position last. When it returns, all of it is as durable as the store can make it.

    Reads find no deleted rows. Every failure is a StoreError: StoreUnavailable if it does not answer (nothing says
    whether a commit was done: doing it again is harmless), StoreFull, StoreClosed, StoreFailed, or MessageError for
    what it cannot keep.
    """

    def check(self, change: ViewChange) -> None:
        """Writes nothing. Raises InvalidMessage for a row that `commit` would refuse."""
        ...

    @property
    def url(self) -> str:
        """Without the password."""
        ...

    async def open(self) -> None:
        """Connects. Raises BadUrl, MissingExtra, StoreUnavailable, StoreFailed (too old a server, wrong password)."""
        ...

    async def close(self) -> None:
        """Finishes what was begun. May be called twice."""
        ...

    async def fence(self, processor: str, token: int) -> int | None:
        """How far the rows have come, for the owner of `token`: from now on, commits with an older token are refused.
        None: there has never been a commit. Raises LostLease if somebody with a newer token was here already."""
        ...

    async def forget(self, processor: str) -> None:
        """Removes its position and token."""
        ...

    async def get_placed(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Placed]:
        """Those of the rows that exist or are marked deleted, by key, as they were committed last."""
        ...

    async def sweep(self, table: TableSpec, up_to: int, before: datetime) -> int:
        """Removes the marks of rows that were deleted at positions up to `up_to`, before that time (by the store's own
        clock or the caller's). Returns how many."""
        ...

    async def furthest(self, table: TableSpec, after: int, before: int) -> int | None:
        """The greatest position that a row, or the mark of a deleted one, has seen of those greater than `after` and
        less than `before`, with all that had been committed before; None if there is none. May look at every row: it is
        asked once after a failover of the register."""
        ...

    async def examine(self) -> list[Finding]:
        """Looks at the health of the server: version, durability, memory."""
        ...

    def describe(self) -> dict[str, Any]:
        """What is behind the URL: engine, version, durability."""
        ...
