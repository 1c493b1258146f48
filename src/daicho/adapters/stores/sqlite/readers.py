"""Reading connections: a few, opened when needed, each used by one reader at a time."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

from daicho.adapters.stores.sqlite.driver import Connection

__all__ = ["Look", "Readers"]

T = TypeVar("T")
Look: TypeAlias = Callable[[Connection], T]

_KEPT = 4


class Readers:
    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: deque[Connection] = deque([connect()])
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="daicho-sqlite-reader")
        self._closed = False

    def here(self, look: Look[T]) -> T:
        """Reads in the calling thread: for what is known to be little."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            return look(connection)
        finally:
            if self._closed or len(self._idle) >= _KEPT:
                connection.close()
            else:
                self._idle.append(connection)

    async def aside(self, look: Look[T]) -> T:
        """Reads in a thread of its own, so that the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.here, look)

    def close(self) -> None:
        """Blocks until the reads under way are done."""
        self._closed = True
        self._threads.shutdown(wait=True)
        while self._idle:
            self._idle.pop().close()
