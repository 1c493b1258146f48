"""The way to one Redis server: a pool of connections, scripts, and patience while the server is away."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis import exceptions as said
from redis.asyncio import ConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from daicho.adapters.buses.redis.location import Location
from daicho.core.errors import BusClosed, BusError, BusRefused, BusUnavailable

__all__ = ["Argument", "Wire"]

Argument = str | bytes | int

_FOLDER = Path(__file__).parent / "scripts"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_LOST = (said.ConnectionError, said.TimeoutError, OSError, TimeoutError)
_KEPT_OUT = (said.AuthenticationError, said.AuthorizationError, said.NoPermissionError)
_CANNOT_NOW = ("BUSY ", "NOREPLICAS", "UNBLOCKED", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "READONLY")


@lru_cache(maxsize=8)
def _script(name: str) -> tuple[str, str]:
    """Its text, and what the server knows it by."""
    text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return text, sha1(text.encode()).hexdigest()  # noqa: S324  (that is how Redis names scripts)


class Wire:
    """Asks until there is an answer, for as long as the location allows: what is asked may be carried out twice."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._client: Redis | None = None
        self._is_closing = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self.connections = 0
        """How many there have been. Behind a new one may be a server that was started again."""

    @property
    def is_open(self) -> bool:
        return self._client is not None

    def open(self) -> None:
        self._is_closing = False
        self._idle = asyncio.Event()  # of the loop that it is opened in
        location = self._location
        tls: dict[str, Any] = {"connection_class": SSLConnection, **location.tls_files} if location.tls else {}
        pool = ConnectionPool(
            host=location.host,
            port=location.port,
            db=location.database,
            username=location.username,
            password=location.password,
            socket_connect_timeout=location.answer_within,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            client_name="daicho",
            redis_connect_func=self._connected,
            protocol=2,
            **tls,
        )
        self._client = Redis(connection_pool=pool)

    async def _connected(self, connection: Any) -> None:
        self.connections += 1
        await connection.on_connect()

    @asynccontextmanager
    async def whole(self) -> AsyncGenerator[None]:
        """What is asked in here is one piece of work: closing waits for all of it. Raises BusClosed."""
        if self._is_closing or self._client is None:
            raise self._closed()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._idle.set()

    async def close(self) -> None:
        self._is_closing = True
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        client, self._client = self._client, None
        if client:
            await client.connection_pool.disconnect()

    async def call(self, *command: Argument, block: float = 0.0, patient: bool = True) -> Any:
        """The answer, for which the server may take `block` seconds more than usual. Raises BusError; at the first
        failure, if it is not to be patient."""
        deadline = time.monotonic() + (self._location.reconnect_within if patient else 0.0)
        pause = _FIRST_PAUSE
        while True:
            client: Any = self._client
            if client is None:
                raise self._closed()
            try:
                async with asyncio.timeout(self._location.answer_within + block):
                    return await client.execute_command(*command)
            except said.NoScriptError:
                raise
            except (said.RedisError, OSError) as error:
                if self._client is None:
                    raise self._closed() from error
                translated = self._translated(error)
                if not isinstance(translated, BusUnavailable) or time.monotonic() + pause > deadline:
                    raise translated from error
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def run(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """The script's answer."""
        text, digest = _script(name)
        try:
            return await self.call("EVALSHA", digest, len(keys), *keys, *arguments)
        except said.NoScriptError:  # it was started anew, or is another server
            return await self.call("EVAL", text, len(keys), *keys, *arguments)

    def _closed(self) -> BusClosed:
        return BusClosed(f"{self._location.url} is not open", do="open the bus first")

    def _translated(self, error: BaseException) -> BusError:
        url, text = self._location.url, str(error).strip() or type(error).__name__
        if isinstance(error, _KEPT_OUT) or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
            return BusRefused(f"{url} does not let us in", why=text, do="check user and password, and the user's ACL")
        if isinstance(error, (said.OutOfMemoryError, said.ReadOnlyError)) or text.startswith(_CANNOT_NOW):
            return BusUnavailable(
                f"{url} cannot take anything now", why=text, do="wait, or look at its memory, its disk and its role"
            )
        if isinstance(error, _LOST):
            return BusUnavailable(f"{url} does not answer", why=text, do="check that the server runs")
        return BusRefused(f"{url} refused", why=text, do="look into the server's log")
