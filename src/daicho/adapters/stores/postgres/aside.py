"""Appends with inline work: a synchronous connection on a thread, because inline projections are synchronous."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import psycopg
from psycopg import errors as pg

from daicho.adapters.stores.postgres.inline import PostgresInline
from daicho.adapters.stores.postgres.lines import SETTINGS, raw_json
from daicho.adapters.stores.postgres.location import Location
from daicho.adapters.stores.postgres.requests import Group
from daicho.core.errors import DuplicateEventId, MessageError
from daicho.ports.event_store import AppendRequest, StoredEvent

__all__ = ["Aside", "Taken"]

SyncConnection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


class Taken(Exception):
    """An id or a version was taken by somebody else while this request was under way."""


class Aside:
    """One connection and its thread. Not for two users at once."""

    def __init__(self, location: Location, append: str, *, prepare: bool) -> None:
        self._location, self._append, self._prepare = location, append, prepare
        self._connection: SyncConnection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="daicho-postgres-inline")

    async def append(self, requests: Sequence[AppendRequest], now: str) -> list[Any]:
        """For each request: (versions before, refused, positions) as `daicho.append` gives them, or an exception.

        All that went through has been committed together; what raised has left no trace. Raises the driver's errors
        if that is not so.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, requests, now)

    async def hang_up(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._hang_up)

    async def close(self) -> None:
        await self.hang_up()
        self._thread.shutdown()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ready(self) -> SyncConnection:
        connection = self._connection
        if connection is None or connection.closed:
            self._connection = connection = psycopg.connect(
                self._location.conninfo, autocommit=True, prepare_threshold=0 if self._prepare else None
            )
            raw_json(connection.adapters)
            if self._prepare:
                connection.execute(SETTINGS)
        return connection

    def _work(self, requests: Sequence[AppendRequest], now: str) -> list[Any]:
        connection = self._ready()
        with connection.transaction():
            return [self._one(connection, request, now) for request in requests]

    def _one(self, connection: SyncConnection, request: AppendRequest, now: str) -> Any:
        try:
            with connection.transaction():
                parameters = Group([request], now).parameters
                answer: Any = connection.execute(self._append.encode(), parameters, binary=True).fetchone()
                _, refused, _ = answer
                if not refused:
                    assert request.inline is not None
                    request.inline(
                        PostgresInline(connection, now, self._location.schema), _stored(request, answer, now)
                    )
                return answer
        except pg.UniqueViolation as error:
            return Taken(error)
        except (pg.DataError, pg.IntegrityError, MessageError, DuplicateEventId) as error:
            return error
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - the user's code: an answer to this request alone
            return error


def _stored(request: AppendRequest, answer: Any, now: str) -> list[StoredEvent]:
    before, _, positions = answer
    stored: list[StoredEvent] = []
    for n, write in enumerate(request.writes):
        for version, event in enumerate(write.events, before[n] + 1):
            stored.append(
                StoredEvent(
                    positions[len(stored)], write.stream, version, event.type, event.schema_version, event.event_id,
                    event.occurred_at, now, event.actor, event.tenant, event.correlation_id, event.causation_id,
                    event.tags, event.metadata, event.data,
                )
            )  # fmt: skip
    return stored
