"""A clock that stands still until it is told to move: tests need no sleep, and every run is the same."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

__all__ = ["VirtualClock"]

START = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualClock:
    """Fulfils `daicho.ports.clock.Clock`.

    Time passes by `await clock.advance(seconds)`; whoever sleeps wakes in the order of the deadlines, each at its own
    time. With `autojump=True` a sleeper does not wait for that: the clock jumps to its deadline. Ids are a sequence of
    version-7 UUIDs; clocks with different `seed` (0 to 4095) give different ones, which two Apps on one store need.
    """

    def __init__(self, start: datetime = START, *, seed: int = 0, autojump: bool = False) -> None:
        self._now, self._seed, self._autojump = start.astimezone(UTC), seed, autojump
        self._ids = 0
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._slept = 0

    def now(self) -> datetime:
        return self._now

    def new_id(self) -> str:
        self._ids += 1
        millis = f"{int(self._now.timestamp() * 1000):012x}"
        return f"{millis[:8]}-{millis[8:]}-7{self._seed:03x}-8{self._ids >> 48:03x}-{self._ids & (1 << 48) - 1:012x}"

    async def sleep(self, seconds: float) -> None:
        deadline = self._now + timedelta(seconds=max(0.0, seconds))
        if self._autojump:
            await asyncio.sleep(0)
            self._now = max(self._now, deadline)
            return
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1
        heapq.heappush(self._sleepers, (deadline, self._slept, awake))
        await awake

    @property
    def sleepers(self) -> int:
        """How many tasks are asleep."""
        return sum(not awake.done() for _, _, awake in self._sleepers)

    async def advance(self, by: float | timedelta) -> None:
        """Lets `by` (seconds, or a timedelta) pass. Who sleeps again within it is woken again."""
        goal = self._now + (by if isinstance(by, timedelta) else timedelta(seconds=by))
        while self._sleepers and self._sleepers[0][0] <= goal:
            deadline, _, awake = heapq.heappop(self._sleepers)
            self._now = max(self._now, deadline)
            if not awake.done():  # else its task was cancelled
                awake.set_result(None)
                await asyncio.sleep(0)
        self._now = max(self._now, goal)
