"""Waiting for the head to move, whichever process moves it.

Appends of this process tell at once. Commits of other processes are noticed through `PRAGMA data_version`
(https://sqlite.org/pragma.html#pragma_data_version), asked for by one timer in each event loop that waits, and only
while it does.
"""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from daicho.adapters.stores.sqlite.breath import breathe
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.queries import statement
from daicho.core.errors import StoreClosed, StoreError

__all__ = ["Watches"]

_BUSY, _IDLE, _SLOWER = 0.002, 0.02, 1.3
_HEAD = statement("head")


def _running_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Watch:
    """The waiters of one event loop. Lives in that loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, look: Callable[[], tuple[int, int]]) -> None:
        self.loop = loop
        self.waiting: dict[asyncio.Future[int], int] = {}
        self._look = look
        self._pause, self._seen = _BUSY, -1
        self._timer: asyncio.TimerHandle | None = None

    def add(self, after: int) -> "asyncio.Future[int]":
        future: asyncio.Future[int] = self.loop.create_future()
        self.waiting[future] = after
        self._pause = _BUSY
        if self._timer is None:
            self._timer = self.loop.call_later(self._pause, self._poll)
        return future

    def remove(self, future: "asyncio.Future[int]") -> None:
        self.waiting.pop(future, None)  # the timer stops by itself, or serves whoever waits next

    def tell(self, head: int) -> None:
        self._pause = _BUSY
        for future, after in self.waiting.items():
            if head > after and not future.done():
                future.set_result(head)

    def fail(self, error: StoreError) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_exception(error)

    def _poll(self) -> None:
        self._timer = None
        if not self.waiting:
            return
        try:
            version, head = self._look()
        except StoreError as error:
            self.fail(error)
            return
        if version != self._seen:
            self._seen = version
            self.tell(head)
        else:
            self._pause = min(self._pause * _SLOWER, _IDLE)
        self._timer = self.loop.call_later(self._pause, self._poll)


class Watches:
    """All waiters of the store."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection, self._path = connection, path
        self._lock = threading.Lock()
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        self._version: int = -1
        self.seen: int = connection.execute(_HEAD)[0][0] or 0
        """The greatest position that this process knows of."""
        self._closed = False

    def head(self) -> int:
        """Greatest position now."""
        with self._lock:
            self._check_open()
            return self._connection.execute(_HEAD)[0][0] or 0

    async def wait(self, after: int) -> int:
        """May be cancelled at any moment."""
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            for gone in [other for other in list(self._watches) if other.is_closed()]:
                self._watches.pop(gone, None)
            watch = self._watches.setdefault(loop, _Watch(loop, self._look))
        future = watch.add(after)
        try:
            # Only now that an append would tell us: one that came before is seen here, another process's by the timer.
            with self._lock:
                self._check_open()
            if self.seen <= after:
                return await future
            await breathe()
            return self.seen
        finally:
            watch.remove(future)
            future.cancel()

    def moved(self, head: int) -> None:
        """Called by the writer after a commit, in whatever thread it runs."""
        self.seen = head
        for loop, watch in list(self._watches.items()):
            if watch.waiting:
                self._call(loop, partial(watch.tell, head))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._connection.close()
        error = StoreClosed(f"{self._path} was closed", do="wait for events between `open()` and `close()`")
        for loop, watch in list(self._watches.items()):
            self._call(loop, partial(watch.fail, error))

    def _call(self, loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
        try:
            if _running_here() is loop:
                loop.call_soon(what)  # no need to wake a selector that is not asleep
            else:
                loop.call_soon_threadsafe(what)
        except RuntimeError:  # that loop is gone, and who waited in it
            self._watches.pop(loop, None)

    def _look(self) -> tuple[int, int]:
        """The data version, and the head at that time or later."""
        with self._lock:
            self._check_open()
            [(version,)] = self._connection.execute("pragma data_version")
            if version != self._version:
                self._version, self.seen = version, self._connection.execute(_HEAD)[0][0] or 0
            return version, self.seen

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self._path} is closed", do="use the store between `open()` and `close()`")
