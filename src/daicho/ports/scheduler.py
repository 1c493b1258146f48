"""What is to be done later: durable timers, each of which comes up once it is due, until it is taken away."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = ["NEVER", "STUCK", "Scheduler", "Timer"]

NEVER = "9999-12-31T00:00:00.000000+00:00"
"""When a note comes up that is only kept to be found."""


STUCK = "stuck"
"""Name of the note that an instance of a process manager cannot go on without help."""


class Timer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing to be done later."""

    timer_id: str
    due: str
    """ISO 8601, UTC, as `core.times` writes it: text order is time order."""
    group: str
    """Who deals with it: `process:fulfilment`, `app:shop`."""
    key: str
    """What it is about: a stream, or empty."""
    name: str
    """Kind of work, in the words of the group."""
    number: int = 0
    """How often it came up before."""
    every: float = 0.0
    """Seconds after which it comes up again; 0 for once."""
    payload: bytes | None = None


class Scheduler(Protocol):
    """Who acts on a timer does so under an id that follows from the timer's, and takes it away afterwards: it may come
    up twice, after a crash in between, and must take effect once. The clock that tells what is due is the caller's."""

    async def set_timers(self, timers: Sequence[Timer]) -> None:
        """Keeps all of them durably; one of the same id is replaced."""
        ...

    async def drop_timers(self, timer_ids: Sequence[str]) -> int:
        """Takes those away that are there. Returns how many were."""
        ...

    async def due_timers(self, now: str, groups: Sequence[str], *, limit: int) -> Sequence[Timer]:
        """Those due at `now` or before, earliest first, then by id."""
        ...

    async def next_due(self, groups: Sequence[str]) -> str | None:
        """When the next one of these groups is due; None if there is none."""
        ...

    async def move_timer(self, old: Timer, new: Timer | None) -> bool:
        """Replaces `old` by `new`, or takes it away, if it still is as it was: due then, for that number of times.
        False, and nothing changed, if somebody moved or took it meanwhile."""
        ...

    async def timer(self, timer_id: str) -> Timer | None: ...

    async def timers(self, group: str, *, name: str | None = None, limit: int = 1000) -> Sequence[Timer]:
        """Of one group, earliest first."""
        ...
