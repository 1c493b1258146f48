"""The register inside a transaction that somebody else began, on somebody else's connection.

    join: whose connection is it, is it in a transaction that will do, does it lead here ──> Within
    Within.append: savepoint ──> (turn for inline work) ──> daicho.append(...) ──> inline work ──> released
                       └── somebody was faster, or it raised: back to the savepoint

Reads go through that connection, too, so that a command sees what was written before it in the transaction.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from daicho.adapters.stores.postgres.aside import is_unbroken, stored_now
from daicho.adapters.stores.postgres.base import Opened
from daicho.adapters.stores.postgres.callers import (
    Caller,
    Driver,
    beneath,
    caller_of,
    driver_of,
    not_in_a_transaction,
)
from daicho.adapters.stores.postgres.commands import PostgresCommandLog
from daicho.adapters.stores.postgres.events import PostgresEvents
from daicho.adapters.stores.postgres.failures import is_lost, is_promoted, translated
from daicho.adapters.stores.postgres.inline import Ask, Moved, PostgresInline
from daicho.adapters.stores.postgres.lines import Rows
from daicho.adapters.stores.postgres.requests import Group
from daicho.core.errors import (
    DaichoError,
    DuplicateEventId,
    ForeignStore,
    MessageError,
    StoreBusy,
    StoreClosed,
    StoreFailed,
    StoreReadOnly,
    StoreUnavailable,
)
from daicho.ports.event_store import Appended, AppendRequest, Selection

__all__ = ["PostgresJoining", "Within"]

_TRIES = 20


class _Acquaintance:
    """What is remembered of a caller's connection."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        """Held during a statement, or a few that must stay together."""
        self.leads_here = False


class PostgresJoining(PostgresEvents, PostgresCommandLog):
    """Fulfils `daicho.ports.storage.Joinable`."""

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._met: WeakKeyDictionary[Driver, _Acquaintance] = WeakKeyDictionary()

    def beneath(self, connection: object) -> object:
        return beneath(connection)

    async def join(self, connection: object) -> "Within":
        driver = await driver_of(connection)
        if driver.closed:
            raise StoreClosed(
                "the connection given as `within=` is closed", do="send before leaving the block that it was opened in"
            )
        status = driver.info.transaction_status
        if status == TransactionStatus.INERROR:
            raise StoreFailed(
                "the transaction of the connection given as `within=` has failed",
                why="after an error PostgreSQL takes no statement until it is rolled back",
                do="roll it back, or to a savepoint",
            )
        if status == TransactionStatus.IDLE and driver.autocommit:
            raise not_in_a_transaction()
        acquaintance = self._met.setdefault(driver, _Acquaintance())
        within = Within(self, caller_of(driver), acquaintance.turn)
        await within.check_transaction()
        if not acquaintance.leads_here:
            number = random.getrandbits(63)
            await within.leave_sign(number)
            sign = (number >> 32, number & 0xFFFFFFFF)
            [(is_there,)] = await self._read(self._queries["is_sign_there"], sign)
            if not is_there:
                await within.check_sign(sign)
                raise ForeignStore(
                    "the connection given as `within=` leads to another database than the store",
                    why=f"events belong into {self._location.url}; elsewhere nobody would read them",
                    do="connect to the same server and database",
                )
            acquaintance.leads_here = True
        return within


