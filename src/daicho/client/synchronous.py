"""The client for synchronous code: the same calls, carried out by an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar

from daicho.client.asynchronous import Client
from daicho.client.wire import Outcome
from daicho.core.conditions import Expected
from daicho.core.messages import Command, Query, Receipt

__all__ = ["SyncClient"]

R = TypeVar("R")
T = TypeVar("T")


class SyncClient:
    """`with SyncClient("https://shop.example", token="...") as shop:`. May be called from any number of threads."""

    def __init__(self, url: str, **options: Any) -> None:
        """Options are those of Client."""
        self._client = Client(url, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="daicho-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> "SyncClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def send(self, command: Command, *, key: str | None = None, expected: Expected | None = None) -> Receipt:
        """See Client.send."""
        return self._run(self._client.send(command, key=key, expected=expected))

    def post(self, command: Command, *, key: str | None = None, expected: int | None = None) -> str:
        """See Client.post."""
        return self._run(self._client.post(command, key=key, expected=expected))

    def status(self, command_id: str) -> Outcome | None:
        """See Client.status."""
        return self._run(self._client.status(command_id))

    def ask(self, query: Query[R], *, after: Receipt | int | None = None, within: float = 5.0) -> R:
        """See Client.ask."""
        return self._run(self._client.ask(query, after=after, within=within))

    def watch(self, query: Query[R], *, after: Receipt | int | None = None) -> Iterator[R]:
        """See Client.watch. Ends when it is closed."""
        answers = self._client.watch(query, after=after)
        try:
            while True:
                yield self._run(_next(answers))
        finally:
            self._run(answers.aclose())


async def _next(answers: Any) -> Any:
    return await anext(answers)
