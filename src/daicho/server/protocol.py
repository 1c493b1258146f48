"""The HTTP/1.1 connection, with a deadline for headers: who sends them byte by byte does not hold one for long."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from daicho.server.draining import Draining

__all__ = ["DRAINING", "HEADERS_WITHIN", "Connection"]

DRAINING = "daicho.draining"
HEADERS_WITHIN = "daicho.headers_within"
"""Where the application puts them in the lifespan's state."""
_BODY = b'{"type":"about:blank","title":"Request Timeout","status":408}'
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Connection(HttpToolsProtocol):
    """uvicorn's own, with two things more: a timer from the first byte of a request, or the opening of the connection,
    to the end of the headers; and word to the application that the server is to end."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._expect_headers()

    def on_headers_complete(self) -> None:
        self._rest()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        draining = cast("Draining | None", self.app_state.get(DRAINING))
        if draining is not None:
            draining.begin()
        super().shutdown()

    def _expect_headers(self) -> None:
        self._timer = self.loop.call_later(self.app_state.get(HEADERS_WITHIN, 10.0), self._too_slow)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self.transport.close()
