"""Connections: opened when needed, opened again when lost, lent to one user at a time."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format, TransactionStatus

from daicho.adapters.stores.postgres.failures import is_lost, translated
from daicho.adapters.stores.postgres.location import Location
from daicho.adapters.stores.postgres.prompt import Connection, Prompt, Rows, Told
from daicho.adapters.stores.postgres.seat import Seat
from daicho.core.errors import StaleServer, StoreBusy, StoreClosed, StoreReadOnly, StoreUnavailable

__all__ = ["SETTINGS", "Connection", "Line", "Lines", "Losses", "Rows", "Told", "raw_json"]

# Without bitmap scans, what is read in the order of an index is not sorted anew: before the first ANALYZE the planner
# takes a page of the log for a handful of rows, gathers all that lie behind it, and sorts them for each page.
SETTINGS = """select
set_config('default_transaction_isolation', 'read committed', false),
set_config('idle_in_transaction_session_timeout', '10s', false),
set_config('lock_timeout', '10s', false),
set_config('timezone', 'UTC', false),
set_config('jit', 'off', false),
set_config('enable_bitmapscan', 'off', false),
set_config('client_min_messages', 'warning', false)"""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_LOSSES = 3
_OID_BYTEA = 17

log = logging.getLogger("daicho.postgres")


def raw_json(adapters: AdaptersMap) -> None:
    """JSON is ours to decode: it comes as bytes, by the driver's C code."""
    as_bytes = adapters.get_loader(_OID_BYTEA, Format.BINARY)
    assert as_bytes is not None
    adapters.register_loader("json", as_bytes)


class Losses:
    """Of the connections that one statement lost. A server that goes away and comes back costs one or two; if each new
    one breaks in its turn, it is the statement: it is too slow for whoever cuts the wire, or the server dies of it."""

    def __init__(self, within: float) -> None:
        """`within`: seconds from the first loss on, in which it is tried again."""
        self._within, self._count, self._deadline = within, 0, 0.0

    def too_many(self) -> bool:
        """Counts one."""
        self._count += 1
        if self._count == 1:
            self._deadline = time.monotonic() + self._within
        return self._count >= _LOSSES and time.monotonic() > self._deadline


