"""How far every processor has come, and waiting for it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from daicho.ports.checkpoint_store import CheckpointStore

__all__ = ["Lag", "Progress"]


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How a processor stands."""

    processor: str
    position: int
    events_behind: int
    """Positions between it and the head of the log."""
    seconds_behind: float
    """Age of the oldest event it has not dealt with; 0 when there is none."""
    parked: int
    state: str
    """`live`, `catching up`, `waiting` (another process runs it), `failing` or `stopped`."""
    error: str | None = None


class Progress:
    """Positions of the processors of this process from memory; those of other processes from the store."""

    def __init__(self, checkpoints: CheckpointStore) -> None:
        self._checkpoints = checkpoints
        self._own: dict[str, int] = {}
        self._changed = asyncio.Event()

    def note(self, processor: str, position: int) -> None:
        """This process runs it, and it has come this far."""
        self._own[processor] = position
        self._changed.set()
        self._changed = asyncio.Event()

    def disown(self, processor: str) -> None:
        self._own.pop(processor, None)

    def position(self, processor: str) -> int | None:
        return self._own.get(processor)

    async def reach(self, processors: Callable[[], Iterable[str]], position: int, timeout: float) -> dict[str, int]:
        """Waits until all of `processors` are at `position`. Returns those that are not when `timeout` seconds are
        over, and where they are. Asks for the names again and again: a view that is switched changes its name."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            changed = self._changed
            behind = {name: at for name in processors() if (at := self._own.get(name, -1)) < position}
            elsewhere = [name for name in behind if name not in self._own]
            if elsewhere:
                stored = await self._stored(elsewhere)
                behind.update({name: stored.get(name, 0) for name in elsewhere})
                behind = {name: at for name, at in behind.items() if at < position}
            if not behind:
                return {}
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return behind
            try:
                async with asyncio.timeout(min(left, 0.01) if elsewhere else left):
                    await changed.wait()
            except TimeoutError:
                continue

    async def _stored(self, processors: Sequence[str]) -> dict[str, int]:
        return {c.processor: c.position for c in await self._checkpoints.checkpoints() if c.processor in processors}
