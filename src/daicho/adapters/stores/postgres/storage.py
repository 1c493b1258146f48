"""One PostgreSQL schema that holds everything, opened."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from daicho.adapters.stores.postgres.aside import Aside
from daicho.adapters.stores.postgres.base import Opened
from daicho.adapters.stores.postgres.beginning import PostgresBeginning
from daicho.adapters.stores.postgres.checkpoints import PostgresCheckpoints
from daicho.adapters.stores.postgres.commands import PostgresCommandLog
from daicho.adapters.stores.postgres.events import PostgresEvents
from daicho.adapters.stores.postgres.examination import look_at
from daicho.adapters.stores.postgres.head import Head
from daicho.adapters.stores.postgres.letters import PostgresDeadLetters
from daicho.adapters.stores.postgres.lines import Line, Lines
from daicho.adapters.stores.postgres.migrating import PostgresMigrating
from daicho.adapters.stores.postgres.pulse import Pulse
from daicho.adapters.stores.postgres.sampling import Lookout
from daicho.adapters.stores.postgres.schema import migrate
from daicho.adapters.stores.postgres.seat import Seat
from daicho.adapters.stores.postgres.server import checked_version, is_pooled
from daicho.adapters.stores.postgres.snapshots import PostgresSnapshots
from daicho.adapters.stores.postgres.states import PostgresStates
from daicho.adapters.stores.postgres.timers import PostgresScheduler
from daicho.adapters.stores.postgres.views import PostgresViews
from daicho.adapters.stores.postgres.within import PostgresJoining
from daicho.core.errors import StoreFailed
from daicho.ports.replication import Sample
from daicho.ports.storage import Finding

__all__ = ["PostgresStorage"]


class PostgresStorage(
    PostgresJoining,
    PostgresBeginning,
    PostgresEvents,
    PostgresSnapshots,
    PostgresStates,
    PostgresCheckpoints,
    PostgresDeadLetters,
    PostgresCommandLog,
    PostgresScheduler,
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
        self._lookout: Lookout | None = None
        self._pulse: Pulse | None = None

    async def _settle_notes(self) -> None:
        await self._notes.settle()

    @property
    def url(self) -> str:
        return self._location.url

    async def open(self) -> None:
        if self._open is not None:
            return
        location, seat = self._location, Seat(self._location)
        await seat.glance()
        first = Line(msgspec.structs.replace(location, conninfo=seat.conninfo), prepare=False)
        try:
            connection = await first.ready()
            with self._told():
                self._version = await checked_version(connection, location)
                pooled = await is_pooled(connection, location)
            await migrate(connection, location, only_check=location.migrate == "never")
        finally:
            await first.hang_up()
        prepare = not pooled
        seat.listen(self._noticed)
        channel = None if pooled else f"daicho {location.schema}"
        watching = Line(location, prepare=prepare, seat=seat)
        head = Head(watching, self._queries["safe_head"], channel=channel, shown=location.url)
        head.heard_of_epoch = self._look_again
        try:
            await head.start()
        except BaseException:
            await head.close()
            raise
        self._open = Opened(
            Line(location, prepare=prepare, seat=seat),
            Aside(location, prepare=prepare, seat=seat),
            Lines(location, prepare=prepare, seat=seat),
            head,
            seat,
            pooled=pooled,
        )
        self._lookout = Lookout(location, self._queries["sample"], prepare=prepare, seat=seat)
        self._pulse = Pulse(
            Line(location, prepare=prepare, seat=seat), head, self._queries, self._is_followed, location.url
        )
        self._pulse.start()

    async def close(self) -> None:
        opened = self._open
        if opened is not None:
            await opened.rest()
            await self._stop_looking()
            await self._notes.close()
            await self._saves.close()
            self._open = None
            if self._pulse is not None:
                await self._pulse.close()
            if self._lookout is not None:
                await self._lookout.close()
            await opened.head.close()
            await opened.aside.close()
            await opened.writer.hang_up()
            await opened.lines.close()

    async def sample(self, within: float) -> Sample:
        self._opened()
        assert self._lookout is not None
        return await self._lookout.sample(within)

    def _committed_lazily(self) -> None:
        if self._pulse is not None:
            self._pulse.touch()

    async def _is_followed(self) -> bool:
        [(followed,)] = await self._read(self._queries["followed"])
        return bool(followed)

    def beat(self) -> None:
        if self._pulse is not None:
            self._pulse.always()

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
