"""Tells an edge cache which answers are out of date, after the rows have been committed.

rows committed ──Changes.tell──> Purger.told: surrogate keys gathered ──every few ms──> EdgeCache.purge
                                                ^                                         │ fails
                                                └────────── kept, tried again <───────────┘
"""

import asyncio
import logging
import random
from collections.abc import Iterable

import msgspec

from daicho.core.errors import DaichoError
from daicho.core.surrogates import changed_keys, whole_view
from daicho.ports.clock import Clock
from daicho.ports.edge_cache import EdgeCache
from daicho.ports.view_store import TableSpec
from daicho.read.changes import Altered

__all__ = ["PurgeLag", "Purger"]

_log = logging.getLogger("daicho")
_BATCH = 200
"""Keys of one purge."""
_MOST_WAITING = 10_000
"""Beyond so many keys, whole views are purged."""
_LONGEST_PAUSE = 5.0
_LAST_CHANCE = 2.0
"""Seconds that the end waits for what is left."""


class PurgeLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far the edge cache is behind."""

    waiting: int
    """Keys that it has not been told yet."""
    seconds: float
    """Age of the oldest of them."""
    purged: int
    """Keys that it has been told since the start."""
    failures: int
    """Purges that it did not take, each of which was tried again."""
    error: str | None = None
    """Why the last one failed; None if the last one was taken."""


class Purger:
    """Runs where projections run. A purge that fails is tried again until it is taken; a process that starts, or takes
    over a projection, purges the whole view once, for it cannot know what the one before had left to tell."""

    def __init__(self, cache: EdgeCache, clock: Clock, tables: Iterable[TableSpec]) -> None:
        self._cache, self._clock = cache, clock
        self._index = {table.name: table.row_type.__index_fields__ for table in tables}
        self._waiting: dict[str, float] = {}
        """Surrogate key, and since when it waits."""
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._purged = self._failures = 0
        self._error: str | None = None
        self._closing = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="daicho-purger")

    def told(self, view: str, rows: Altered | None) -> None:
        now = self._clock.now().timestamp()
        if rows is None or len(self._waiting) > _MOST_WAITING:
            self._waiting.setdefault(whole_view(view), now)
        else:
            index = self._index.get(view, ())
            for key in rows.keys:
                if not rows.is_known(key):
                    self._waiting.setdefault(whole_view(view), now)
                for each in changed_keys(view, index, key, *rows.rows_of(key)):
                    self._waiting.setdefault(each, now)
        self._due.set()

    def lag(self) -> PurgeLag:
        oldest = min(self._waiting.values(), default=None)
        age = 0.0 if oldest is None else max(0.0, self._clock.now().timestamp() - oldest)
        return PurgeLag(
            waiting=len(self._waiting), seconds=age, purged=self._purged, failures=self._failures, error=self._error
        )

    async def _work(self) -> None:
        failures = 0
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._due.clear()
                await self._due.wait()
                continue
            batch = list(self._waiting)[:_BATCH]
            since = {key: self._waiting.pop(key) for key in batch}
            try:
                await self._cache.purge(batch)
            except BaseException as error:
                self._waiting = {**since, **self._waiting}
                if not isinstance(error, Exception):
                    raise
                failures += 1
                self._failures += 1
                # whatever it is, it is tried again: without purges, the edge would show old answers, and nobody knew
                self._error = error.what if isinstance(error, DaichoError) else repr(error)
                if failures == 1:
                    _log.warning("the edge cache did not take a purge, which is tried again: %s", self._error)
                pause = min(_LONGEST_PAUSE, 0.05 * 2**failures) * random.uniform(0.5, 1)  # noqa: S311 - jitter
                await asyncio.sleep(pause)
            else:
                failures, self._error = 0, None
                self._purged += len(batch)

    async def stop(self) -> None:
        """What waits is told, if the cache takes it at once; what is not is logged, and bounded by the answers' age."""
        task, self._task = self._task, None
        if task is not None:
            self._closing = True
            self._due.set()
            await asyncio.wait([task], timeout=_LAST_CHANCE)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            if self._waiting:
                _log.warning("%d keys were not purged from the edge cache: %s", len(self._waiting), self._error)
        await self._cache.close()
