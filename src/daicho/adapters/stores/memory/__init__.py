"""Everything in this process's memory: for tests, for trying out, and as the shortest illustration of the ports.

It keeps the same contracts as the databases, and it is unkind on purpose: inside every critical section it lets other
tasks run, so that code which forgets a condition is found out here and not in production.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from daicho.adapters.stores.memory.checkpoints import MemoryCheckpoints
from daicho.adapters.stores.memory.commands import MemoryCommandLog
from daicho.adapters.stores.memory.events import MemoryEvents
from daicho.adapters.stores.memory.letters import MemoryDeadLetters
from daicho.adapters.stores.memory.snapshots import MemorySnapshots
from daicho.adapters.stores.memory.states import MemoryStates
from daicho.adapters.stores.memory.timers import MemoryScheduler
from daicho.adapters.stores.memory.views import MemoryViews
from daicho.core.errors import StoreFailed
from daicho.ports.storage import Finding

__all__ = ["MemoryStorage"]


class MemoryStorage(
    MemoryEvents,
    MemorySnapshots,
    MemoryStates,
    MemoryCheckpoints,
    MemoryDeadLetters,
    MemoryCommandLog,
    MemoryScheduler,
    MemoryViews,
):
    """Fulfils `daicho.ports.scratch.Scratch`. Closing it forgets everything; two of them never share anything."""

    def __init__(self, url: str = "memory:", *, now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    async def examine(self) -> list[Finding]:
        async with self._critical() as contents:
            return [
                Finding(
                    what="durability",
                    ok=True,
                    detail=f"{len(contents.events)} events in memory: they end with this process",
                    do="use a store URL like sqlite:///app.db to keep them",
                )
            ]

    def backup(self, target: Path) -> AsyncIterator[tuple[int, int]]:
        raise StoreFailed(
            f"a memory store cannot be copied to {target}",
            why="it has no file; what it holds ends with this process",
            do="use a store URL like sqlite:///app.db, or read the events and append them to another store",
        )

    def describe(self) -> dict[str, Any]:
        return {"engine": "memory", "version": None, "durability": "none", "file": None}

    def copy(self) -> "MemoryStorage":
        other = MemoryStorage(self._url, now=self._now)
        other._contents = self._opened().copy()
        return other

    def size(self) -> int:
        return sum(len(table.rows) for table in self._opened().tables.values())
