"""Views that have seen events which a failover has lost, built anew, by one process at a time."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from daicho.core.errors import DaichoError
from daicho.core.segments import root_of
from daicho.ports.checkpoint_store import CheckpointStore
from daicho.read.generations import generation_of
from daicho.read.orphans import ORPHANED, Orphans
from daicho.read.projections import Projections

__all__ = ["Mending"]

_log = logging.getLogger("daicho")
_LOOK_EVERY = 2.0
"""Seconds: another process may have found or mended something."""


class Mending:
    """Looks who is orphaned, and has their views built anew beside those that readers are refused meanwhile."""

    def __init__(
        self,
        orphans: Orphans,
        checkpoints: CheckpointStore,
        projections: Projections,
        owner: str,
        may_have: Callable[[], bool],
        *,
        mends: bool,
    ) -> None:
        """`may_have`: whether there can be any; `mends`: whether this process builds views."""
        self._orphans, self._checkpoints, self._projections = orphans, checkpoints, projections
        self._owner, self._may_have, self._mends = owner, may_have, mends
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        orphans.noted = self.look

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="daicho-mending")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.2)

    def look(self) -> None:
        """At once."""
        self._due.set()

    async def _watch(self) -> None:
        while True:
            if self._may_have():
                try:
                    await self._look()
                except DaichoError as error:
                    _log.warning("what was orphaned by a failover cannot be mended now: %s", error.what)
                except Exception:  # noqa: BLE001 - told, and tried again: until it is mended, readers are refused
                    _log.exception("what was orphaned by a failover cannot be mended now")
            try:
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()

    async def _look(self) -> None:
        for orphan in await self._orphans.all():
            if orphan.checkpoint.startswith("projection:") and self._mends:
                await self._mend(orphan.checkpoint)

    async def _mend(self, checkpoint: str) -> None:
        if checkpoint not in self._orphans.known:  # another segment of it was mended
            return
        if await self._checkpoints.claim(ORPHANED + checkpoint, self._owner) is None:
            return  # another process is at it
        name = root_of(checkpoint).removeprefix("projection:").partition("@")[0]
        steps = self._projections.rebuild(name)
        async with aclosing(steps):  # type: ignore[type-var]
            async for _ in steps:
                pass
        await self._projections.forget_former(name)
        for each in list(self._orphans.known):
            if generation_of(each, name) is not None:
                await self._orphans.forget(each)
        _log.warning("the view %r, which had seen events that were lost in a failover, has been built anew", name)
