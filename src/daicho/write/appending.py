"""Group commit: whatever was decided while the last commit was on its way to the disk goes into the next one."""

import asyncio
from collections import deque

from daicho.core.errors import NotRunning
from daicho.ports.event_store import Appended, AppendRequest, EventStore

__all__ = ["Appender"]

_MOST_REQUESTS = 512
_MOST_EVENTS = 2000


class Appender:
    """Hands requests to the store in the order they came, as many at a time as are waiting.

    There is no delay timer: the commit in flight is the timer. A request's future holds what became of it.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiting: deque[tuple[AppendRequest, asyncio.Future[Appended]]] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, request: AppendRequest) -> asyncio.Future[Appended]:
        """Queues the request. Requests of one event loop are executed in the order of their submission."""
        if self._closed:
            raise NotRunning("the App is closing and takes no more commands", do="send before leaving `async with`")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        self._waiting.append((request, future))
        if self._drain is None:
            self._drain = loop.create_task(self._run(), name="daicho-appender")
        return future

    async def close(self) -> None:
        """Finishes what was submitted."""
        self._closed = True
        while (drain := self._drain) is not None:
            await asyncio.wait([drain])
            if self._drain is drain:
                return  # cancelled before it had begun

    async def _run(self) -> None:
        try:
            while self._waiting:
                group = self._take()
                try:
                    results = await self._store.append([request for request, _ in group])
                except Exception as error:  # noqa: BLE001 - handed on to every caller of the group
                    results = [error] * len(group)
                for (_, future), result in zip(group, results, strict=True):
                    if future.done():
                        continue  # its caller was cancelled: the outcome stands, nobody waits for it
                    if isinstance(result, Exception):
                        future.set_exception(result)
                        future.exception()  # mark as seen: a pipelined caller may have gone
                    else:
                        future.set_result(result)
        finally:
            self._drain = None

    def _take(self) -> list[tuple[AppendRequest, asyncio.Future[Appended]]]:
        group: list[tuple[AppendRequest, asyncio.Future[Appended]]] = []
        events = 0
        while self._waiting and len(group) < _MOST_REQUESTS and events < _MOST_EVENTS:
            item = self._waiting.popleft()
            events += sum(len(write.events) for write in item[0].writes)
            group.append(item)
        return group
