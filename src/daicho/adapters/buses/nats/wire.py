"""Connections to the server, one at a time; and the questions that go over them.

A connection that is lost fails everything under way at once and is never mended: whoever comes next gets a new one. So
nothing is sent again behind the back of those who count sequences.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from daicho.adapters.buses.nats.location import Location
from daicho.core.errors import BusClosed, BusRefused, BusUnavailable

__all__ = ["Answer", "Line", "Trouble", "Wire"]

_OLDEST = (2, 9)
_LOST = (OSError, NatsError, asyncio.TimeoutError, TimeoutError)
_KEPT_OUT = ("authorization", "authentication", "permissions", "nkey", "certificate")
_PAUSE = 0.05
"""Seconds between two attempts to connect, doubled up to a second."""


class Trouble(msgspec.Struct, frozen=True):
    """Why the server did not do it."""

    code: int
    err_code: int = 0
    description: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What JetStream answers to a publication and to questions about what there is."""

    error: Trouble | None = None
    seq: int = 0
    duplicate: bool = False
    message: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    state: Mapping[str, Any] | None = None
    streams: Sequence[Mapping[str, Any]] | None = ()


Asked: TypeAlias = asyncio.Future[Answer]

_decoder = msgspec.json.Decoder(Answer)


class Line:
    """One connection, from its beginning to its end."""

    def __init__(self, location: Location) -> None:
        self.client = Client()
        self.lost = asyncio.Event()
        self._location = location
        self._asked: dict[str, Asked] = {}
        self._count = 0
        self._inbox = ""
        self._complaint = ""

    async def connect(self) -> None:
        """Raises BusUnavailable and BusRefused."""
        try:
            await self.client.connect(
                servers=list(self._location.servers),
                error_cb=self._complained,
                disconnected_cb=self._ended,
                closed_cb=self._ended,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=self._location.answer_within,  # type: ignore[arg-type]  # the library takes fractions
                ping_interval=max(1, int(self._location.answer_within / 2)),
                max_outstanding_pings=2,
                skip_subject_validation=True,
                name="daicho",
                **self._login(),
            )
            self._watch()
            self._inbox = self.client.new_inbox()
            await self._subscribe(f"{self._inbox}.*", self._answered)
        except _LOST as error:
            await self.close()
            raise self._failed(error) from error
        try:
            self._check_server()
        except BusRefused:
            await self.close()
            raise

    def _login(self) -> dict[str, Any]:
        location = self._location
        given: dict[str, Any] = {"user": location.user, "password": location.password, "token": location.token}
        if location.servers[0].startswith("tls:"):
            try:
                given["tls"] = ssl.create_default_context(cafile=location.ca)
                if location.cert:
                    given["tls"].load_cert_chain(location.cert, location.key)
            except OSError as error:
                raise BusRefused(f"{location.url} cannot be reached", why=f"a certificate: {error}") from error
        return given

    def _check_server(self) -> None:
        said: Mapping[str, Any] = self.client._server_info  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType]  # the library keeps it to itself
        if not said.get("jetstream"):
            raise BusRefused(
                f"{self._location.url} has no JetStream", why="without it NATS keeps nothing", do="start it with -js"
            )
        if tuple(int(part) for part in self.version.split("-")[0].split(".")[:2]) < _OLDEST:
            raise BusRefused(f"{self._location.url} is NATS {self.version}", why="2.9 is needed", do="use a newer one")

    @property
    def version(self) -> str:
        said: Mapping[str, Any] = self.client._server_info  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType]
        return str(said.get("version", "0.0"))

    @property
    def largest(self) -> int:
        """Bytes of a message, with its headers."""
        return self.client.max_payload

    def _watch(self) -> None:
        """The client tells of its end only if it comes to it; but whatever happens, it reads no more."""

        def ended(reading: asyncio.Task[None]) -> None:
            if not reading.cancelled() and (error := reading.exception()):
                self._complaint = self._complaint or str(error)
            self._end()

        client: Any = self.client
        client._reading_task.add_done_callback(ended)

    async def close(self) -> None:
        with contextlib.suppress(*_LOST):
            await self.client.close()
        self._end()

    async def begin(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> Asked:
        """Sends, and returns what will hold the answer. Raises BusUnavailable."""
        token = str(self._count)
        self._count += 1
        asked: Asked = asyncio.get_running_loop().create_future()
        if self.lost.is_set():
            raise self._failed(None)
        self._asked[token] = asked
        try:
            await self.client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
        except _LOST as error:
            self._asked.pop(token, None)
            await self.close()
            raise self._failed(error) from error
        return asked

    async def answers(self, asked: Sequence[Asked]) -> list[Answer]:
        """In their order. Raises BusUnavailable if one does not come in time; then the connection is of no use."""
        try:
            async with asyncio.timeout(self._location.answer_within):
                return await asyncio.gather(*asked)
        except TimeoutError as error:
            await self.close()
            raise self._failed(error) from error

    async def listen(self, heard: Callable[[Msg], Awaitable[None]]) -> tuple[str, Any]:
        """An address of ours to send to, and what to unsubscribe from. Raises BusUnavailable."""
        inbox = self.client.new_inbox()
        try:
            return inbox, await self._subscribe(inbox, heard)
        except _LOST as error:
            raise self._failed(error) from error

    async def _subscribe(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> Any:
        client: Any = self.client  # whose types are incomplete
        return await client.subscribe(subject, cb=heard)

    async def ask(self, subject: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Of JetStream itself: `STREAM.INFO.name` and the like. Raises BusUnavailable, also if it cannot serve now."""
        payload = b"" if body is None else msgspec.json.encode(body)
        [answer] = await self.answers([await self.begin(f"$JS.API.{subject}", payload)])
        if answer.error and answer.error.code == 503:
            raise BusUnavailable(
                f"{self._location.url} cannot serve now",
                why=answer.error.description or "nobody answers for JetStream: it starts, or elects a leader",
                do="wait, or look at the server's log",
            )
        return answer

    async def _answered(self, message: Msg) -> None:
        asked = self._asked.pop(message.subject.rpartition(".")[2], None)
        if asked is None or asked.done():
            return
        if message.headers and message.headers.get("Status") == "503":
            asked.set_result(Answer(error=Trouble(503, 0, "")))
            return
        try:
            asked.set_result(_decoder.decode(message.data))
        except msgspec.DecodeError as error:
            asked.set_result(Answer(error=Trouble(500, 0, f"an answer that cannot be understood: {error}")))

    async def _complained(self, error: Exception) -> None:
        self._complaint = str(error) or type(error).__name__

    async def _ended(self) -> None:
        self._end()

    def _end(self) -> None:
        self.lost.set()
        client: Any = self.client
        for subscribed in list(client._subs.values()):  # it leaves them behind if it ends in a bad way
            if subscribed._wait_for_msgs_task:
                subscribed._wait_for_msgs_task.cancel()
        if client._transport:
            client._transport.close()
        asked, self._asked = self._asked, {}
        for each in asked.values():
            if not each.done():
                each.set_exception(self._failed(None))
                each.exception()  # whether anybody still waits for it or not

    def _failed(self, error: BaseException | None) -> BusUnavailable | BusRefused:
        why = self._complaint if error is None or not str(error) else str(error)
        url = self._location.url
        if error is not None and any(word in why.lower() for word in _KEPT_OUT):
            return BusRefused(f"{url} does not let us in", why=why, do="check user, password and certificates")
        return BusUnavailable(
            f"{url} does not answer", why=why or "the connection is gone", do="check that the server runs"
        )


class Wire:
    """What a bus and all its subscriptions speak through."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._line: Line | None = None
        self._is_open = False
        self._turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._is_open

    async def open(self) -> Line:
        self._turn = asyncio.Lock()
        self._is_open = True
        return await self.line()

    async def close(self) -> None:
        self._is_open = False
        async with self._turn:
            if self._line:
                await self._line.close()
                self._line = None

    async def line(self) -> Line:
        """A connection that works, as far as is known; a new one if need be. Raises BusUnavailable, after it was tried
        for a while, BusRefused and BusClosed."""
        line = self._line
        if self._is_open and line and not line.lost.is_set():
            return line
        async with self._turn:
            deadline, pause = time.monotonic() + self._location.reconnect_within, _PAUSE
            while True:
                if not self._is_open:
                    raise BusClosed(f"{self._location.url} is not open", do="open the bus first")
                if self._line and not self._line.lost.is_set():
                    return self._line
                line = Line(self._location)
                try:
                    await line.connect()
                except BusUnavailable:
                    if time.monotonic() + pause > deadline:
                        raise
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 1.0)
                else:
                    self._line = line
