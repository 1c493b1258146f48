"""One statement, one round trip, with as little ceremony as there can be.

The driver's cursors spend more time on a short statement than the server does. This uses the driver's connection, its
conversions and its errors, and leaves out the cursor: a statement is prepared once and then only named.
"""

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from psycopg import AsyncConnection, Error, OperationalError
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from daicho.core.collecting import uncollected

__all__ = ["Connection", "Prompt", "Rows", "Told"]

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]
Rows: TypeAlias = list[tuple[Any, ...]]
Told: TypeAlias = Callable[[Rows | Exception], None]

_MOST_PREPARED = 200
_PATIENCE = 2.0
"""Seconds that a cancelled statement may take to its end; then its connection is given up."""
_FEW = 100
"""Rows that may be loaded without a word to the garbage collector."""
_PLACE = re.compile(r"%(s|%)")
_FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY)


class Prompt:
    """Executes statements on a connection that is in nobody else's use, and not in a transaction that failed."""

    def __init__(self, connection: Connection, *, prepare: bool, heard: Callable[[], None] | None = None) -> None:
        """`heard`: called when another process has notified a channel that the connection listens to, and when the
        connection is lost."""
        self.connection = connection
        self._pgconn, self._prepare = connection.pgconn, prepare
        self._transformer = Transformer.from_context(connection)
        self._loop = asyncio.get_running_loop()
        # When the connection breaks, libpq closes its socket, and the next connection may get the number of it while
        # the event loop still watches for the old one. A descriptor of our own keeps its number until we close it.
        self._wire = os.dup(connection.pgconn.socket)
        self._watched = self._writing = False
        self._answered: asyncio.Future[None] | None = None
        self._told: Told | None = None
        self._found: PGresult | None = None
        self._numbered: dict[str, bytes] = {}
        self._prepared: OrderedDict[tuple[bytes, tuple[int, ...]], bytes] = OrderedDict()
        self._count = 0
        self._heard = heard

    @property
    def idle(self) -> bool:
        """Whether the connection works, and nothing is under way or open on it."""
        return self._pgconn.transaction_status == TransactionStatus.IDLE

    def close(self) -> None:
        """To be called before the connection is closed."""
        if self._wire >= 0:
            self.pause()
            os.close(self._wire)
            self._wire = -1

    def give_up(self) -> None:
        """Whoever waits for an answer is told that the connection is lost."""
        self._end(OperationalError("the connection was given up"))

    def pause(self) -> None:
        """Leaves the connection to the driver, until the next statement here."""
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._wire)
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._wire)

    def resume(self) -> None:
        """Takes in what comes from the server: the reader stays in place from statement to statement."""
        if not self._watched:
            self._watched = True
            self._loop.add_reader(self._wire, self._read)

    async def execute(self, text: str, values: Sequence[Any]) -> tuple[Rows, int]:
        """The rows, and how many rows were touched. Raises the driver's errors."""
        transformer = self._transformer
        dumped = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        return await self._ask(text, dumped, transformer.types or (), transformer.formats)

    async def ask(self, text: str, values: Sequence[bytes | None], types: tuple[int, ...]) -> tuple[Rows, int]:
        """The same with values that are in PostgreSQL's binary format already."""
        return await self._ask(text, values, types, [Format.BINARY] * len(values))

    def begin(self, text: str, values: Sequence[Any], told: Told) -> bool:
        """Sends a statement at once, and calls `told` when the server is done with it, with the rows or the driver's
        error: nobody has to wake up in between. False, and nothing done, if it is not prepared yet."""
        transformer = self._transformer
        dumped = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        statement, types = self._numbered.get(text), transformer.types or ()
        name = None if statement is None else self._prepared.get((statement, types))
        if name is None:
            return False
        self._told = told
        try:
            self._pgconn.send_query_prepared(
                name, dumped, param_formats=transformer.formats, result_format=Format.BINARY
            )
            self._sent()
        except OperationalError as error:  # how much of it has left is not known
            self._loop.call_soon(self._end, error)
        return True

    async def _ask(
        self, text: str, dumped: Sequence[Buffer | None], types: tuple[int, ...], formats: Sequence[Format] | None
    ) -> tuple[Rows, int]:
        statement = self._numbered.get(text) or self._number(text)
        pgconn = self._pgconn
        if self._prepare:
            name = self._prepared.get((statement, types)) or await self._named(statement, types)
            pgconn.send_query_prepared(name, dumped, param_formats=formats, result_format=Format.BINARY)
        else:
            pgconn.send_query_params(
                statement, dumped, param_types=types, param_formats=formats, result_format=Format.BINARY
            )
        result = await self._result()
        if result.status not in _FINE:
            error = error_from_result(result, encoding="utf-8")
            if isinstance(error, InvalidSqlStatementName) and self._prepared:
                self._prepared.clear()  # the driver lets go of them all after a rollback; nothing was executed
                return await self._ask(text, dumped, types, formats)
            raise error
        return self._rows(result), result.command_tuples or 0

    def _rows(self, result: PGresult) -> Rows:
        transformer, count = self._transformer, result.ntuples
        transformer.set_pgresult(result, format=Format.BINARY)
        if count <= _FEW:
            return transformer.load_rows(0, count, tuple) if count else []
        with uncollected():
            return transformer.load_rows(0, count, tuple)

    def _number(self, text: str) -> bytes:
        """The statement with `$1`, `$2`, ... for each `%s`."""
        count = 0

        def number(found: re.Match[str]) -> str:
            nonlocal count
            if found[1] == "%":
                return "%"
            count += 1
            return f"${count}"

        if len(self._numbered) > 2000:  # put together on the spot, each for once
            self._numbered.clear()
        statement = self._numbered[text] = _PLACE.sub(number, text).encode()
        return statement

    async def _named(self, statement: bytes, types: tuple[int, ...]) -> bytes:
        """The name under which the server has it prepared."""
        self._count += 1
        name = b"daicho_%d" % self._count
        self._pgconn.send_prepare(name, statement, param_types=types)
        result = await self._result()
        if result.status not in _FINE:
            raise error_from_result(result, encoding="utf-8")
        self._prepared[statement, types] = name
        if len(self._prepared) > _MOST_PREPARED:
            _, old = self._prepared.popitem(last=False)
            self._pgconn.send_query_params(b"deallocate " + old, None)
            await self._result()
        return name

    async def _result(self) -> PGresult:
        """The result of what was sent, when the server is done with it."""
        try:
            return await self._whole()
        except asyncio.CancelledError:
            # what was sent is done all the same: until it is, nobody may rely on its not having been
            with suppress(TimeoutError, OperationalError):
                async with asyncio.timeout(_PATIENCE):
                    await self._whole()
            raise

    async def _whole(self) -> PGresult:
        self._sent()
        while not self._is_whole():
            self._answered = self._loop.create_future()
            await self._answered
        return self._taken()

    def _sent(self) -> None:
        """To be called behind whatever sends."""
        if self._pgconn.flush() and not self._writing:
            self._writing = True
            self._loop.add_writer(self._wire, self._write)
        self.resume()

    def _is_whole(self) -> bool:
        """Takes what has come of the answer; whether that was all of it."""
        pgconn = self._pgconn
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                return True
            if self._found is None or (self._found.status in _FINE and result.status not in _FINE):
                self._found = result
        return False

    def _taken(self) -> PGresult:
        """The first result, or the first error: one that comes after the result says that it was not committed."""
        found, self._found = self._found, None
        if found is None:
            raise OperationalError("the server answered nothing")
        return found

    def _read(self) -> None:
        pgconn = self._pgconn
        try:
            pgconn.consume_input()
            if not pgconn.is_busy():
                self._end(None)
        except OperationalError as error:
            self._end(error)
            if self._heard is not None:
                self._heard()
            return
        if self._heard is not None:
            while (notified := pgconn.notifies()) is not None:
                if notified.be_pid != pgconn.backend_pid:
                    self._heard()

    def _write(self) -> None:
        try:
            if not self._pgconn.flush():
                self._writing = False
                self._loop.remove_writer(self._wire)
        except OperationalError as error:
            self._end(error)

    def _end(self, error: OperationalError | None) -> None:
        if error is not None:
            self._found = None
            self.pause()
        if (told := self._told) is not None:
            self._tell(told, error)
            return
        answered, self._answered = self._answered, None
        if answered is not None and not answered.done():
            if error is None:
                answered.set_result(None)
            else:
                answered.set_exception(error)

    def _tell(self, told: Told, error: Exception | None) -> None:
        """Ends what was begun, once all of the answer is there."""
        answer: Rows | Exception
        if error is not None:
            answer = error
        else:
            try:
                if not self._is_whole():
                    return
                result = self._taken()
                is_fine = result.status in _FINE
                answer = self._rows(result) if is_fine else error_from_result(result, encoding="utf-8")
            except Error as failed:
                answer = failed
        self._told = None
        told(answer)
