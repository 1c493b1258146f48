"""Has done what is due: timers of process managers, and scheduled commands."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from daicho.core.errors import NotRunning, StoreError
from daicho.core.times import from_text, to_text
from daicho.ports.checkpoint_store import CheckpointStore
from daicho.ports.clock import Clock
from daicho.ports.scheduler import NEVER, Scheduler, Timer

__all__ = ["Timekeeper"]

_log = logging.getLogger("daicho")
_AT_ONCE = 200
_LOOK = 0.5
_PUT_OFF = 30.0


class Timekeeper:
    """One process of an App at a time looks what is due.

    It reads the App's clock, and looks at least twice a second: a clock that jumps moves when something is done, never
    how often. What cannot be dealt with is put off for half a minute, and the others go on.
    """

    def __init__(
        self,
        team: str,
        owner: str,
        scheduler: Scheduler,
        checkpoints: CheckpointStore,
        clock: Clock,
        handlers: Mapping[str, Callable[[Timer], Awaitable[None]]],
    ) -> None:
        """`handlers`: by group of timers, who deals with one that is due, and takes it away."""
        self._name, self._owner = f"timers:{team}", owner
        self._scheduler, self._checkpoints, self._clock, self._handlers = scheduler, checkpoints, clock, handlers
        self._groups = sorted(handlers)
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._checkpoints.register(self._name, position=0)
        self._task = asyncio.create_task(self._run(), name="daicho-timekeeper")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def wake(self) -> None:
        """Timers were set in this process."""
        self._woken.set()

    async def next_due(self) -> datetime | None:
        """Of everything this is for; notes that never come up are nothing."""
        due = await self._scheduler.next_due(self._groups)
        return None if due is None or due == NEVER else from_text(due)

    async def ring(self) -> int:
        """Deals with all that is due now, if it is this process that does so. Returns how much that was."""
        if self._task is None:
            return 0
        async with self._turn:
            rung = 0
            while due := await self._scheduler.due_timers(to_text(self._clock.now()), self._groups, limit=_AT_ONCE):
                if await self._checkpoints.claim(self._name, self._owner) is None:
                    break
                put_off = [x for x in await asyncio.gather(*map(self._deal, due), return_exceptions=True) if x]
                if errors := [x for x in put_off if isinstance(x, BaseException)]:
                    raise errors[0]
                rung += len(due) - len(put_off)
            return rung

    async def _deal(self, timer: Timer) -> bool:
        """True if it had to be put off."""
        try:
            await self._handlers[timer.group](timer)
        except (StoreError, NotRunning):
            raise
        except Exception:  # noqa: BLE001 - told, and tried again; the timers of others go on
            _log.exception("the timer %s of %s cannot be dealt with, and is put off", timer.name, timer.key)
            later = self._clock.now() + timedelta(seconds=_PUT_OFF)
            await self._scheduler.move_timer(timer, msgspec.structs.replace(timer, due=to_text(later)))
            return True
        return False

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.ring()
                pause = await self._pause()
            except NotRunning:
                return
            except StoreError as error:
                _log.warning("timers could not be looked at, trying again: %s", error)
                pause = _LOOK
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _pause(self) -> float:
        due = await self.next_due()
        if due is None:
            return _LOOK
        left = (due - self._clock.now()).total_seconds()
        return min(_LOOK, max(left, 0.001))
