"""Where the client library may wait: a thread, never the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Threads"]

T = TypeVar("T")


class Threads:
    """A few threads that ask the cluster. What is asked has a deadline of its own, and is not given up in the middle:
    closing waits for it."""

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)

    async def run(self, ask: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, ask)

    def close(self) -> None:
        """Takes no more; what is under way ends by itself."""
        self._pool.shutdown(wait=False)
