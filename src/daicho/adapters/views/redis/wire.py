"""The way to one Redis server: a pool of connections, scripts, and patience while the server is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MovedError, NoScriptError, RedisError

from daicho.adapters.views.redis.failures import is_passing, translated
from daicho.adapters.views.redis.location import Location
from daicho.core.errors import StoreClosed

__all__ = ["Argument", "Wire"]

T = TypeVar("T")
Argument = str | bytes | int

_FOLDER = Path(__file__).parent / "scripts"
_ANSWERS_WITHIN = (1.0, 4.0)  # seconds, at least and at most
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


_within: ContextVar[bool] = ContextVar("within", default=False)
"""Whether this task is in the middle of a piece of work."""


@lru_cache(maxsize=32)
def _script(name: str) -> tuple[str, str]:
    """Its text, and what the server knows it by."""
    text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return text, sha1(text.encode()).hexdigest()  # noqa: S324  (that is how Redis names scripts)


async def _ask(client: Redis, *command: Argument) -> Any:
    untyped: Any = client
    return await untyped.execute_command(*command)


def _is_elsewhere(error: BaseException) -> bool:
    """Whether it is a node of a cluster, and says that another one has our keys."""
    return isinstance(error, MovedError) or str(error).startswith("MOVED ")  # older libraries have no class for it


def _told(error: BaseException, at: tuple[str, int]) -> tuple[str, int]:
    """Where that node is; without a host, where the one is that told."""
    host, _, port = str(error).split()[-1].rpartition(":")
    return (host or at[0], int(port))


class Wire:
    """Asks until there is an answer, for as long as the location allows: what is asked may be carried out twice.

    In a cluster, it follows the prefix to the node that has it. Raises StoreClosed and what `failures` translates to.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._home = (location.host, location.port)
        self._at = self._home
        self._clients: dict[tuple[str, int], Redis] = {}
        self._is_open = False
        self._under_way = 0
        self._idle = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._is_open

    def open(self) -> None:
        self._is_open = True
        self._idle = asyncio.Event()  # of the loop that it is opened in

    async def close(self) -> None:
        """When what is under way has ended."""
        self._is_open = False
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.connection_pool.disconnect()

    async def call(self, *command: Argument) -> Any:
        return await self.keep(lambda client, _: _ask(client, *command))

    async def run(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """The script's answer."""
        return await self.keep(lambda client, _: self.evaluate(client, name, keys, arguments))

    async def evaluate(self, client: Redis, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Once, within `keep`."""
        text, digest = _script(name)
        try:
            return await _ask(client, "EVALSHA", digest, len(keys), *keys, *arguments)
        except NoScriptError:  # it was started anew, or is another server
            return await _ask(client, "EVAL", text, len(keys), *keys, *arguments)

    async def keep(self, attempt: Callable[[Redis, bool], Awaitable[T]]) -> T:
        """Attempts it until it comes to an end; the attempt is told whether there was one before."""
        with self.whole():
            try:
                return await self._kept(attempt)
            except (RedisError, OSError) as error:
                raise translated(error, self._location.url) from error

    @contextmanager
    def whole(self) -> Generator[None, None, None]:
        """What is asked in here is one piece of work: closing waits for all of it. Raises StoreClosed."""
        if not (self._is_open or _within.get()):
            raise StoreClosed(f"{self._location.url} is not open", do="open the store before using it")
        outside = _within.set(True)
        self._under_way += 1
        try:
            yield
        finally:
            _within.reset(outside)
            self._under_way -= 1
            self._idle.set()

    async def _kept(self, attempt: Callable[[Redis, bool], Awaitable[T]]) -> T:
        deadline = time.monotonic() + self._location.reconnect_within
        again, pause = False, _FIRST_PAUSE
        while True:
            at = self._at
            try:
                return await attempt(self._client(at), again)
            except (RedisError, OSError) as error:
                moved = _is_elsewhere(error)
                if not (moved or is_passing(error)) or time.monotonic() + pause > deadline:
                    raise
                self._at = _told(error, at) if moved else self._home
            again = True
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _client(self, at: tuple[str, int]) -> Redis:
        if at not in self._clients:
            location = self._location
            least, most = _ANSWERS_WITHIN
            seconds = max(least, min(most, location.reconnect_within))
            tls: dict[str, Any] = {"connection_class": SSLConnection, **location.tls_files} if location.tls else {}
            pool = BlockingConnectionPool(
                host=at[0],
                port=at[1],
                db=location.database,
                username=location.username,
                password=location.password,
                max_connections=location.pool,
                timeout=max(location.reconnect_within, seconds),
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),
                client_name="daicho",
                protocol=2,
                **tls,
            )
            self._clients[at] = Redis(connection_pool=pool)
        return self._clients[at]
