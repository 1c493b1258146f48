"""Which server the register is on: looked at whenever a connection is made, so that an append need not ask.

connected ──> a standby? not yet, or not any more: try again, the next host first
          ──> not the server on which the last epoch began? begin the next one: one process does, the others find it
          ──> of an older epoch than is known here? it was replaced, and nobody told it: try again, the next host first
          ──> of a newer one? then what is remembered of the last events may be wrong: tell everybody
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection
from psycopg import errors as pg

from daicho.adapters.stores.postgres.location import Location
from daicho.adapters.stores.postgres.prompt import Connection
from daicho.adapters.stores.postgres.queries import queries_for
from daicho.core.errors import StaleServer, StoreReadOnly
from daicho.ports.epochs import Epoch

__all__ = ["Seat", "epoch_of"]

_GLANCE = 2.0
"""Seconds that a host may take to say which server it is, where there are several."""
_GLANCE_AGAIN = 0.5

log = logging.getLogger("daicho.postgres")


class Seat:
    """What a process knows of the server. One for each open store; its epoch never goes back."""

    def __init__(self, location: Location) -> None:
        self._location, self._queries = location, queries_for(location.schema)
        self.epoch = -1
        """-1: not known yet."""
        self.writes = True
        """Whether it took writes when it was looked at first: if it does not any more, another one will."""
        self.known: Sequence[Epoch] = ()
        self._mark = ""
        self._listeners: list[Callable[[Epoch], None]] = []
        self._hosts = tuple(range(location.hosts))
        """In the order in which they are tried."""
        self._glanced_at = -_GLANCE_AGAIN
        self._glancing = asyncio.Lock()

    def listen(self, listener: Callable[[Epoch], None]) -> None:
        self._listeners.append(listener)

    def lacks(self, position: int) -> bool:
        """Whether an answer with this position came from a server that has been replaced since."""
        return position >> 48 < self.epoch

    def has_lost(self, position: int) -> bool:
        """Whether what happened there may be gone: who decided on it decided on what is no history any more."""
        of = position >> 48
        return of < self.epoch and any(each.epoch > of and position > each.survived for each in self.known)

    # -- one connection -------------------------------------------------------------------------------------------

    async def check(self, connection: Connection) -> int:
        """The epoch of the server, for which it will do. Raises StoreReadOnly (a standby), StaleServer, and what the
        driver raises."""
        epoch, mark, is_standby, is_read_only, is_current = await self._ask(connection)
        if self.epoch < 0:
            self.writes = not is_read_only
        if is_standby or (is_read_only and self.writes):
            raise StoreReadOnly(
                f"{self._location.url} is {'a standby' if is_standby else 'read-only'}",
                why="it was the primary and is so no longer, or it is not promoted yet",
                do="name the primary, or several hosts: postgresql://a,b/db?target_session_attrs=read-write",
            )
        if not is_current:
            await self._begin(connection)
            epoch, mark, *_ = await self._ask(connection)
        if epoch < self.epoch:
            raise StaleServer(
                f"{self._location.url} has been replaced by another server",
                why=f"it is in epoch {epoch}; another one has begun epoch {self.epoch} since",
                do="shut it down, or make it a standby of the new one: docs/howto/failover.md",
                epoch=epoch,
                known=self.epoch,
            )
        if epoch == self.epoch and mark != self._mark:
            raise StaleServer(
                f"two servers have begun epoch {epoch}: {self._location.url} is not the one that is known here",
                why="two standbys were promoted independently of each other, and each takes events of its own",
                do="shut one of them down; if it is to be the other one, start this process again",
                epoch=epoch,
                known=self.epoch,
            )
        if epoch > self.epoch:
            await self._learn(connection, epoch, mark)
        return epoch

    async def _ask(self, connection: Connection) -> tuple[int, str, bool, bool, bool]:
        cursor = await connection.execute(self._queries["seat"].encode())
        [(epoch, mark, is_standby, is_read_only, is_current)] = await cursor.fetchall()
        return epoch, mark, is_standby, is_read_only, is_current

    async def _begin(self, connection: Connection) -> None:
        least = self.epoch + 1 if self.epoch >= 0 else 0
        try:
            await connection.execute(self._queries["begin_epoch"].encode(), (uuid4().hex, least, False))
        except (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction) as error:  # somebody who only looks
            log.warning("%s is another server than before, and a new epoch cannot be begun from here: %s",
                        self._location.url, str(error).strip())  # fmt: skip

    async def _learn(self, connection: Connection, epoch: int, mark: str) -> None:
        known = [epoch_of(row) for row in await (await connection.execute(self._queries["epochs"].encode())).fetchall()]
        if epoch <= self.epoch:
            return  # another connection was faster
        is_first, self.epoch, self._mark, self.known = self.epoch < 0, epoch, mark, known
        if is_first:
            return
        log.warning(
            "%s: epoch %d has begun: another server is the primary; events of before exist up to position %d",
            self._location.url, epoch, known[-1].survived,
        )  # fmt: skip
        for listener in list(self._listeners):
            listener(known[-1])

    # -- several hosts --------------------------------------------------------------------------------------------

    @property
    def conninfo(self) -> str:
        """How to connect: to the host first that did last."""
        return self._location.conninfo_to(self._hosts)

    def turn(self) -> None:
        """The first host would not do: another one first."""
        self._hosts = (*self._hosts[1:], *self._hosts[:1])

    async def glance(self) -> None:
        """Where there are several hosts, asks all of them which server they are, and has the newest primary tried
        first: one that was replaced and does not know it may still answer."""
        if len(self._hosts) < 2:
            return
        async with self._glancing:
            if time.monotonic() - self._glanced_at < _GLANCE_AGAIN:
                return
            found = await asyncio.gather(*[self._glance_at(host) for host in self._hosts])
            ranked = sorted(zip(found, self._hosts, strict=True), key=lambda each: each[0], reverse=True)
            self._hosts = tuple(host for _, host in ranked)
            self._glanced_at = time.monotonic()

    async def _glance_at(self, host: int) -> tuple[int, int, int]:
        """What counts: that it is a primary, its epoch, its timeline. All -1 if it does not answer."""
        connection: AsyncConnection[Any] | None = None
        with suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(_GLANCE):
                try:
                    connection = await AsyncConnection.connect(
                        self._location.conninfo_to((host,), anyhow=True), autocommit=True, prepare_threshold=None
                    )
                    with suppress(pg.UndefinedFunction, pg.UndefinedTable, pg.InvalidSchemaName):
                        cursor = await connection.execute(self._queries["glance"].encode())
                        [(is_standby, epoch, timeline)] = await cursor.fetchall()
                        return (0 if is_standby else 1, epoch, timeline)
                    cursor = await connection.execute("select pg_is_in_recovery()")
                    [(is_standby,)] = await cursor.fetchall()
                    return (0 if is_standby else 1, -1, -1)
                finally:
                    if connection is not None:
                        await connection.close()
        return (-1, -1, -1)


def epoch_of(row: Sequence[Any]) -> Epoch:
    epoch, timeline, system_id, mark, survived, drawn, seen, began_at = row
    return Epoch(
        epoch=epoch, timeline=timeline, system_id=system_id, mark=mark, survived=survived, drawn=drawn, seen=seen,
        began_at=began_at,
    )  # fmt: skip
