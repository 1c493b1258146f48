"""What a memory store holds, and the one door to it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from daicho.core.errors import StoreClosed
from daicho.core.times import to_text
from daicho.ports.checkpoint_store import Checkpoint
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import CommandOutcome, StoredEvent
from daicho.ports.scheduler import Timer
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.state_store import Pruned, Standing, StateRow

__all__ = ["Contents", "Shelf", "StoredTable"]


@dataclass
class StoredTable:
    shape: dict[str, str]
    rows: dict[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass
class Contents:
    events: list[StoredEvent] = field(default_factory=list[StoredEvent])
    """All of them; an event's position is its index plus one."""
    streams: dict[str, list[StoredEvent]] = field(default_factory=dict[str, list[StoredEvent]])
    by_id: dict[str, StoredEvent] = field(default_factory=dict[str, StoredEvent])
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and replaced when the head moves."""
    snapshots: dict[str, Snapshot] = field(default_factory=dict[str, Snapshot])
    states: dict[str, StateRow] = field(default_factory=dict[str, StateRow])
    bases: dict[str, Pruned] = field(default_factory=dict[str, Pruned])
    standings: dict[str, Standing] = field(default_factory=dict[str, Standing])
    pruned: set[int] = field(default_factory=set[int])
    """Positions of events that nobody can read any more."""
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])
    alive_until: dict[str, float] = field(default_factory=dict[str, float])
    """Owners of checkpoints, by the monotonic clock."""
    letters: dict[int, DeadLetter] = field(default_factory=dict[int, DeadLetter])
    letters_ever: int = 0
    outcomes: dict[str, CommandOutcome] = field(default_factory=dict[str, CommandOutcome])
    tables: dict[tuple[str, int], StoredTable] = field(default_factory=dict[tuple[str, int], StoredTable])
    live: dict[str, int] = field(default_factory=dict[str, int])
    timers: dict[str, Timer] = field(default_factory=dict[str, Timer])

    def kept(self, stream: str) -> list[StoredEvent]:
        """The events of the stream that were not pruned."""
        events = self.streams.get(stream, [])
        return [e for e in events if e.position not in self.pruned] if self.pruned else events

    def wake(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()

    def copy(self) -> "Contents":
        """The same, shared as far as it never changes."""
        return Contents(
            events=self.events.copy(),
            streams={name: events.copy() for name, events in self.streams.items()},
            by_id=self.by_id.copy(),
            snapshots=self.snapshots.copy(),
            states=self.states.copy(),
            bases=self.bases.copy(),
            standings=self.standings.copy(),
            pruned=self.pruned.copy(),
            checkpoints=self.checkpoints.copy(),
            alive_until=self.alive_until.copy(),
            letters=self.letters.copy(),
            letters_ever=self.letters_ever,
            outcomes=self.outcomes.copy(),
            tables={place: StoredTable(table.shape, table.rows.copy()) for place, table in self.tables.items()},
            live=self.live.copy(),
            timers=self.timers.copy(),
        )


class Shelf:
    """Opening, closing, taking turns and telling the time: what all parts of the store share."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = asyncio.Lock()
        self._contents: Contents | None = None

    async def open(self) -> None:
        self._lock = asyncio.Lock()
        self._contents = Contents()

    async def close(self) -> None:
        async with self._lock:
            contents, self._contents = self._contents, None
        if contents is not None:
            contents.wake()

    def _opened(self) -> Contents:
        if self._contents is None:
            raise StoreClosed("the memory store is not open", do="use it between `open()` and `close()`")
        return self._contents

    @asynccontextmanager
    async def _critical(self) -> AsyncGenerator[Contents]:
        """The contents, for one task at a time. The others get a chance to run meanwhile: only the lock stops them."""
        async with self._lock:
            await asyncio.sleep(0)
            yield self._opened()

    def _time(self) -> str:
        return to_text(self._now())
