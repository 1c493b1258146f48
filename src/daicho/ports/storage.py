"""One opened place that holds everything: what a store URL leads to."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from daicho.ports.checkpoint_store import CheckpointStore
from daicho.ports.command_log import CommandLog
from daicho.ports.dead_letter_store import DeadLetterStore
from daicho.ports.event_store import EventStore
from daicho.ports.snapshot_store import SnapshotStore
from daicho.ports.view_store import ViewStore

__all__ = ["Finding", "Storage"]

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `daicho doctor`."""

    what: str
    ok: bool
    detail: str
    do: str = ""


class Storage(EventStore, SnapshotStore, CheckpointStore, DeadLetterStore, CommandLog, ViewStore, Protocol):
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
