"""The end in good order: streams are ended, so that those who read them go on elsewhere; requests are not."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Draining", "StreamsEnd"]


class Draining:
    """Whether the process is to end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        return self._event.is_set()

    def begin(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


class StreamsEnd:
    """Ends event streams when draining begins. A client goes on from the last event that it has seen."""

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self.app, self._draining = app, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        work: asyncio.Task[Any] | None = None
        watch: asyncio.Task[None] | None = None

        async def told(message: Message) -> None:
            nonlocal watch
            if message["type"] == "http.response.start" and _is_stream(message):
                watch = asyncio.create_task(self._end(work), name="daicho-stream-end")
            await send(message)

        if not _may_stream(scope):
            await self.app(scope, receive, send)
            return
        work = asyncio.create_task(self.app(scope, receive, told), name="daicho-stream")  # type: ignore[arg-type]  # an ASGI app is a coroutine function
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
                raise
            if not self._draining.has_begun:
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if watch is not None:
                watch.cancel()

    async def _end(self, work: asyncio.Task[Any] | None) -> None:
        await self._draining.wait()
        if work is not None:
            work.cancel()


def _may_stream(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"])


def _is_stream(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"])
