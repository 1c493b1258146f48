"""Where answers are kept near those who ask."""

from collections.abc import Collection
from typing import Protocol

__all__ = ["EdgeCache"]


class EdgeCache(Protocol):
    async def purge(self, keys: Collection[str]) -> None:
        """Answers that carry any of these surrogate keys are not shown any more as fresh. Keys hold no blanks.

        Purging again is harmless. Raises EdgeUnavailable if the cache did not take all of them.
        """
        ...

    async def close(self) -> None: ...
