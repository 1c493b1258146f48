"""One PostgreSQL schema that holds everything, opened."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from daicho.adapters.stores.postgres.aside import Aside
from daicho.adapters.stores.postgres.base import Opened
from daicho.adapters.stores.postgres.checkpoints import PostgresCheckpoints
from daicho.adapters.stores.postgres.commands import PostgresCommandLog
from daicho.adapters.stores.postgres.events import PostgresEvents
from daicho.adapters.stores.postgres.examination import look_at
from daicho.adapters.stores.postgres.head import Head
from daicho.adapters.stores.postgres.letters import PostgresDeadLetters
from daicho.adapters.stores.postgres.lines import Line, Lines
from daicho.adapters.stores.postgres.migrating import PostgresMigrating
from daicho.adapters.stores.postgres.schema import migrate
from daicho.adapters.stores.postgres.server import checked_version, is_pooled
from daicho.adapters.stores.postgres.snapshots import PostgresSnapshots
from daicho.adapters.stores.postgres.views import PostgresViews
from daicho.adapters.stores.postgres.within import PostgresJoining
from daicho.core.errors import StoreFailed
from daicho.ports.storage import Finding

__all__ = ["PostgresStorage"]


class PostgresStorage(
    PostgresJoining,
    PostgresEvents,
    PostgresSnapshots,
    PostgresCheckpoints,
    PostgresDeadLetters,
    PostgresCommandLog,
    PostgresViews,
    PostgresMigrating,
):
    """Fulfils `daicho.ports.storage.Storage` over one schema of a PostgreSQL database, for any number of processes;
    within a process, for the event loop that opened it.

    Opening creates or migrates the schema. Raises BadUrl, StoreUnavailable, StoreReadOnly (a standby), StoreOutdated,
    ForeignStore or StoreFailed.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._version = 0

    async def _settle_notes(self) -> None:
        await self._notes.settle()

    @property
    def url(self) -> str:
        return self._location.url

    async def open(self) -> None:
        if self._open is not None:
            return
        location = self._location
        first = Line(location, prepare=False)
        try:
            connection = await first.ready()
            with self._told():
                self._version = await checked_version(connection, location)
                pooled = await is_pooled(connection, location)
            await migrate(connection, location, only_check=location.migrate == "never")
        finally:
            await first.hang_up()
        prepare = not pooled
        channel = None if pooled else f"daicho {location.schema}"
        head = Head(Line(location, prepare=prepare), self._queries["safe_head"], channel=channel, shown=location.url)
        await head.start()
        self._open = Opened(
            Line(location, prepare=prepare),
            Aside(location, prepare=prepare),
            Lines(location, prepare=prepare),
            head,
            pooled=pooled,
        )

    async def close(self) -> None:
        opened = self._open
        if opened is not None:
            await opened.rest()
            await self._notes.close()
            await self._saves.close()
            self._open = None
            await opened.head.close()
            await opened.aside.close()
            await opened.writer.hang_up()
            await opened.lines.close()

    async def examine(self) -> list[Finding]:
        return await look_at(self._read, self._location, self._opened().pooled)

    async def backup(self, target: Path) -> AsyncIterator[tuple[int, int]]:
        raise StoreFailed(
            f"{self.url} is not copied to {target}",
            why="PostgreSQL has tools for it that know the server better",
            do=f"pg_dump --schema={self._location.schema} for this store, or pg_basebackup for the whole server",
        )
        yield (0, 0)

    def describe(self) -> dict[str, Any]:
        opened = self._open
        return {
            "engine": "postgresql",
            "version": f"{self._version // 10000}.{self._version % 10000}",
            "driver": f"psycopg {psycopg.__version__}",
            "schema": self._location.schema,
            "pooler": "unknown" if opened is None else "transaction" if opened.pooled else "none",
            "database": self._location.database,
        }
