"""The store as a process for queries has it: the primary, or a replica where there is no way to it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from daicho.core.errors import NoReplica, StoreReadOnly, StoreUnavailable
from daicho.ports.replication import Replicated
from daicho.ports.storage import Storage
from daicho.read.replicas.router import Router

__all__ = ["Either"]

_TRY_WITHIN = 5.0
_TRY_EVERY = 5.0

_log = logging.getLogger("daicho")


class Either:
    """Stands for a `Storage`, call by call: the primary while it answers, else the replica that is nearest to it.

    No reader of the log skips anything by that: a replica that is asked up to a position which it has not got to says
    so, instead of showing less.
    """

    def __init__(self, primary: Storage, router: Callable[[], Router]) -> None:
        self._primary, self._router = primary, router
        self._is_open = self._has_begun = False
        self._trying: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, primary: Storage, router: Callable[[], Router]) -> Storage:
        return cast("Storage", cls(primary, router))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(name), name)

    @property
    def url(self) -> str:
        return self._primary.url

    def _now(self, wanted: str) -> Storage:
        if not self._has_begun:
            return self._primary
        router = self._router()
        if self._is_open and (router.primary.answers or router.primary.latest is None):
            return self._primary
        fit = [replica for replica in router.replicas if replica.storage is not None]
        nearest = min(fit, key=lambda each: (not each.in_service, -each.state().position), default=None)
        if nearest is not None and nearest.storage is not None:
            return nearest.storage
        if self._is_open:
            return self._primary
        raise NoReplica(f"nobody can be asked for {wanted}", why="neither the primary nor a replica answers")

    async def open(self) -> None:
        """Without an answer from the primary, a replica has to do. Raises NotAReplica, and NoReplica if none does."""
        router = self._router()
        self._has_begun = True
        try:
            async with asyncio.timeout(_TRY_WITHIN):
                await self._primary.open()
            self._is_open = True
        except (StoreUnavailable, StoreReadOnly, TimeoutError) as error:
            _log.warning("the primary cannot be reached, replicas have to do for now: %s", error)
        await router.start(cast("Replicated", self._primary) if self._is_open else None)
        if self._is_open:
            return
        if not any(replica.storage is not None for replica in router.replicas):
            told = "; ".join(f"{state.name}: {state.why}" for state in router.states())
            raise NoReplica(
                "neither the primary nor a replica can be reached",
                why=told,
                do="check the URLs and the way to the servers",
            )
        self._trying = asyncio.create_task(self._try_again(), name="daicho-primary-way")

    async def _try_again(self) -> None:
        while not self._is_open:
            await asyncio.sleep(_TRY_EVERY)
            try:
                async with asyncio.timeout(_TRY_WITHIN):
                    await self._primary.open()
            except (StoreUnavailable, StoreReadOnly, TimeoutError):
                continue
            self._is_open = True
            self._router().reach(cast("Replicated", self._primary))
            _log.info("there is a way to the primary now")

    async def close(self) -> None:
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])
        await self._router().stop()
        await self._primary.close()
