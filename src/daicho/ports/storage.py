"""One opened place that holds everything: what a store URL leads to."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from daicho.ports.checkpoint_store import CheckpointStore
from daicho.ports.command_log import CommandLog
from daicho.ports.dead_letter_store import DeadLetterStore
from daicho.ports.event_store import EventStore
from daicho.ports.scheduler import Scheduler
from daicho.ports.snapshot_store import SnapshotStore
from daicho.ports.state_store import StateStore
from daicho.ports.view_store import ViewStore

__all__ = ["Finding", "Joinable", "Joined", "Migratable", "MigrationState", "Storage"]

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `daicho doctor`."""

    what: str
    ok: bool
    detail: str
    do: str = ""


class MigrationState(msgspec.Struct, frozen=True, kw_only=True):
    """One step from an empty database to the tables that this Daicho needs."""

    version: int
    name: str
    applied_at: str | None
    """None: not yet."""
    changed: bool
    """Whether it was applied with another text than this Daicho has."""


@runtime_checkable
class Migratable(Protocol):
    """A store whose tables others may have to make. For one that is not open: opening it would make them."""

    async def migrations(self) -> Sequence[MigrationState]:
        """All of them, in order; changes nothing. Raises ForeignStore and the errors of `open`."""
        ...

    async def migrate(self) -> Sequence[MigrationState]:
        """Applies what is missing, all or nothing, and returns that. Raises ForeignStore and the errors of `open`."""
        ...

    def migration_sql(self) -> str:
        """What `migrate` does, as a script to be run by hand, in one transaction; again changes nothing."""
        ...


class Joined(EventStore, CommandLog, Protocol):
    """The register from inside a transaction of the caller's: one connection of the caller's, for one command.

    What is read is what that transaction sees, with all that was appended in it. What is appended and recorded stands
    when it commits, or never. Whatever raises, or is refused, leaves it as it was before and usable, unless a read
    raised StoreError.
    """


@runtime_checkable
class Joinable(Protocol):
    """A store that takes part in transactions which its callers began."""

    def beneath(self, connection: object) -> object:
        """The driver's connection beneath what it is wrapped in, as far as nothing has to be awaited for that. To be
        called in the thread of the caller: to find the way in, another thread may be too late, or get another one."""
        ...

    async def join(self, connection: object) -> Joined:
        """Raises ConfigurationError (a connection of no use here), StoreClosed, ForeignStore (it leads to another
        database), StoreReadOnly, StoreFailed (it is in no transaction, or in one that will not do)."""
        ...


class Storage(
    EventStore,
    SnapshotStore,
    StateStore,
    CheckpointStore,
    DeadLetterStore,
    CommandLog,
    Scheduler,
    ViewStore,
    Protocol,
):
    """All ports over one database, so that rows, checkpoints and events can share a transaction."""

    @property
    def url(self) -> str: ...

    async def open(self) -> None:
        """Opens or creates the database. Raises StoreError of the precise kind."""
        ...

    async def close(self) -> None:
        """Finishes what was accepted, then lets go of everything. May be called twice."""
        ...

    async def examine(self) -> list[Finding]:
        """Looks at the health of the database itself: version, integrity, durability, size."""
        ...

    def backup(self, target: Path) -> AsyncIterator[tuple[int, int]]:
        """Copies the database while it is in use; yields (pages done, pages in all). The copy is verified."""
        ...

    def describe(self) -> dict[str, Any]:
        """What is behind the URL: engine, version, durability, file."""
        ...
