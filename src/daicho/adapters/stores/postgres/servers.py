"""Single PostgreSQL servers, asked and told: not the store on them, and whether or not they are primaries."""

import asyncio
import errno
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from daicho.adapters.stores.postgres.failures import translated
from daicho.adapters.stores.postgres.location import Location, parse_url
from daicho.adapters.stores.postgres.queries import queries_for
from daicho.ports.failover import Fencing, ServerState, SlotState

__all__ = ["Server"]

_PATIENCE = 5.0
_MISSING = (pg.UndefinedTable, pg.UndefinedFunction, pg.InvalidSchemaName)


class Server:
    """One server, over connections of its own. Raises StoreError unless it says otherwise."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._queries = queries_for(location.schema)

    @classmethod
    def all_of(cls, url: str) -> list["Server"]:
        """One for each host of the URL, whatever it is. Raises BadUrl."""
        location = parse_url(url)
        found: list[Server] = []
        for n in range(location.hosts):
            conninfo = location.conninfo_to((n,), anyhow=True)
            given = conninfo_to_dict(conninfo)
            shown = f"postgresql://{given.get('host', '')}:{given.get('port', '5432')}/{given.get('dbname', '')}"
            conninfo = make_conninfo(conninfo, connect_timeout=3)
            found.append(cls(msgspec.structs.replace(location, url=shown, conninfo=conninfo)))
        return found

    @property
    def url(self) -> str:
        return self.location.url

    @property
    def where(self) -> tuple[str, str]:
        """Host and port: the same for two URLs of one server."""
        given = conninfo_to_dict(self.location.conninfo)
        return str(given.get("hostaddr") or given.get("host") or ""), str(given.get("port") or "5432")

    @property
    def full_url(self) -> str:
        """With all that is needed to open the store there."""
        given = conninfo_to_dict(self.location.conninfo)
        host, port = self.where
        user, password = given.get("user"), given.get("password")
        who = f"{user}{f':{password}' if password else ''}@" if user else ""
        options = f"schema={self.location.schema}&reconnect_within=5"
        return f"postgresql://{who}{host}:{port}/{given.get('dbname') or ''}?{options}"

    async def state(self) -> ServerState:
        """How it stands. Raises nothing."""
        try:
            async with asyncio.timeout(_PATIENCE), self.connected() as connection:
                return await self._state(connection)
        except (psycopg.Error, TimeoutError) as error:
            detail = str(error).strip() or type(error).__name__
            return ServerState(url=self.url, role="down" if is_refused(error) else "unknown", detail=detail)

    async def _state(self, connection: AsyncConnection[Any]) -> ServerState:
        [row] = await self._rows(connection, "server_state")
        is_standby, is_read_only, timeline, received, replayed, seconds, _, _ = row
        epoch, position = -1, 0
        with suppress(*_MISSING):
            [(position,)] = await self._rows(connection, "newest")
            [(_, epoch, _)] = await self._rows(connection, "glance")
        return ServerState(
            url=self.url,
            role="standby" if is_standby else "primary",
            is_read_only=is_read_only,
            timeline=timeline,
            epoch=epoch,
            position=position,
            received=received or "",
            replayed=replayed or "",
            seconds_behind=seconds,
        )

    async def told_of(self) -> list[ServerState]:
        """The standbys that are connected to it, by name."""
        async with self.asked() as connection:
            return [
                ServerState(
                    url="", name=name, role="unknown", replayed=replayed or "", bytes_behind=behind,
                    seconds_behind=seconds, sync=sync, detail=state,
                )
                for name, state, sync, replayed, behind, seconds in await self._rows(connection, "standbys_of")
            ]  # fmt: skip

    async def slots(self) -> list[SlotState]:
        async with self.asked() as connection:
            return [
                SlotState(name=name, kind=kind, is_active=active, retained_bytes=retained)
                for name, kind, active, retained in await self._rows(connection, "slots")
            ]

    async def is_synchronous(self) -> bool:
        """Whether what it acknowledges is on a standby, too."""
        async with self.asked() as connection:
            [(*_, names, commit)] = await self._rows(connection, "server_state")
            return bool(names) and commit in {"on", "remote_write", "remote_apply"}

    async def name_of(self) -> str:
        """The name by which a standby tells its primary of itself."""
        async with self.asked() as connection:
            cursor = await connection.execute("select current_setting('primary_conninfo', true)")
            [(conninfo,)] = await cursor.fetchall()
            with suppress(psycopg.Error):
                return str(conninfo_to_dict(conninfo or "").get("application_name") or "")
        return ""

    async def count_behind(self, position: int) -> int:
        """How many events it has behind that position."""
        async with self.asked() as connection:
            with suppress(*_MISSING):
                [(count,)] = await self._rows(connection, "count_behind", position)
                return int(count)
        return 0

    async def bytes_between(self, later: str, earlier: str) -> int:
        async with self.asked() as connection:
            [(count,)] = await self._rows(connection, "lsn_behind", later, earlier)
            return int(count)

    # -- fencing --------------------------------------------------------------------------------------------------

    async def fencing(self) -> tuple[Fencing, str]:
        """Whether it takes writes, and whether it can be kept from it. Raises nothing."""
        state = await self.state()
        if state.role == "down":
            return "down", f"nobody listens at {self.url}"
        if state.role == "unknown":
            return "unknown", f"{self.url} does not answer, which does not say that it takes no writes: {state.detail}"
        if state.role == "standby":
            return "done", f"{self.url} is a standby"
        if state.is_read_only:
            return "done", f"{self.url} is read-only by default"
        async with self.asked() as connection:
            [(may,)] = await self._rows(connection, "may_fence")
        if may:
            return "possible", f"{self.url} takes writes, and can be made read-only from here"
        return "impossible", f"{self.url} takes writes, and this user may not make it read-only: it is no superuser"

    async def fence(self) -> str:
        """Makes it read-only and ends all other connections to the database. Returns how far its log goes."""
        async with self.asked() as connection:
            await connection.execute("alter system set default_transaction_read_only = on")
            await connection.execute("select pg_reload_conf()")
            while not (await self.state()).is_read_only:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.02)
            while True:
                await self._rows(connection, "end_others")
                [(others,)] = await self._rows(connection, "others")
                if not others:
                    break
                await asyncio.sleep(0.02)
            [(_, _, _, place, *_)] = await self._rows(connection, "server_state")
            return str(place)

    async def unfence(self) -> None:
        async with self.asked() as connection:
            await connection.execute("set default_transaction_read_only = off")
            await connection.execute("alter system reset default_transaction_read_only")
            await connection.execute("select pg_reload_conf()")

    # -- promoting ------------------------------------------------------------------------------------------------

    async def has_replayed(self, place: str) -> bool:
        async with self.asked() as connection:
            [(_, _, _, _, replayed, *_)] = await self._rows(connection, "server_state")
            [(behind,)] = await self._rows(connection, "lsn_behind", place, replayed)
            return bool(behind <= 0)

    async def promote(self, within: float) -> bool:
        async with self.asked() as connection:
            [(done,)] = await self._rows(connection, "promote", max(1, int(within)))
            return bool(done)

    # -- what it has ----------------------------------------------------------------------------------------------

    async def events(self, after: int, limit: int) -> list[tuple[Any, ...]]:
        async with self.asked() as connection:
            return await self._rows(connection, "events_of", after, limit)

    async def present(self, ids: Sequence[str]) -> set[str]:
        async with self.asked() as connection:
            return {found for (found,) in await self._rows(connection, "present", list(ids))}

    # -- asking ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def asked(self) -> AsyncGenerator[AsyncConnection[Any]]:
        try:
            async with self.connected() as connection:
                yield connection
        except psycopg.Error as error:
            raise translated(error, self.url) from error

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[AsyncConnection[Any]]:
        connection = await AsyncConnection.connect(self.location.conninfo, autocommit=True, prepare_threshold=None)
        try:
            yield connection
        finally:
            await connection.close()

    async def _rows(self, connection: AsyncConnection[Any], name: str, *values: Any) -> list[tuple[Any, ...]]:
        return await (await connection.execute(self._queries[name].encode(), values)).fetchall()


def is_refused(error: BaseException) -> bool:
    """Whether the machine answered that nobody listens there: then no server runs, whoever asks."""
    text = str(error).lower()
    return "connection refused" in text or f"errno {errno.ECONNREFUSED}" in text
