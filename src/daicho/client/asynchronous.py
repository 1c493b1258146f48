"""The client."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from daicho.client.wire import (
    EVENTS,
    JSON,
    RETRIED,
    Outcome,
    Request,
    accepted,
    answer_to,
    asking,
    decoded,
    failure,
    receipt_of,
    sending,
)
from daicho.core.conditions import Expected
from daicho.core.errors import NoSuchResource, ServerFailed, ServerUnreachable
from daicho.core.messages import Command, Event, Query, Receipt

__all__ = ["Client"]

R = TypeVar("R")
_LONGEST_PAUSE = 5.0


class Client:
    """`async with Client("https://shop.example", token="...") as shop:`, and then as with an App.

    A request that finds nobody, or a server that has too much to do, is tried again, at most `tries` times. A command
    carries the same idempotency key each time, so it counts once, however often it is sent. After a command, this
    client's questions wait for answers that have seen it (`read_own_writes`).
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        events: Sequence[type[Event]] = (),
        tries: int = 5,
        timeout: float = 30.0,
        read_own_writes: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """
        token      API key or JSON Web Token
        events     classes of the events that receipts are to hold; others come as they are told
        transport  how requests travel, e.g. to an ASGI application in the same process
        """
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, transport=transport, trust_env=False, follow_redirects=False
        )
        self._events = {event.__message_name__: event for event in events}
        self._tries, self._reads_own = tries, read_own_writes
        self.position = 0
        """Of the last command of this client."""

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, command: Command, *, key: str | None = None, expected: Expected | None = None) -> Receipt:
        """Handles a command there and returns when its events are durable.

        Raises what `app.send` raises there, as the same classes: Rejected, InvalidMessage, ConcurrencyError,
        NotAuthorised...; and NotAuthenticated, TooManyRequests, ServerUnreachable, ServerFailed.
        """
        answer = await self._asked(sending(command, key or str(uuid4()), expected, later=False))
        receipt = receipt_of(answer.content, answer.headers, self._events)
        self.position = max(self.position, receipt.position)
        return receipt

    async def post(self, command: Command, *, key: str | None = None, expected: int | None = None) -> str:
        """The command is durable there; returns its id."""
        answer = await self._asked(sending(command, key or str(uuid4()), expected, later=True))
        return accepted(answer.content)

    async def status(self, command_id: str) -> Outcome | None:
        """What became of a posted command; None if it is not known."""
        try:
            answer = await self._asked(Request("GET", f"/status/{command_id}", {"Accept": JSON}, b""))
        except NoSuchResource:
            return None
        found: Outcome = decoded(answer.content, Outcome)
        return found

    async def ask(self, query: Query[R], *, after: Receipt | int | None = None, within: float = 5.0) -> R:
        """Answers a query, from views that have seen `after`: a receipt, a position, or, without it, what this client
        wrote itself. Raises StaleAnswer if that takes longer than `within` seconds."""
        answer = await self._asked(asking(query, self._seen(after), within), again_when_stale=False)
        return answer_to(query, answer.content)

    def _seen(self, after: Receipt | int | None) -> int:
        if after is None:
            return self.position if self._reads_own else 0
        return after.position if isinstance(after, Receipt) else after

    async def watch(self, query: Query[R], *, after: Receipt | int | None = None) -> AsyncGenerator[R]:
        """The answer, and each one that differs, without end. A connection that breaks is made again, and goes on from
        the last answer; only when nobody answers `tries` times in a row is ServerUnreachable raised."""
        seen: str | None = None
        failures = 0
        while True:
            try:
                async for seen_, data in self._stream(asking(query, self._seen(after), 30, live=True, seen=seen)):
                    seen, failures = seen_ or seen, 0
                    yield answer_to(query, data)
            except (httpx.TransportError, _Again) as error:
                failures += 1
                if failures >= self._tries:
                    raise _unreachable(error) from error
                await self._pause(failures, error.seconds if isinstance(error, _Again) else None)

    async def _stream(self, request: Request) -> AsyncIterator[tuple[str | None, bytes]]:
        timeout = httpx.Timeout(self._http.timeout.connect, read=60.0)
        async with self._http.stream(
            request.method, request.path, headers=dict(request.headers), content=request.body, timeout=timeout
        ) as answer:
            if answer.status_code != 200:
                _check(answer.status_code, await answer.aread(), answer.headers)
            if not answer.headers.get("content-type", "").startswith(EVENTS):
                raise ServerFailed("the answer is no stream of events", do="see what is between client and server")
            seen, data = None, list[str]()
            async for line in answer.aiter_lines():
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line and data:
                    yield seen, "\n".join(data).encode()
                    data = []
                elif name == "data":
                    data.append(value)
                elif name == "id":
                    seen = value

    async def _asked(self, request: Request, *, again_when_stale: bool = True) -> httpx.Response:
        failures = 0
        while True:
            try:
                answer = await self._http.request(
                    request.method, request.path, headers=dict(request.headers), content=request.body
                )
                if not answer.is_success:
                    _check(answer.status_code, answer.content, answer.headers, again_when_stale=again_when_stale)
                return answer
            except httpx.TransportError as error:
                failures += 1
                if failures >= self._tries:
                    raise _unreachable(error) from error
                await self._pause(failures, None)
            except _Again as again:
                failures += 1
                if failures >= self._tries:
                    raise again.error from None
                await self._pause(failures, again.seconds)

    @staticmethod
    async def _pause(failures: int, seconds: float | None) -> None:
        longest = min(_LONGEST_PAUSE, 0.05 * 2**failures)
        await asyncio.sleep(random.uniform(0.5, 1) * longest if seconds is None else min(seconds, _LONGEST_PAUSE))  # noqa: S311


class _Again(Exception):
    """The server asks to be asked again."""

    def __init__(self, error: Exception, seconds: float | None) -> None:
        self.error, self.seconds = error, seconds


def _check(status: int, body: bytes, headers: Mapping[str, str], *, again_when_stale: bool = True) -> None:
    """Raises what the answer stands for."""
    text = headers.get("retry-after", "")
    seconds = float(text) if text.isdecimal() else None
    error: Any = failure(status, body, seconds)
    if status in RETRIED and (again_when_stale or error.code not in ("D301", "D304")):
        raise _Again(error, seconds)
    raise error


def _unreachable(error: Exception) -> Exception:
    if isinstance(error, _Again):
        return error.error
    return ServerUnreachable(
        "the server does not answer", why=f"{type(error).__name__}: {error}", do="look at the server and the way to it"
    )
