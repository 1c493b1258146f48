"""Connections of our callers: found beneath what they are wrapped in, and asked in one way, whichever kind they are.

What their owners set on them does not matter here: rows come as tuples, by our own adapters, nothing is prepared.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeAlias, TypeGuard, TypeVar

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

from daicho.adapters.stores.postgres.inline import Ask
from daicho.adapters.stores.postgres.lines import Rows, raw_json
from daicho.core.errors import ConfigurationError, StoreFailed

__all__ = ["AsyncCaller", "Caller", "Driver", "SyncCaller", "beneath", "caller_of", "driver_of", "not_in_a_transaction"]

Driver: TypeAlias = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

T = TypeVar("T")

_ADAPTERS = AdaptersMap(psycopg.adapters)
raw_json(_ADAPTERS)


def not_in_a_transaction() -> StoreFailed:
    return StoreFailed(
        "`within=` needs an open transaction",
        why="the connection is not in the middle of one, so there is nothing to commit together with",
        do="send inside `with connection.transaction():`, or what SQLAlchemy calls `engine.begin()` or a session",
    )


# -- finding the driver's connection ----------------------------------------------------------------------------------


def _is_driver(given: object) -> TypeGuard[Driver]:
    return isinstance(given, (psycopg.Connection, psycopg.AsyncConnection))


def beneath(given: Any) -> Any:
    """What a synchronous connection or session of SQLAlchemy is about; anything else as it is. Raises StoreFailed."""
    if _is_driver(given) or inspect.iscoroutinefunction(getattr(given, "commit", None)):
        return given
    if callable(getattr(given, "connection", None)):  # a session: this begins its transaction, as any statement would
        given = given.connection()
    _check_begun(given)
    pooled = getattr(given, "connection", given)
    return getattr(pooled, "driver_connection", pooled)


async def driver_of(given: Any) -> Driver:
    """Raises ConfigurationError if no connection of psycopg is beneath, StoreFailed if it is in no transaction."""
    found = beneath(given)
    if not hasattr(found, "get_raw_connection") and inspect.iscoroutinefunction(getattr(found, "connection", None)):
        found = await found.connection()  # of an asynchronous session
    if hasattr(found, "get_raw_connection"):
        _check_begun(found)
        found = (await found.get_raw_connection()).driver_connection
    if _is_driver(found):
        return found
    raise ConfigurationError(
        f"`within=` cannot use {found!r}",
        why="events are written by statements of psycopg 3",
        do="give a connection of psycopg 3, or of SQLAlchemy with `postgresql+psycopg://`",
    )


def _check_begun(connection: Any) -> None:
    """SQLAlchemy commits only what it knows to have begun."""
    in_transaction = getattr(connection, "in_transaction", None)
    if callable(in_transaction) and not in_transaction():
        raise not_in_a_transaction()


# -- asking it --------------------------------------------------------------------------------------------------------


class Caller(Protocol):
    """A connection in the middle of its owner's transaction. Raises the driver's errors. One call at a time."""

    async def rows(self, text: str, values: Sequence[Any] = ()) -> Rows: ...

    async def changed(self, text: str, values: Sequence[Any] = ()) -> int:
        """Executes the statement and returns how many rows it touched."""
        ...

    def savepoint(self) -> Any:
        """What is done inside is undone, alone, if something raises. Raises StoreFailed if there is no transaction."""
        ...

    async def aside(self, work: Callable[[Ask], None]) -> None:
        """Does synchronous work on a thread, with statements on this connection."""
        ...


def caller_of(driver: Driver) -> Caller:
    return AsyncCaller(driver) if isinstance(driver, psycopg.AsyncConnection) else SyncCaller(driver)


class _Cursor(psycopg.Cursor[tuple[Any, ...]]):
    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


class _AsyncCursor(psycopg.AsyncCursor[tuple[Any, ...]]):
    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


class AsyncCaller:
    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def rows(self, text: str, values: Sequence[Any] = ()) -> Rows:
        async with _AsyncCursor(self._connection, row_factory=tuple_row) as cursor:
            await cursor.execute(text.encode(), values, prepare=False, binary=True)
            return await cursor.fetchall() if cursor.description else []

    async def changed(self, text: str, values: Sequence[Any] = ()) -> int:
        async with _AsyncCursor(self._connection, row_factory=tuple_row) as cursor:
            await cursor.execute(text.encode(), values, prepare=False, binary=True)
            return cursor.rowcount

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        async with self._connection.transaction() as block:
            _check_inner(block)
            yield

    async def aside(self, work: Callable[[Ask], None]) -> None:
        loop = asyncio.get_running_loop()

        def ask(text: str, values: Sequence[Any]) -> Rows:
            return asyncio.run_coroutine_threadsafe(self.rows(text, values), loop).result()

        await _on_a_thread(work, ask)


class SyncCaller:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    async def rows(self, text: str, values: Sequence[Any] = ()) -> Rows:
        return await _on_a_thread(self._rows, text, values)

    async def changed(self, text: str, values: Sequence[Any] = ()) -> int:
        def change() -> int:
            with _Cursor(self._connection, row_factory=tuple_row) as cursor:
                return cursor.execute(text.encode(), values, prepare=False, binary=True).rowcount

        return await _on_a_thread(change)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        manager = self._connection.transaction()
        block = await _on_a_thread(manager.__enter__)
        try:
            _check_inner(block)
            yield
        except BaseException as error:
            await _on_a_thread(manager.__exit__, type(error), error, error.__traceback__)
            raise
        else:
            await _on_a_thread(manager.__exit__, None, None, None)

    async def aside(self, work: Callable[[Ask], None]) -> None:
        await _on_a_thread(work, self._rows)

    def _rows(self, text: str, values: Sequence[Any]) -> Rows:
        with _Cursor(self._connection, row_factory=tuple_row) as cursor:
            cursor.execute(text.encode(), values, prepare=False, binary=True)
            return cursor.fetchall() if cursor.description else []


def _check_inner(block: psycopg.Transaction | psycopg.AsyncTransaction) -> None:
    """That it has not become a transaction of its own, because the caller's has ended meanwhile."""
    if not block.savepoint_name:
        raise not_in_a_transaction()


async def _on_a_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Not left before it has ended, even if cancelled: nobody else may use the connection meanwhile."""
    future = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
