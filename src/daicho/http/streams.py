"""Server-Sent Events (WHATWG HTML, section 9.2): a response that goes on until one of the two sides ends it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakSet

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daicho.core.errors import DaichoError, NotRunning
from daicho.http.problems import document, encode, nameless_document, status_of
from daicho.http.settings import HttpSettings

__all__ = ["MEDIA_TYPE", "EventStream", "Item", "Streams"]

MEDIA_TYPE = "text/event-stream"
_log = logging.getLogger("daicho.http")


@dataclass(frozen=True)
class Item:
    """One message of a stream. `data` is one line."""

    data: bytes
    id: int | None = None
    event: str = ""

    def __bytes__(self) -> bytes:
        id_ = b"" if self.id is None else b"id: %d\n" % self.id
        event = b"event: %s\n" % self.event.encode() if self.event else b""
        return id_ + event + b"data: " + self.data + b"\n\n"


class Streams:
    """All streams of one application. Whoever shuts a server down closes them first: clients come back by themselves,
    and go on where they were."""

    def __init__(self) -> None:
        self._closing: WeakSet[asyncio.Event] = WeakSet()
        self.are_closed = False

    def close(self) -> None:
        """Ends them, and each one that is begun later, after its first message. Only within the event loop."""
        self.are_closed = True
        for closing in self._closing:
            closing.set()

    def open(self) -> asyncio.Event:
        """Set when the stream that it belongs to is to end."""
        closing = asyncio.Event()
        if self.are_closed:
            closing.set()
        self._closing.add(closing)
        return closing

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._closing)


class EventStream(Response):
    """Sends items as they come. A comment is sent when there was none for a while. A client that does not read is cut
    off, and what it missed is kept nowhere: it comes back with the id of the last item that it has seen."""

    def __init__(
        self,
        items: AsyncIterator[Item],
        streams: Streams,
        settings: HttpSettings,
        headers: Mapping[str, str] | None = None,
        first: Item | None = None,
    ) -> None:
        self.status_code, self.background = 200, None
        self.media_type = MEDIA_TYPE
        self.body = b""
        self.items, self.streams, self.settings, self.first = items, streams, settings, first
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        closing: asyncio.Future[Any] = asyncio.ensure_future(self.streams.open().wait())
        gone: asyncio.Future[Any] = asyncio.ensure_future(_gone(receive))
        try:
            await self._all(send, closing, gone)
        except TimeoutError:
            _log.warning(
                "%s: a client did not read for %g s and is cut off", scope["path"], self.settings.slowest_reader
            )
        finally:
            closing.cancel()
            gone.cancel()
            await asyncio.wait([closing, gone])
            await _close(self.items)

    async def _all(self, send: Send, closing: "asyncio.Future[Any]", gone: "asyncio.Future[Any]") -> None:
        await self._part(send, b"retry: 1000\n\n" + (bytes(self.first) if self.first else b""))
        coming: asyncio.Future[Any] = asyncio.ensure_future(anext(self.items, None))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {coming, closing, gone}, timeout=self.settings.heartbeat, return_when=asyncio.FIRST_COMPLETED
                )
                if gone in done:
                    return
                if coming in done:
                    item = self._next(coming)
                    if item is None:
                        break
                    await self._part(send, bytes(item))
                    if item.event == "problem":
                        break
                    coming = asyncio.ensure_future(anext(self.items, None))
                elif closing in done:
                    break
                else:
                    await self._part(send, b":\n\n")
        finally:
            coming.cancel()
            await asyncio.wait([coming])
            if not coming.cancelled():
                coming.exception()  # told already, or of no interest to anybody any more
        await self._part(send, b"", more=False)

    async def _part(self, send: Send, body: bytes, *, more: bool = True) -> None:
        """Raises TimeoutError if the client does not take it."""
        async with asyncio.timeout(self.settings.slowest_reader):
            await send({"type": "http.response.body", "body": body, "more_body": more})

    def _next(self, coming: "asyncio.Future[Any]") -> Item | None:
        """What raised is told as the last item; None at the end."""
        try:
            return cast("Item | None", coming.result())
        except NotRunning:
            return None
        except DaichoError as error:
            return Item(encode(document(error, status_of(type(error)), self.settings)), event="problem")
        except Exception:  # noqa: BLE001 - the user's code: told here and to the client, as far as it may know
            _log.exception("a stream failed")
            return Item(encode(nameless_document(500)), event="problem")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _close(items: AsyncIterator[Item]) -> None:
    """Ends the generator, if it is one."""
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()
