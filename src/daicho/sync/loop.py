"""An event loop in a thread of its own, for code that has none."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from daicho.core.errors import NotRunning

__all__ = ["Loop"]

T = TypeVar("T")
_AT_ONCE = 500


class Loop:
    """Carries out what any number of threads hand in, while each waits for its own. Errors are those of an App."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._door = threading.Lock()

    @property
    def is_running(self) -> bool:
        return self._loop is not None

    def start(self) -> None:
        """Raises NotRunning if it was started already."""
        if self._loop is not None:
            raise NotRunning("this App is running already", do="enter it once")
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(loop,), name="daicho-sync", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ends what is still under way."""
        with self._door:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_wind_up(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises NotRunning, and what the work raises."""
        with self._door:  # whatever gets in is carried out, or told that it was not
            if self._loop is None:
                work.close()
                raise NotRunning("this App is not running", do="use it inside `with app.sync() as shop:`")
            if threading.current_thread() is self._thread:
                work.close()
                raise NotRunning("called from inside the App's own loop", do="use the async App there")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise NotRunning("the App was left meanwhile", do="leave it when all threads have come home") from None

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """One by one, as they come."""

        async def following() -> T | None:
            return await anext(items, None)

        while (item := self.run(following())) is not None:
            yield item

    def batched(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Many at once, of what is there already: a step from thread to thread takes longer than most items."""

        async def some() -> list[T]:
            found: list[T] = []
            async for item in items:
                found.append(item)
                if len(found) == _AT_ONCE:
                    break
            return found

        while batch := self.run(some()):
            yield from batch


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


async def _wind_up() -> None:
    """What is still under way ends here, and the helpers of the loop with it."""
    loop = asyncio.get_running_loop()
    if rest := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in rest:
            task.cancel()
        await asyncio.wait(rest)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
