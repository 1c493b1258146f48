"""More than the server can do is turned away at once, reads before writes, so that what is let in is quick."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daicho.core.errors import ConfigurationError, Overloaded
from daicho.http.security.authentication import OPEN

__all__ = ["Admission"]

_READS = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})


class Admission:
    """Counts what is under way, and measures how late the loop is: how long a request waits before anybody looks at it.

    Reads are turned away when `most` * `share_of_reads` requests are under way, or the loop is later than `latest`
    seconds; writes when `most` are, or the loop is later than three times that. A stream counts until it has begun.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        most: int = 1000,
        share_of_reads: float = 0.8,
        latest: float = 0.2,
        lateness: Callable[[], float] | None = None,
    ) -> None:
        """`lateness`: seconds; default: as measured."""
        if most < 1 or not 0 < share_of_reads <= 1 or latest <= 0:
            raise ConfigurationError("admission lets nobody in", do="give limits greater than 0")
        self.app, self._most, self._reads, self._latest = app, most, max(1, int(most * share_of_reads)), latest
        self._lateness = lateness or self._measured
        self._pulse: Pulse | None = None
        self.under_way = 0
        self.refused = {"read": 0, "write": 0}

    def _measured(self) -> float:
        if self._pulse is None:
            self._pulse = Pulse()
        return self._pulse.late()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        kind = "read" if scope["method"] in _READS else "write"
        limit = self._reads if kind == "read" else self._most
        if self.under_way >= limit or self._lateness() > self._latest * (1 if kind == "read" else 3):
            self.refused[kind] += 1
            raise Overloaded(f"too much to do to take another {kind}", retry_after=1)
        counted = True
        self.under_way += 1

        async def begun(message: Message) -> None:
            nonlocal counted
            if counted and message["type"] == "http.response.start" and _is_stream(message):
                counted = False
                self.under_way -= 1
            await send(message)

        try:
            await self.app(scope, receive, begun)
        finally:
            if counted:
                self.under_way -= 1


class Pulse:
    """How late the loop is: a timer that notes how long after its time it came. It beats while somebody asks."""

    EVERY = 0.05
    IDLE = 5.0

    def __init__(self) -> None:
        self._late = 0.0
        self._due: float | None = None
        self._asked = 0.0

    def late(self) -> float:
        """Seconds; also counts a beat that is overdue at this very moment."""
        loop = asyncio.get_running_loop()
        now = self._asked = loop.time()
        if self._due is None:
            self._late = 0.0
            self._next(loop)
            return 0.0
        return max(self._late, now - self._due)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self.EVERY
        loop.call_at(self._due, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._due is not None
        now = loop.time()
        self._late = max(0.0, now - self._due)
        if now - self._asked > self.IDLE:
            self._due = None
        else:
            self._next(loop)


def _is_stream(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"])
