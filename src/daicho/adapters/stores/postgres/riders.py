"""Small writes that nobody waits for: gathered for a moment, then written by one statement.

    add ──> waiting ──2 ms, or somebody asks──> written together
               ^                                     │ failed: told to the log, and tried again
               └─────────────────────────────────────┘

Nothing runs while nothing waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from daicho.core.errors import StoreError

__all__ = ["Riders"]

T = TypeVar("T")

_GATHER, _LONGEST_PAUSE = 0.002, 5.0
_MOST = 10_000

log = logging.getLogger("daicho.postgres")


class Riders(Generic[T]):
    """Of those with the same key only what stands last is written."""

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[object]],
        *,
        what: str,
        merge: Callable[[T, T], T] = lambda _, new: new,
    ) -> None:
        """`write` must be repeatable; `merge(old, new)` says what stands if both wait under one key."""
        self._write, self._what, self._merge = write, what, merge
        self._waiting: dict[str, T] = {}
        self._asked: list[asyncio.Future[None]] = []
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def add(self, key: str, rider: T) -> None:
        """Returns at once, unless very many wait because they cannot be written: then raises why."""
        if len(self._waiting) >= _MOST:
            await self.settle()
        old = self._waiting.get(key)
        self._waiting[key] = rider if old is None else self._merge(old, rider)
        self._go()

    async def settle(self) -> None:
        """Returns when all that was added before is written. Raises what keeps it from being written."""
        if self._waiting or self._task is not None:
            asked = asyncio.get_running_loop().create_future()
            self._asked.append(asked)
            self._hurry.set()
            self._go()
            await asked

    async def close(self) -> None:
        """Writes what waits. What cannot be written is told to the log and given up."""
        with suppress(StoreError):  # it is in the log already
            await self.settle()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._waiting:
            log.error("%d %s were given up at closing", len(self._waiting), self._what)
            self._waiting.clear()

    def _go(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ride(), name=f"daicho-postgres-{self._what}")

    async def _ride(self) -> None:
        pause = _GATHER
        while self._waiting or self._asked:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            self._hurry.clear()
            batch, asked = self._waiting, self._asked
            self._waiting, self._asked = {}, []
            error = await self._try(batch)
            pause = _GATHER if error is None else min(max(pause * 2, 0.05), _LONGEST_PAUSE)
            for each in asked:
                if each.done():  # who asked did not wait for the answer
                    continue
                if error is None:
                    each.set_result(None)
                else:
                    each.set_exception(error)
        self._task = None

    async def _try(self, batch: dict[str, T]) -> StoreError | None:
        """None if all is dealt with; otherwise the error, and the batch waits again."""
        if not batch:
            return None
        try:
            await self._write(list(batch.values()))
        except StoreError as error:
            log.warning("%d %s are not written yet: %s", len(batch), self._what, error)
            self._back(batch)
            return error
        except asyncio.CancelledError:
            self._back(batch)
            raise
        except Exception:
            if len(batch) > 1:  # one of them cannot be stored: the others can
                return await self._try_each(batch)
            log.exception("one of the %s cannot be stored and is given up: %r", self._what, batch)
        return None

    async def _try_each(self, batch: dict[str, T]) -> StoreError | None:
        for n, (key, rider) in enumerate(batch.items(), 1):
            error = await self._try({key: rider})
            if error is not None:
                self._back(dict(list(batch.items())[n:]))
                return error
        return None

    def _back(self, batch: dict[str, T]) -> None:
        for key, rider in self._waiting.items():
            batch[key] = self._merge(batch[key], rider) if key in batch else rider
        self._waiting = batch
