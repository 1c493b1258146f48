"""The way to one RabbitMQ: a connection, made again when it is lost, and channels on it."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection

from daicho.adapters.buses.rabbitmq.failures import FAILURES, translated
from daicho.adapters.buses.rabbitmq.location import Location
from daicho.core.errors import BusClosed, BusUnavailable

__all__ = ["Wire", "when_it_ends"]

_AT_ONCE = 8
"""Conversations of many questions."""


def when_it_ends(channel: AbstractChannel, do: Callable[[], None]) -> None:
    """However it ends."""
    untyped: Any = channel

    def ended(_: object) -> None:
        do()

    untyped.closing.add_done_callback(ended)


class Wire:
    """Connects when it is asked and not connected. Does not try again by itself: who asks does."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()
        self._publishing: dict[str, AbstractChannel] = {}
        self.unanswered = Counter[str]()
        """How often a queue has let its questions go unanswered since its last answer."""
        self._under_way = 0
        self._idle = asyncio.Event()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._leaving: set[asyncio.Future[None]] = set()
        self._parting: dict[str, asyncio.Future[None]] = {}
        self._doubting: asyncio.Future[None] | None = None
        self.is_open = False

    async def open(self) -> None:
        """Raises BusUnavailable, BusRefused."""
        self._connecting, self._idle = asyncio.Lock(), asyncio.Event()  # of the loop that it is opened in
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.is_open = True
        try:
            with self.telling():
                await self._connected()
        except BaseException:
            self.is_open = False
            raise

    async def close(self) -> None:
        """When what is under way has ended."""
        self.is_open = False
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        await self._drop()
        for waiting in filter(None, (self._doubting, *self._parting.values())):
            waiting.cancel()
            await asyncio.wait([waiting])
        self._parting.clear()

    @property
    def server(self) -> dict[str, Any]:
        """What the broker says of itself."""
        said: Any = self._connection.server_properties if self._connection else {}
        return dict(said)

    @property
    def connection(self) -> AbstractConnection | None:
        """The one that stands."""
        return None if self._connection is None or self._connection.is_closed else self._connection

    def check(self) -> None:
        if not self.is_open:
            raise BusClosed(f"{self.location.url} is not open", do="open the bus before using it")

    @contextmanager
    def telling(self) -> Generator[None, None, None]:
        """What fails in here is told as a BusError. The library may end a task's wait by cancelling what it waits for:
        whoever was not cancelled himself is told that the broker is gone."""
        self.check()
        try:
            yield
        except FAILURES as error:
            raise translated(error, self.location.url) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise BusUnavailable(
                f"{self.location.url} does not answer", why="the connection was lost", do="check that the broker runs"
            ) from error

    @asynccontextmanager
    async def within(self, seconds: float | None = None) -> AsyncGenerator[None, None]:
        """The same for a few questions, in the time that the broker has for answers, or in so many seconds. If they are
        not enough, the broker is asked whether it is there at all. Closing waits for it."""
        seconds = self.location.answer_within if seconds is None else seconds
        with self.telling():
            self._under_way += 1
            try:
                async with asyncio.timeout(seconds):
                    yield
            except TimeoutError as error:
                self._doubt()
                raise TimeoutError(f"no answer within {seconds:g} s") from error
            finally:
                self._under_way -= 1
                self._idle.set()

    @asynccontextmanager
    async def in_turn(self) -> AsyncGenerator[None, None]:
        """The same for many questions. A few take turns: when a broker comes back, all who heard of it begin anew, and
        each gets its answers in time; all at once, nobody would."""
        async with self._turns, self.within():
            yield

    async def channel(self) -> AbstractChannel:
        """A new one, with publisher confirms, for one use; the caller closes it with `leave`."""
        connection = await self._connected()
        return await connection.channel(publisher_confirms=True, on_return_raises=True)

    @asynccontextmanager
    async def publishing(self, name: str) -> AsyncGenerator[AbstractChannel, None]:
        """The one that this name publishes on. It ends with its first failure, or if a confirmation is not waited for;
        then there is a new one, as soon as the broker is done with the old."""
        await self.parted(name)
        channel = self._publishing.get(name)
        if channel is None or channel.is_closed:
            channel = self._publishing[name] = await self.channel()
        try:
            yield channel
        except BaseException:
            if self._publishing.get(name) is channel:
                del self._publishing[name]
                self._parting[name] = asyncio.ensure_future(self._part(channel))
            raise

    async def parted(self, name: str) -> None:
        """The broker has dealt with all that was published under this name, or it is not spoken to any more: only then
        its tail can be told, and something else follows."""
        if (parting := self._parting.get(name)) is not None:
            await asyncio.wait([parting])
            if self._parting.get(name) is parting:
                del self._parting[name]

    async def _part(self, channel: AbstractChannel) -> None:
        """It answers to the end of a channel when it has dealt with what came before."""
        connection, began = self._connection, time.monotonic()
        untyped: Any = connection
        await self._begin_to_leave(channel)
        the_library_waits = 0.95 * (untyped.connection_tune.heartbeat or float("inf")) if connection else 0.0
        if time.monotonic() - began >= the_library_waits and self._connection is connection:
            await self._drop()

    @asynccontextmanager
    async def briefly(self) -> AsyncGenerator[AbstractChannel, None]:
        channel = await self.channel()
        try:
            yield channel
        finally:
            await self.leave(channel)

    async def leave(self, channel: AbstractChannel) -> None:
        """Closes it, whatever state it is in. Whoever does not wait for the end leaves it to itself: the library would
        close it once more, and for that the broker ends the whole connection."""
        if not channel.is_closed:
            await asyncio.wait([self._begin_to_leave(channel)], timeout=self.location.answer_within)

    def _doubt(self) -> None:
        """One question had no answer in time. A broker that answers another is slow, and those that talk to it go on;
        from one that does not, all part."""
        if self._doubting is None or self._doubting.done():
            self._doubting = asyncio.ensure_future(self._ask_for_life())

    async def _ask_for_life(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closed:
            return
        try:
            async with asyncio.timeout(self.location.answer_within):
                channel = await connection.channel()
            await self.leave(channel)
        except FAILURES:
            if self._connection is connection:
                await self._drop()

    def _begin_to_leave(self, channel: AbstractChannel) -> asyncio.Future[None]:
        closing = asyncio.ensure_future(channel.close())
        self._leaving.add(closing)
        closing.add_done_callback(self._left)
        return closing

    def _left(self, closing: asyncio.Future[None]) -> None:
        self._leaving.discard(closing)
        if not closing.cancelled():
            closing.exception()

    async def _connected(self) -> AbstractConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed:
                self._publishing.clear()
                connecting = aiormq.connect(self.location.address)
                async with asyncio.timeout(self.location.answer_within):
                    self._connection = await connecting
            return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._publishing.clear()
        if connection is not None and not connection.is_closed:
            with contextlib.suppress(*FAILURES):
                async with asyncio.timeout(min(1.0, self.location.answer_within)):
                    await connection.close()
