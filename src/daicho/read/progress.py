"""How far every processor has come, and waiting for it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from daicho.core.segments import Segment, root_of, segment_of
from daicho.ports.checkpoint_store import CUT, Checkpoint, CheckpointStore

__all__ = ["Lag", "Progress"]


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How a processor stands; cut into segments, how the last of them does."""

    processor: str
    position: int
    events_behind: int
    """Positions between it and the head of the log."""
    seconds_behind: float
    """Age of the oldest event it has not dealt with; 0 when there is none."""
    parked: int
    state: str
    """`live`, `catching up`, `waiting` (another process runs it), `paused`, `failing` or `stopped`."""
    error: str | None = None
    segments: int = 1


class Progress:
    """Positions of the processors of this process from memory; those of other processes from the store.

    Whoever asks names whole processors; which segments they are cut into, and who runs those, is known here.
    """

    def __init__(self, checkpoints: CheckpointStore) -> None:
        self._checkpoints = checkpoints
        self._own: dict[str, dict[Segment, int]] = {}
        """By processor."""
        self._last: dict[str, int] = {}
        self._changed = asyncio.Event()

    def note(self, processor: str, position: int) -> None:
        """This process runs it, the whole or a segment, and it has come this far."""
        self._own.setdefault(root_of(processor), {})[segment_of(processor)] = position
        self._last[processor] = position
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def disown(self, processor: str) -> None:
        own = self._own.get(root_of(processor), {})
        own.pop(segment_of(processor), None)
        if not own:
            self._own.pop(root_of(processor), None)
        self._tell()

    def last(self, processor: str) -> int:
        """How far it had come when this process ran it last; 0 if it never did."""
        return self._last.get(processor, 0)

    def here(self, processor: str) -> int | None:
        """Of the whole, or of a segment, if this process runs it."""
        return self._own.get(root_of(processor), {}).get(segment_of(processor))

    def position(self, processor: str) -> int | None:
        """None unless all of it is run here."""
        own = self._own.get(processor)
        if own is None or len(own) < next(iter(own)).of:
            return None
        return min(own.values())

    def own(self, processor: str) -> Mapping[Segment, int]:
        """Those of its segments that are run here, and where they are."""
        return self._own.get(processor, {})

    async def reach(
        self,
        processors: Callable[[], Iterable[str]],
        position: int,
        timeout: float,
        keys: Sequence[str] | None = None,
    ) -> dict[str, int]:
        """Waits until all of `processors` are at `position`, or, with `keys`, those segments of them that are about
        these. Returns those that are not when `timeout` seconds are over, and where they are. Asks for the names again
        and again: a view that is switched changes its name."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            changed = self._changed
            behind, elsewhere = await self._behind(processors(), position, keys)
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

    async def _behind(
        self, processors: Iterable[str], position: int, keys: Sequence[str] | None
    ) -> tuple[dict[str, int], bool]:
        """Who is not there yet, and whether another process may change that."""
        found: dict[str, int] = {}
        elsewhere: list[str] = []
        for name in processors:
            own = self._own.get(name, {})
            if not own or not _covers(own, keys):
                elsewhere.append(name)
            elif (at := _least(own, keys)) < position:
                found[name] = at
        if elsewhere:
            stored = await self.stored(elsewhere)
            for name in elsewhere:
                at = _least({**stored.get(name, {}), **self._own.get(name, {})}, keys)
                if at < position:
                    found[name] = at
        return found, bool(elsewhere)

    async def stored(self, processors: Sequence[str]) -> dict[str, dict[Segment, int]]:
        """Where the segments of these are, as far as everybody knows."""
        found = await self.checkpoints(processors)
        return {name: {each: at.position for each, at in pieces.items()} for name, pieces in found.items()}

    async def checkpoints(self, processors: Sequence[str]) -> dict[str, dict[Segment, Checkpoint]]:
        """Those of the segments of these."""
        found: dict[str, dict[Segment, Checkpoint]] = {}
        for each in await self._checkpoints.checkpoints():
            if each.owner != CUT and (root := root_of(each.processor)) in processors:
                found.setdefault(root, {})[segment_of(each.processor)] = each
        return found


def _covers(own: dict[Segment, int], keys: Sequence[str] | None) -> bool:
    """Whether this process runs everything that is asked about."""
    if keys is None:
        return len(own) == next(iter(own)).of
    return all(any(segment.holds(key) for segment in own) for key in keys)


def _least(positions: dict[Segment, int], keys: Sequence[str] | None) -> int:
    if keys is not None:
        positions = {s: at for s, at in positions.items() if any(s.holds(key) for key in keys)}
    return min(positions.values(), default=0)
