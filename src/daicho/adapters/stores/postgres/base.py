"""What every part of the store works with: connections and statements, while the store is open."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from daicho.adapters.stores.postgres.aside import Aside
from daicho.adapters.stores.postgres.failures import is_lost, is_outdated, is_refused, translated
from daicho.adapters.stores.postgres.head import Head
from daicho.adapters.stores.postgres.lines import Connection, Line, Lines, Losses, Rows
from daicho.adapters.stores.postgres.location import parse_url
from daicho.adapters.stores.postgres.queries import in_schema, queries_for
from daicho.adapters.stores.postgres.recent import Recent
from daicho.adapters.stores.postgres.seat import Seat
from daicho.core.errors import OutcomeUnknown, StoreClosed, StoreReadOnly
from daicho.core.times import to_text

__all__ = ["Opened", "Part", "Transaction"]


class Opened:
    """The moving parts of an open store."""

    def __init__(self, writer: Line, aside: Aside, lines: Lines, head: Head, seat: Seat, *, pooled: bool) -> None:
        self.writer, self.aside, self.lines, self.head, self.seat = writer, aside, lines, head, seat
        self.pooled = pooled
        """Whether a pooler sits in between, so that nothing of a session lasts."""
        self.recent = Recent()
        self.writing = asyncio.Lock()
        """Held while the writer's line is in use."""
        self.aside_turn = asyncio.Lock()
        """Held while the connection for inline work is in use."""
        self._appends = 0
        self._closing = False
        self._at_rest = asyncio.Event()

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Around an append, so that closing waits for it. Raises StoreClosed if that has begun."""
        if self._closing:
            raise StoreClosed("the store is closing", do="use it between `open()` and `close()`")
        self._appends += 1
        try:
            yield
        finally:
            self.end_append()

    def begin_writing(self) -> bool:
        """Takes the writer's line without waiting, for an append that `end_writing` ends. False: somebody has it, or
        the store is closing."""
        if self._closing or self.writing.locked():
            return False
        taking = self.writing.acquire()
        try:
            taking.send(None)
        except StopIteration:
            self._appends += 1
            return True
        taking.close()  # somebody woke up for it and is next
        return False

    def end_writing(self) -> None:
        self.writing.release()

    def end_append(self) -> None:
        self._appends -= 1
        if self._closing and not self._appends:
            self._at_rest.set()

    async def rest(self) -> None:
        """No append begins from now on, and none is under way when this returns."""
        self._closing = True
        if self._appends:
            await self._at_rest.wait()


class Transaction:
    """Statements that happen together or not at all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def rows(self, text: str, values: Sequence[Any] = ()) -> Rows:
        cursor = await self._connection.execute(text.encode(), values, binary=True)
        return await cursor.fetchall() if cursor.description else []

    async def once(self, text: str, values: Sequence[Any] = ()) -> None:
        """Executes a statement that is planned anew for these very values."""
        await self._connection.execute(text.encode(), values, binary=True, prepare=False)

    @property
    def goes_on(self) -> bool:
        """Whether nothing has ended it."""
        return self._connection.pgconn.transaction_status == TransactionStatus.INTRANS

    async def changed(self, text: str, values: Sequence[Any] = ()) -> int:
        """Executes the statement and returns how many rows it touched."""
        return (await self._connection.execute(text.encode(), values, binary=True)).rowcount


class Part:
    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        self._location = parse_url(url)
        self._now = now
        self._queries = queries_for(self._location.schema)
        self._open: Opened | None = None
        self._latest = ""

    def _opened(self) -> Opened:
        if self._open is None:
            raise StoreClosed(f"{self._location.url} is not open", do="use the store between `open()` and `close()`")
        return self._open

    def _in_schema(self, text: str) -> str:
        """A statement that was put together on the spot, for the schema that the store is in."""
        return text if self._location.schema == "daicho" else in_schema(text, self._location.schema)

    def _time(self) -> str:
        """Now; never before what this process was told earlier, even if its clock is set back."""
        self._latest = max(self._latest, to_text(self._now()))
        return self._latest

    async def _read(self, text: str, values: Sequence[Any] = ()) -> Rows:
        """Answers of a statement that changes nothing; asked again if the connection breaks."""
        lines = self._opened().lines
        line = await lines.take()
        losses = Losses(self._location.reconnect_within)
        try:
            while True:
                try:
                    return (await line.execute(text, values))[0]
                except psycopg.Error as error:
                    if not (is_lost(error) or is_outdated(error)) or losses.too_many():
                        raise translated(error, self._location.url) from error
                    await line.hang_up()  # the next try gets a new connection, or StoreUnavailable
        finally:
            await lines.give(line)

    async def _rows(self, text: str, values: Sequence[Any] = ()) -> Rows:
        """Executes one statement, durably, and returns its rows. Raises OutcomeUnknown if the answer was lost."""
        return (await self._execute(text, values))[0]

    async def _changed(self, text: str, values: Sequence[Any] = ()) -> int:
        """Executes one statement, durably, and returns how many rows it touched. Raises OutcomeUnknown."""
        return (await self._execute(text, values))[1]

    async def _execute(self, text: str, values: Sequence[Any]) -> tuple[Rows, int]:
        lines = self._opened().lines
        line = await lines.take()
        try:
            await line.ready()
            try:
                return await line.execute(text, values)
            except psycopg.Error as error:
                if not (is_refused(error) and self._opened().seat.writes):
                    with self._told():
                        raise
            await line.hang_up()  # the server has been demoted: the next connection is to another one
            await line.ready()
            with self._told():
                return await line.execute(text, values)
        finally:
            await lines.give(line)

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction]:
        """Everything inside happens together, durable when it is left; nothing of it if something raises."""
        lines = self._opened().lines
        line = await lines.take()
        try:
            connection = await line.ready()
            with self._told():
                async with connection.transaction():
                    yield Transaction(connection)
        except StoreReadOnly:
            await line.hang_up()
            raise
        finally:
            await lines.give(line)

    def _committed_lazily(self) -> None:
        """Told of every commit that did not wait for the disk."""

    def _told(self) -> "_Told":
        return _Told(self._location.url)


class _Told:
    """Turns the driver's errors into ours."""

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if not isinstance(error, psycopg.Error):
            return
        if is_lost(error):
            raise OutcomeUnknown(
                f"the connection to {self._url} broke in the middle of a write",
                why=str(error).strip() or type(error).__name__,
                do="look whether it happened, or do it again: every write of Daicho can be repeated",
            ) from error
        raise translated(error, self._url) from error
