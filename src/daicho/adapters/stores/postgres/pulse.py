"""Beats: every moment, the primary writes down how far the log is complete, so that replicas know.

Every process that has the primary open tries to, four times a second at least; whoever comes first writes, and the
others see that it was done. So there is nobody to elect, and nobody whose death is noticed. While no replica streams
and no App reads from one, there are none.

A beat waits for the disk, and takes along what was committed before without waiting: rows of projections. So it comes
early when there are some, or a reader on a replica would wait for them until the server writes by itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg

from daicho.adapters.stores.postgres.failures import translated
from daicho.adapters.stores.postgres.head import Head
from daicho.adapters.stores.postgres.lines import Line
from daicho.adapters.stores.postgres.queries import Queries
from daicho.core.errors import DaichoError

__all__ = ["Pulse"]

_EVERY = 0.05
_SHORTEST = 0.01
_MOVED, _QUIET = 0.08, 0.4
"""Seconds after the last beat, of whoever, that the next one comes: when the head has moved, and when it has not."""
_LOOK_EVERY = 2.0
"""Between two looks for replicas, while there are none."""
# A beat must not wait for a synchronous standby that is away: it is what tells about standbys.
_GREETING = (b"select set_config('synchronous_commit', 'local', false)",)

log = logging.getLogger("daicho.postgres")


class Pulse:
    def __init__(
        self, line: Line, head: Head, queries: Queries, followed: Callable[[], Awaitable[bool]], shown: str
    ) -> None:
        """`line`: for beats alone; connected while there are some. `followed`: whether a replica streams."""
        self._line, self._head, self._shown = line, head, shown
        self._beat, self._followed = queries["beat"], followed
        line.greeting = _GREETING
        self._always = False
        self._wanted = asyncio.Event()
        self._lazy = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="daicho-postgres-pulse")

    def always(self) -> None:
        """Also if no replica is seen to stream."""
        self._always = True
        self._wanted.set()

    def touch(self) -> None:
        """Something was committed that did not wait for the disk. Replicas get it when it is there: a beat sees to
        that."""
        self._lazy.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._line.hang_up()

    async def _run(self) -> None:
        failing, beats = False, False
        while True:
            try:
                beats = self._always or await self._followed()
                if not beats:
                    await self._line.hang_up()
                    await self._rest()
                    continue
                await self._beats()
            except (psycopg.Error, DaichoError) as error:
                told = error if isinstance(error, DaichoError) else translated(error, self._shown)
                log.log(logging.WARNING if beats and not failing else logging.DEBUG, "no beat for replicas: %s", told)
                failing = True
                await self._line.hang_up()
                await asyncio.sleep(_QUIET)
            else:
                failing = False

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_EVERY):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _beats(self) -> None:
        """For a while; then it is time to see whether anybody needs it."""
        loop = asyncio.get_running_loop()
        end, tried_at, told = loop.time() + _LOOK_EVERY, 0.0, -1
        while loop.time() < end:
            lazy, moved = self._lazy.is_set(), self._head.written != told
            if lazy or moved or loop.time() - tried_at >= _QUIET / 2:
                self._lazy.clear()
                written, tried_at = self._head.written, loop.time()
                await self._line.execute(self._beat, (0.0, 0.0) if lazy else (_QUIET, _MOVED))
                told = written if self._head.seen >= written else -1
                await asyncio.sleep(_SHORTEST)
            try:
                async with asyncio.timeout(_EVERY):
                    await self._lazy.wait()
            except TimeoutError:
                continue