class Line:
    """One connection. Not for two users at once."""

    def __init__(self, location: Location, *, prepare: bool, seat: Seat | None = None) -> None:
        """`seat`: looks at each new connection. None before there are tables."""
        self._location, self._prepare, self._seat = location, prepare, seat
        self._connection: Connection | None = None
        self._prompt: Prompt | None = None
        self._epoch = -1
        """Of the server, when the connection was made."""
        self.greeting: Sequence[bytes] = ()
        """What to execute on every new connection."""
        self.heard: Callable[[], None] | None = None
        """Called when another process has notified a channel that a greeting listens to."""
        self._barred: StoreUnavailable | None = None

    async def ready(self) -> Connection:
        """The connection, in working order, for use by the driver alone. Raises StoreUnavailable."""
        prompt = await self._ready()
        prompt.pause()
        return prompt.connection

    async def seated(self) -> None:
        """Connected, so that the seat knows the server to which the next statement goes. Raises StoreUnavailable."""
        await self._ready()

    def bar(self, error: StoreUnavailable) -> None:
        """Whoever waits for an answer of it, or asks from now on, gets the error at once."""
        self._barred = error
        if self._prompt is not None:
            self._prompt.give_up()

    async def _ready(self) -> Prompt:
        """Raises StoreUnavailable after `reconnect_within` seconds of trying."""
        if self._barred is not None:
            raise self._barred
        connection, prompt = self._connection, self._prompt
        if connection is not None and prompt is not None:
            if prompt.idle and self._is_seated:
                return prompt
            await self.hang_up()  # somebody was cancelled in the middle of it, or the server was replaced
        if self._seat is not None and self._epoch >= 0:
            await self._seat.glance()
        deadline, pause = time.monotonic() + self._location.reconnect_within, _SHORTEST_PAUSE
        while True:
            try:
                async with asyncio.timeout(max(1.0, deadline - time.monotonic())):
                    connection = await self.connect()
                self._connection = connection
                self._prompt = prompt = Prompt(connection, prepare=self._prepare, heard=self.heard)
                return prompt
            except TimeoutError as error:
                raise StoreUnavailable(
                    f"{self._location.url} does not answer",
                    why=f"no connection came about within {self._location.reconnect_within:g} s",
                    do="check that the server runs and can be reached",
                ) from error
            except psycopg.Error as error:
                late = time.monotonic() + pause > deadline
                if late or not (is_lost(error) or isinstance(translated(error, ""), StoreUnavailable)):
                    raise translated(error, self._location.url) from error
                if self._seat is not None:
                    await self._seat.glance()
                level = logging.DEBUG if pause > _SHORTEST_PAUSE else logging.WARNING  # once is enough
                log.log(level, "%s: %s; trying again", self._location.url, str(error).strip())
            except (StaleServer, StoreReadOnly):
                if self._seat is None or time.monotonic() + pause > deadline:
                    raise  # nobody was promoted meanwhile
                self._seat.turn()
            await asyncio.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def connect(self) -> Connection:
        """A new connection, set up for our use. Raises what the driver raises."""
        conninfo = self._location.conninfo if self._seat is None else self._seat.conninfo
        connection: Connection = await AsyncConnection.connect(
            conninfo, autocommit=True, prepare_threshold=0 if self._prepare else None
        )
        try:
            if self._seat is not None:
                self._epoch = await self._seat.check(connection)
            raw_json(connection.adapters)
            if self._prepare:
                await connection.execute(SETTINGS)
                for statement in self.greeting:
                    await connection.execute(statement)
        except BaseException:  # whoever waited may have been cancelled
            await connection.close()
            raise
        return connection

    async def rows(self, text: str, values: Sequence[Any] = (), types: Sequence[int] | None = None) -> Rows:
        """Executes one statement by itself; with `types`, the values are in PostgreSQL's binary format already. Raises
        the driver's errors."""
        if types is not None:
            return (await (await self._ready()).ask(text, values, tuple(types)))[0]
        return (await self.execute(text, values))[0]

    def begin(self, text: str, values: Sequence[Any], told: Told) -> bool:
        """Sends a statement at once, if the line is ready and the server knows it: see `Prompt.begin`."""
        prompt = self._prompt
        return prompt is not None and prompt.idle and self._is_seated and prompt.begin(text, values, told)

    async def execute(self, text: str, values: Sequence[Any] = ()) -> tuple[Rows, int]:
        """The rows, and how many rows were touched."""
        try:
            return await (await self._ready()).execute(text, values)
        except psycopg.OperationalError:
            if self._barred is not None:
                raise self._barred from None
            raise

    @property
    def _is_seated(self) -> bool:
        """Whether the server at the other end has not been replaced, as far as is known."""
        return self._seat is None or self._epoch == self._seat.epoch

    @property
    def is_tidy(self) -> bool:
        """Whether nothing was left under way or open."""
        connection = self._connection
        return connection is None or connection.pgconn.transaction_status == TransactionStatus.IDLE

    async def hang_up(self) -> None:
        connection, self._connection = self._connection, None
        prompt, self._prompt = self._prompt, None
        if prompt is not None:
            prompt.close()
        if connection is not None:
            with suppress(Exception):
                await connection.close()


class Lines:
    """A few lines, lent one at a time; opened only as far as they are needed at once."""

    def __init__(
        self, location: Location, *, prepare: bool, seat: Seat | None = None, greeting: Sequence[bytes] = ()
    ) -> None:
        self._location, self._prepare, self._seat, self._greeting = location, prepare, seat, greeting
        self._idle: list[Line] = []
        self._lent: set[Line] = set()
        self._free = asyncio.Semaphore(location.pool)
        self._closed = False
        self._barred: StoreUnavailable | None = None

    async def take(self) -> Line:
        """A line for the caller alone, until it is given back."""
        if self._free.locked():
            try:
                async with asyncio.timeout(30):
                    await self._free.acquire()
            except TimeoutError:
                raise StoreBusy(
                    "all connections were in use for 30 s",
                    why=f"this process may use {self._location.pool} at once",
                    do="raise ?pool=, or ask less at a time",
                ) from None
        else:
            await self._free.acquire()
        if self._closed:
            self._free.release()
            raise StoreClosed(f"{self._location.url} is closed", do="use the store between `open()` and `close()`")
        if self._barred is not None:
            self._free.release()
            raise self._barred
        line = self._idle.pop() if self._idle else self._new()
        self._lent.add(line)
        return line

    def _new(self) -> Line:
        line = Line(self._location, prepare=self._prepare, seat=self._seat)
        line.greeting = self._greeting
        return line

    def bar(self, error: StoreUnavailable) -> None:
        """Whoever uses one of them, or takes one from now on, gets the error at once."""
        self._barred = error
        for line in (*self._lent, *self._idle):
            line.bar(error)

    async def give(self, line: Line) -> None:
        self._lent.discard(line)
        if self._closed or not line.is_tidy:
            await line.hang_up()
        self._idle.append(line)
        self._free.release()

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop().hang_up()
