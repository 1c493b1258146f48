"""A look at a primary or a replica, on a connection of its own: nobody else's statements hold it up."""

import asyncio

import psycopg

from daicho.adapters.stores.postgres.failures import translated
from daicho.adapters.stores.postgres.lines import Line
from daicho.adapters.stores.postgres.location import Location
from daicho.adapters.stores.postgres.seat import Seat
from daicho.core.errors import StoreFailed, StoreUnavailable
from daicho.ports.replication import Sample

__all__ = ["Lookout"]


class Lookout:
    def __init__(self, location: Location, query: str, *, prepare: bool, seat: Seat | None = None) -> None:
        self._location, self._query, self._prepare, self._seat = location, query, prepare, seat
        self._line: Line | None = None
        self._turn = asyncio.Lock()

    async def sample(self, within: float) -> Sample:
        async with self._turn:
            line = self._line or Line(self._location, prepare=self._prepare, seat=self._seat)
            self._line = line
            url = self._location.url
            late = StoreUnavailable(
                f"{url} does not answer", why=f"it was asked {within:g} s ago", do="look at the server"
            )
            watchdog = asyncio.get_running_loop().call_later(within, line.bar, late)
            try:
                async with asyncio.timeout(within + 1.0):  # a connection that does not come about is not barred
                    rows = await line.rows(self._query)
            except TimeoutError:
                await self.close()
                raise late from None
            except psycopg.Error as error:
                await self.close()
                raise translated(error, url) from error
            except BaseException:
                await self.close()
                raise
            finally:
                watchdog.cancel()
            if not rows:
                raise StoreFailed(f"{url} has no row in daicho_head", do="`daicho migrate up` on the primary")
            [(data, server, standby, beat, position, beat_at, now, arrived, shown, follows)] = rows
            return Sample(
                data=data,
                server=server,
                standby=standby,
                beat=beat,
                position=position,
                beat_at=beat_at,
                now=now,
                arrived=arrived,
                shown=shown,
                follows=follows,
            )

    def bar(self, error: StoreUnavailable) -> None:
        if self._line is not None:
            self._line.bar(error)

    async def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.hang_up()
