"""A streaming replica of the store: read as any store, never written to."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from daicho.adapters.stores.postgres.appending import Answer
from daicho.adapters.stores.postgres.aside import Aside
from daicho.adapters.stores.postgres.base import Opened
from daicho.adapters.stores.postgres.head import Head
from daicho.adapters.stores.postgres.lines import Line, Lines
from daicho.adapters.stores.postgres.sampling import Lookout
from daicho.adapters.stores.postgres.schema import migrate
from daicho.adapters.stores.postgres.seat import Seat
from daicho.adapters.stores.postgres.server import checked_version, is_pooled
from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.errors import StoreBusy, StoreReadOnly, StoreUnavailable
from daicho.ports.event_store import AppendRequest, Selection

__all__ = ["PostgresStandby"]

_PATIENCE = 2.0
_OTHER_SERVER = """do $$ begin
if (select server from ({server}) as present) is distinct from '{expected}' then
  raise exception 'this is another server than the one that was looked at, or it was started again'
    using errcode = 'connection_failure';
end if;
end $$"""


class PostgresStandby(PostgresStorage):
    """Fulfils `daicho.ports.replication.ReplicaStorage`.

    Opening checks the schema and changes nothing. All its connections are to one start of one server: if the URL leads
    to another one later, whoever asks gets an error, and it has to be opened again. A connection that cannot be made at
    once is not waited for: there are others to ask.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._location = msgspec.structs.replace(self._location, reconnect_within=0.0)
        self.data = ""
        self._head_line: Line | None = None

    async def open(self) -> None:
        if self._open is not None:
            return
        location, seat = self._location, Seat(self._location)
        first = Line(location, prepare=False)
        try:
            connection = await first.ready()
            with self._told():
                self._version = await checked_version(connection, location, standby=True)
                pooled = await is_pooled(connection, location)
                cursor = await connection.execute(self._queries["server"].encode())
                [(server, self.data)] = await cursor.fetchall()
            await migrate(connection, location, only_check=True)
        finally:
            await first.hang_up()
        prepare = not pooled
        same = _OTHER_SERVER.format(server=self._queries["server"], expected=server)
        # nothing can be listened to on a standby: what is new is looked for
        self._head_line = Line(location, prepare=prepare)
        head = Head(self._head_line, self._queries["told_head"], channel=None, shown=location.url)
        try:
            await head.start()
        except BaseException:
            self._head_line.bar(self._gone())
            await head.close()
            raise
        self._open = Opened(
            Line(location, prepare=prepare),
            Aside(location, prepare=prepare, seat=seat),
            Lines(location, prepare=prepare, greeting=[same.encode()]),
            head,
            seat,
            pooled=pooled,
        )
        self._lookout = Lookout(location, self._queries["sample"], prepare=prepare)

    async def live_tables(self) -> Mapping[str, int]:
        return dict[str, int](await self._read(self._queries["live_tables"]))

    def _gone(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.url} does not answer", why="it was given up as frozen or gone", do="look at the server"
        )

    def cut(self) -> None:
        error = self._gone()
        if self._lookout is not None:
            self._lookout.bar(error)
        if self._head_line is not None:
            self._head_line.bar(error)
        if self._open is not None:
            self._open.lines.bar(error)

    def begin(self, request: AppendRequest, told: Callable[[Answer], None]) -> bool:
        return False

    async def _append_group(
        self, requests: Sequence[AppendRequest], *, again: bool = False, as_columns: bool = True
    ) -> list[Answer]:
        raise StoreReadOnly(
            f"{self.url} is a replica", why="it shows what the primary wrote", do="send commands to the primary"
        )

    async def _horizon(self, selection: Selection) -> int | None:
        horizon = await super()._horizon(selection)
        up_to = selection.up_to
        if up_to is None or horizon is None or horizon >= up_to:
            return horizon
        try:  # somebody has seen the log longer elsewhere: less would look as if there were nothing
            async with asyncio.timeout(_PATIENCE):
                await self._opened().head.wait(up_to - 1)
        except TimeoutError:
            raise StoreBusy(
                f"{self.url} has not got to position {up_to}",
                why=f"it is at {self._opened().head.seen}",
                do="ask again, or elsewhere",
            ) from None
        return up_to
