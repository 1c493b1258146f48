"""A lone append, sent from within the call that asks for it, and answered from within the call that hears the server.

begin ──> daicho.append_one(...) sent              nothing wakes up in between:
told  <── its answer <── the wire can be read      no task, no turn of the event loop more than the wire takes
             └── null, an error, the connection lost: the long way, which tells why or does it again
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import psycopg

from daicho.adapters.stores.postgres.appending import Answer, PostgresAppending
from daicho.adapters.stores.postgres.failures import is_lost
from daicho.adapters.stores.postgres.lines import Rows
from daicho.adapters.stores.postgres.requests import single_event
from daicho.ports.event_store import Appended, AppendRequest

__all__ = ["PostgresBeginning"]


class PostgresBeginning(PostgresAppending):
    """Fulfils `daicho.ports.event_store.Beginning`."""

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._long_ways: set[asyncio.Task[None]] = set()

    def begin(self, request: AppendRequest, told: Callable[[Answer], None]) -> bool:
        opened, now = self._opened(), self._time()
        if opened.pooled or (single := single_event(request)) is None or self._is_overtaken(request):
            return False
        if not opened.begin_writing():
            return False

        def answered(rows: Rows | Exception) -> None:
            opened.end_writing()
            place = None if isinstance(rows, Exception) else rows[0][0]
            if place is None or opened.seat.lacks(place):
                again = place is not None or (isinstance(rows, Exception) and is_lost(rows))
                self._the_long_way(request, again, told)
                return
            answer = Appended(positions=(place,), versions=(single[1] + 1,))
            self._committed((request,), (answer,), (place,), now, len(single[-1]) + len(single[-2]))
            opened.end_append()
            told(answer)

        try:
            if opened.writer.begin(self._queries["append_one"], (now, *single), answered):
                return True
        except (psycopg.Error, UnicodeError):  # nothing was sent: why it cannot be is told elsewhere
            pass
        opened.end_writing()
        opened.end_append()
        return False

    def _the_long_way(self, request: AppendRequest, again: bool, told: Callable[[Answer], None]) -> None:
        """For an append that was begun, and turned out not to be everyday."""

        async def go() -> None:
            try:
                [answer] = await self._append_group([request], again=again)
            except Exception as error:  # noqa: BLE001 - an answer, to whoever waits for it
                answer = error
            finally:
                self._opened().end_append()
            told(answer)

        task = asyncio.ensure_future(go())
        self._long_ways.add(task)
        task.add_done_callback(self._long_ways.discard)
