"""The right to say which generations of a view there are: one process has it at a time, for as long as it lives.

It is a lease like that of any processor, on a note of its own: `builder:projection:orders`. Its owner is who builds,
`updated_at` since when, and its position is the last number that was given to a generation.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from daicho.core.errors import BeingBuilt, LostLease, StoreClosed, StoreError
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.read.generations import BUILDER, builder_name

__all__ = ["BuildLease", "build_lease"]

_WITHIN = 2.0
"""Seconds that whoever is about to be done is waited for."""
_ASK_AGAIN = 0.1
_RENEW_EVERY = 3.0


class BuildLease:
    """As one process has it."""

    def __init__(self, checkpoints: CheckpointStore, held: Checkpoint, builder: str) -> None:
        self.builder = builder
        """The owner of whatever is claimed for this build."""
        self._checkpoints, self._held, self._last = checkpoints, held, held.position

    async def check(self) -> None:
        """Before what cannot be undone. Raises LostLease if another process may build by now."""
        present = await self._checkpoints.claim(self._held.processor, self.builder)
        if present is None or present.token != self._held.token:
            view = self._held.processor.removeprefix(f"{BUILDER}projection:")
            raise LostLease(
                f"the view {view!r} is no longer built from here",
                why="a rollback came between, or this process was silent for so long that another one took over",
                do="look at `daicho projection list`, and build again: what was built is kept",
                processor=self._held.processor,
            )

    async def number(self, least: int) -> int:
        """For a generation, `least` or more: one that no other has ever had, so that whoever still writes to a dropped
        one cannot meet its successor. Raises LostLease."""
        number = max(self._last + 1, least)
        processor, token = self._held.processor, self._held.token
        await self._checkpoints.advance(Advance(processor=processor, token=token, old=self._last, new=number))
        self._last = number
        return number


@asynccontextmanager
async def build_lease(
    checkpoints: CheckpointStore, processor: str, owner: str, *, within: float = _WITHIN, takes: bool = False
) -> AsyncGenerator[BuildLease, None]:
    """The lease of `projection:orders`, or of a generation that nobody is to see. Whatever was claimed for the builder
    is given up with it. `takes`: whoever has it loses it. Raises BeingBuilt."""
    name, builder, loop = BUILDER + processor, builder_name(owner), asyncio.get_running_loop()
    await checkpoints.register(name, position=0)
    if takes:
        await checkpoints.unseat(name)
    deadline = loop.time() + within
    while (held := await checkpoints.claim(name, builder)) is None:
        if loop.time() >= deadline:
            raise await _refusal(checkpoints, name, processor.removeprefix("projection:"))
        await asyncio.sleep(_ASK_AGAIN)
    keeping = asyncio.create_task(_keep(checkpoints, builder), name=f"daicho-{builder}")
    try:
        # to where it is: others are told since when
        await checkpoints.advance(Advance(processor=name, token=held.token, old=held.position, new=held.position))
        yield BuildLease(checkpoints, held, builder)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await checkpoints.release(builder)


async def _keep(checkpoints: CheckpointStore, builder: str) -> None:
    """A step may take longer than a lease."""
    while True:
        await asyncio.sleep(_RENEW_EVERY)
        try:
            await checkpoints.renew(builder)
        except StoreClosed:
            return
        except StoreError:
            continue  # whoever builds meets it, too


async def _refusal(checkpoints: CheckpointStore, name: str, view: str) -> BeingBuilt:
    present = next((each for each in await checkpoints.checkpoints() if each.processor == name), None)
    owner, since = (present.owner, present.updated_at) if present is not None else (None, "")
    return BeingBuilt(
        f"the view {view!r} is being built by another process",
        why=f"{_told(owner)} has been at it since {since}",
        do=f"wait until it is done, `daicho projection list` shows how far it is; or end that process, and "
        f"`daicho projection rebuild {view}` goes on with its build. If it is gone already, on another machine, its "
        "lease ends within 10 seconds",
        view=view,
        owner=owner,
        since=since,
    )


def _told(owner: str | None) -> str:
    """`process 4711 on web-1`, for `web-1~1f2e3d4c:4711:...`."""
    parts = (owner or "").split(":")
    if len(parts) < 3 or not parts[-3].isdecimal():
        return owner or "somebody"
    return f"process {parts[-3]} on {':'.join(parts[:-3]).partition('~')[0]}"
