"""Appends with inline work: a synchronous connection on a thread, because inline projections are synchronous."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

import psycopg
from psycopg import errors as pg

from daicho.adapters.stores.postgres.inline import Moved, PostgresInline
from daicho.adapters.stores.postgres.lines import SETTINGS, raw_json
from daicho.adapters.stores.postgres.location import Location
from daicho.adapters.stores.postgres.queries import queries_for
from daicho.adapters.stores.postgres.requests import Group
from daicho.adapters.stores.postgres.seat import Seat
from daicho.core.errors import DuplicateEventId, MessageError
from daicho.ports.event_store import AppendRequest, StoredEvent

__all__ = ["Aside", "Taken", "is_unbroken", "stored_now"]

SyncConnection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


class Taken(Exception):
    """An id or a version was taken by somebody else while this request was under way."""


class Aside:
    """One connection and its thread. Not for two users at once."""

    def __init__(self, location: Location, *, prepare: bool, seat: Seat) -> None:
        self._location, self._prepare, self._seat = location, prepare, seat
        self._epoch = -1
        self._queries = queries_for(location.schema)
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
        if connection is not None and self._epoch != self._seat.epoch:  # its server was replaced
            self._hang_up()
            connection = None
        if connection is None or connection.closed:
            self._epoch = self._seat.epoch
            self._connection = connection = psycopg.connect(
                self._seat.conninfo, autocommit=True, prepare_threshold=0 if self._prepare else None
            )
            raw_json(connection.adapters)
            if self._prepare:
                connection.execute(SETTINGS)
        return connection

    def _work(self, requests: Sequence[AppendRequest], now: str) -> list[Any]:
        connection = self._ready()
        with connection.transaction():
            connection.execute(self._queries["inline_turn"].encode())
            return [self._one(connection, request, now) for request in requests]

    def _one(self, connection: SyncConnection, request: AppendRequest, now: str) -> Any:
        try:
            with connection.transaction():
                group = Group([request], now)
                append = self._queries[group.name].encode()
                answer: Any = connection.execute(append, group.parameters, binary=True).fetchone()
                _, refused, positions = answer
                if not refused and request.inline is not None and is_unbroken(positions):
                    first, place = positions[0] if positions else 0, self._location
                    inline = PostgresInline(partial(_ask, connection), now, place.schema, first=first, shown=place.url)
                    request.inline(inline, stored_now(request, answer, now))
                return answer
        except (pg.UniqueViolation, Moved) as error:
            return Taken(error)
        except (pg.DataError, pg.IntegrityError, MessageError, DuplicateEventId) as error:
            return error
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - the user's code: an answer to this request alone
            return error


def _ask(connection: SyncConnection, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    cursor = connection.execute(text.encode(), values, binary=True)
    return cursor.fetchall() if cursor.description else []


def is_unbroken(positions: Sequence[int] | None) -> bool:
    """Whether no position between these was drawn by somebody else: inline work must not step over another's event."""
    return not positions or positions[-1] - positions[0] == len(positions) - 1


def stored_now(request: AppendRequest, answer: Any, now: str) -> list[StoredEvent]:
    """The events of a request as they are in the store since a moment."""
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
