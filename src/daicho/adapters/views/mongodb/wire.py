"""The way to one MongoDB: pymongo's client, and patience while no primary answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import TypeVar

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.read_preferences import ReadPreference

from daicho.adapters.views.mongodb.failures import FAILURES, is_passing, translated
from daicho.adapters.views.mongodb.location import Location
from daicho.adapters.views.mongodb.rows import Document
from daicho.core.errors import BadUrl, StoreClosed

__all__ = ["Database", "Wire"]

T = TypeVar("T")
Database = AsyncDatabase[Document]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_OPTIONS: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)


class Wire:
    """Attempts things until there is an answer, for as long as the location allows: they may be done twice.

    Raises StoreClosed and what `failures` translates to.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._client: AsyncMongoClient[Document] | None = None
        self._database: Database | None = None
        self._under_way = 0
        self._idle = asyncio.Event()

    def open(self) -> None:
        """Connects with the first question. Raises BadUrl."""
        self._idle = asyncio.Event()  # the loop may be another one than before
        location = self._location
        try:
            self._client = AsyncMongoClient(location.target, **location.options)
        except (ConfigurationError, InvalidURI, ValueError) as error:
            raise BadUrl(f"{location.url!r} does not name a MongoDB", why=str(error), url=location.url) from None
        self._database = self._client.get_database(
            location.database, codec_options=_OPTIONS, read_preference=ReadPreference.PRIMARY
        )

    async def close(self) -> None:
        """When what is under way has ended."""
        client, self._client, self._database = self._client, None, None
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        if client is not None:
            await client.close()

    async def keep(self, attempt: Callable[[Database], Awaitable[T]]) -> T:
        """Attempts it until it comes to an end."""
        database = self._database
        if database is None:
            raise StoreClosed(f"{self._location.url} is not open", do="open the store before using it")
        self._under_way += 1
        try:
            return await self._kept(database, attempt)
        except FAILURES as error:
            raise translated(error, self._location.url) from error
        finally:
            self._under_way -= 1
            self._idle.set()

    async def _kept(self, database: Database, attempt: Callable[[Database], Awaitable[T]]) -> T:
        deadline, pause = None, _FIRST_PAUSE
        while True:
            try:
                return await attempt(database)
            except FAILURES as error:
                now = time.monotonic()
                deadline = deadline or now + self._location.reconnect_within
                if not is_passing(error) or now + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
