"""The clock of everyday life."""

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

__all__ = ["SystemClock"]


_DRAWN = 256
"""How many ids' random numbers are asked of the system at once: asking takes longer than making the id."""


class SystemClock:
    """Wall clock that never goes back within the process, and RFC 9562 version-7 ids that sort by it."""

    def __init__(self) -> None:
        self._last = 0
        self._drawn: Iterator[str] = iter(())
        self._drawn_by = 0

    def now(self) -> datetime:
        micros = time.time_ns() // 1000
        if micros < self._last:
            micros = self._last
        self._last = micros
        return datetime.fromtimestamp(micros / 1e6, UTC)

    def new_id(self) -> str:
        # 48 bits of milliseconds, 12 bits of the fraction of a millisecond (RFC 9562 section 6.2, method 3), 62 random
        nanos = time.time_ns()
        millis, rest = divmod(nanos, 1_000_000)
        stamp = f"{millis << 12 | rest * 4096 // 1_000_000:015x}"
        return f"{stamp[:8]}-{stamp[8:12]}-7{stamp[12:]}-{self._random()}"

    def _random(self) -> str:
        """The last two groups. What was drawn before a fork is not used behind it, where both would use it; and an
        iterator gives each once, whatever the threads do."""
        pid = os.getpid()
        drawn = next(self._drawn, None) if pid == self._drawn_by else None
        if drawn is None:
            digits = os.urandom(8 * _DRAWN).hex()
            numbers = [digits[n : n + 16] for n in range(0, 16 * _DRAWN, 16)]
            self._drawn = iter([f"{'89ab'[int(n[0], 16) & 3]}{n[1:4]}-{n[4:]}" for n in numbers])
            self._drawn_by = pid
            drawn = next(self._drawn)
        return drawn

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
