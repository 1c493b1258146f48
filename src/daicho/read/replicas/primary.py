"""What is known of the primary: its clock, its beats, whether it answers."""

import asyncio
from collections import deque

from daicho.core.errors import StoreError
from daicho.ports.replication import Replicated, Sample

__all__ = ["Primary"]

_BEATS_KEPT = 1000


class Primary:
    """Looked at as often as the replicas. Its clock is read off it, so that no other clock need be right."""

    def __init__(self, storage: Replicated | None) -> None:
        """`storage`: None if this process has no way to it."""
        self.storage = storage
        self.answers = False
        self.latest: Sample | None = None
        self.looked_at = 0.0
        """When the latest look began, by the event loop's clock."""
        self._ahead = 0.0
        """Its clock minus the event loop's."""
        self._beats: deque[tuple[int, float]] = deque(maxlen=_BEATS_KEPT)

    async def look(self, within: float) -> None:
        if self.storage is None:
            self.answers = False
            return
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            sample = await self.storage.sample(within)
        except StoreError:
            self.answers = False
            return
        self.note(sample, begun, loop.time())

    def note(self, sample: Sample, begun: float, ended: float) -> None:
        self.answers = not sample.standby
        if sample.standby:
            return
        if self.latest is not None and self.latest.server != sample.server:
            self._beats.clear()  # it was started again, or another one was promoted: its beats are its own
        self.latest, self.looked_at = sample, begun
        self._ahead = sample.now - (begun + ended) / 2
        if not self._beats or self._beats[-1][0] != sample.beat:
            self._beats.append((sample.beat, sample.beat_at))

    def now(self) -> float:
        """By its clock: seconds since 1970."""
        return asyncio.get_running_loop().time() + self._ahead

    def beat_at(self, beat: int) -> float | None:
        """When it made that beat, if that was seen."""
        return next((at for number, at in reversed(self._beats) if number == beat), None)

    def first_behind(self, beat: int) -> float | None:
        """When it made the first beat behind that one, as far as was seen. None: there is none."""
        found: float | None = None
        for number, at in reversed(self._beats):
            if number <= beat:
                break
            found = at
        return found