class Within(PostgresEvents, PostgresCommandLog):
    """Fulfils `daicho.ports.storage.Joined`."""

    def __init__(self, store: PostgresJoining, caller: Caller, turn: asyncio.Lock) -> None:
        self._store, self._caller, self._turn = store, caller, turn
        self._location, self._queries, self._notes = store._location, store._queries, store._notes
        self._loads, self._state_loads = self._loading()

    def _opened(self) -> Opened:
        return self._store._opened()

    def _time(self) -> str:
        return self._store._time()

    # -- the transaction ------------------------------------------------------------------------------------------

    async def check_transaction(self) -> None:
        [(isolation, read_only, encoding)] = await self._read(self._queries["transaction"])
        if isolation != "read committed":
            raise StoreFailed(
                f"`within=` needs a transaction that is READ COMMITTED, this one is {isolation.upper()}",
                why="one that looks at the past cannot see what a decision has to take into account",
                do="leave the isolation level of this transaction at PostgreSQL's default",
            )
        if read_only == "on":
            raise StoreReadOnly(
                "the transaction given as `within=` is read-only", do="begin one that may write, on the primary"
            )
        if encoding != "UTF8":
            raise StoreFailed(
                f"the connection given as `within=` speaks {encoding}",
                why="texts of other languages would not get through",
                do="connect with client_encoding=utf8, which is the default",
            )

    async def leave_sign(self, number: int) -> None:
        """To be found by another connection, if both lead to the same database, until the transaction ends."""
        await self._read(self._queries["leave_sign"], (number,))

    async def check_sign(self, sign: tuple[int, int]) -> None:
        """Raises StoreFailed if it is not even here: then the transaction that it was left in has ended meanwhile."""
        [(is_there,)] = await self._read(self._queries["is_sign_there"], sign)
        if not is_there:
            raise not_in_a_transaction()

    # -- reading --------------------------------------------------------------------------------------------------

    async def _read(self, text: str, values: Sequence[Any] = ()) -> Rows:
        async with self._turn:
            try:
                return await self._caller.rows(text, values)
            except psycopg.Error as error:
                raise self._told_of(error) from error

    async def head(self) -> int:
        """Before all that this transaction has appended: of that, too, a decision says what it has seen."""
        [(head,)] = await self._read(self._queries["safe_head"])
        return int(head)

    async def _horizon(self, selection: Selection) -> int | None:
        up_to = selection.up_to
        if selection.stream is not None or selection.event_id is not None or selection.beyond_head:
            return up_to
        now = await self.head()
        return now if up_to is None else min(up_to, now)

    # -- writing --------------------------------------------------------------------------------------------------

    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        with self._opened().at_work():
            if any(request.outcome for request in requests):
                await self._settle_notes()
            return [await self._append(request) for request in requests]

    async def _append(self, request: AppendRequest) -> Appended | Exception:
        now, tries = self._time(), 0
        try:
            group = Group([request], now)
        except (MessageError, DuplicateEventId) as error:
            return error
        while True:
            tries += 1
            try:
                answer = await self._put(request, group, now)
                [answered] = await self._answers(group, [answer], again=False)
            except (pg.UniqueViolation, Moved) as error:
                found = (await self._places([request])).of(request, first_time=False)
                if found is not None:
                    return found
                if tries == _TRIES:
                    return StoreBusy(f"somebody else was faster {tries} times", why=str(error), do="send it again")
                # now that they have committed, what they wrote is seen
            except psycopg.Error as error:
                if is_promoted(error) and tries < _TRIES:
                    await self._renew()
                    continue
                told = self._told_of(error)
                told.__cause__ = error
                return told
            except Exception as error:  # noqa: BLE001 - ours, or the user's code: an answer to this request
                return error
            else:
                return answered

    async def _put(self, request: AppendRequest, group: Group, now: str) -> tuple[Any, ...]:
        async with self._turn, self._caller.savepoint():
            if request.inline is not None:
                await self._caller.rows(self._queries["inline_turn"])
            [answer] = await self._caller.rows(self._queries[group.name], group.parameters)
            _, refused, positions = answer
            inline = request.inline
            if inline is not None and not refused and is_unbroken(positions):
                first, events = positions[0] if positions else 0, stored_now(request, answer, now)

                def work(ask: Ask) -> None:
                    place = self._location
                    inline(PostgresInline(ask, now, place.schema, first=first, shown=place.url), events)

                await self._caller.aside(work)
            return answer

    def _committed(
        self,
        requests: Sequence[AppendRequest],
        answers: Sequence[Appended],
        positions: Sequence[int],
        at: str,
        size: int,
    ) -> None:
        """Nobody here may see it yet."""

    async def _settle_notes(self) -> None:
        await self._notes.settle()

    async def _rows(self, text: str, values: Sequence[Any] = ()) -> Rows:
        async with self._turn:
            try:
                async with self._caller.savepoint():
                    return await self._caller.rows(text, values)
            except psycopg.Error as error:
                raise self._told_of(error) from error

    async def _changed(self, text: str, values: Sequence[Any] = ()) -> int:
        async with self._turn:
            try:
                async with self._caller.savepoint():
                    return await self._caller.changed(text, values)
            except psycopg.Error as error:
                raise self._told_of(error) from error

    def _told_of(self, error: psycopg.Error) -> DaichoError:
        if is_lost(error):
            return StoreUnavailable(
                "the connection given as `within=` broke",
                why=str(error).strip() or type(error).__name__,
                do="begin again on another connection: nothing of its transaction was written",
            )
        if isinstance(error, pg.DeadlockDetected):
            return StoreBusy(
                "this transaction and another one wait for each other",
                why=str(error).strip(),
                do="roll it back and do it all again; let all write to several streams in one order",
            )
        return translated(error, self._location.url)
