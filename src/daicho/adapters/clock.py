"""The clock of everyday life."""

import asyncio
import os
import time
from datetime import UTC, datetime

__all__ = ["SystemClock"]


class SystemClock:
    """Wall clock that never goes back within the process, and RFC 9562 version-7 ids that sort by it."""

    def __init__(self) -> None:
        self._last = 0

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
        random = os.urandom(8).hex()
        stamp = f"{millis:012x}"
        fraction = rest * 4096 // 1_000_000
        variant = "89ab"[int(random[0], 16) & 3]
        return f"{stamp[:8]}-{stamp[8:]}-7{fraction:03x}-{variant}{random[1:4]}-{random[4:]}"

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
