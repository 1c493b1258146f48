"""Hearing one partition: reading its stream from the place that the group has."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from daicho.adapters.buses.redis.entries import Place, Shelf, deliveries
from daicho.adapters.buses.redis.wire import Argument, Wire
from daicho.core.errors import BusClosed, BusUnavailable
from daicho.ports.event_bus import Delivery

__all__ = ["RedisSubscription"]

_WINDOW = 256
"""Messages that are read at once."""
_BLOCK = 5.0
"""Seconds that the server waits for a message before it says that there is none."""
_PAGE = 100


class RedisSubscription:
    """Reading takes nothing out of a stream, so what was given up, or broken off, is read again."""

    def __init__(self, wire: Wire, shelf: Shelf, group: str, token: str, place: Place) -> None:
        self._wire, self._shelf, self._group, self._token = wire, shelf, group, token
        self._heard = place
        """The last message that was taken in."""
        self._acknowledged = place
        self._sure = -1
        """Of the connections up to which it is known that the stream is the one in which `_heard` was."""
        self._ready: deque[Delivery] = deque()
        self._closing = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closing.is_set()

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        while not self._ready:
            self._check()
            closing = asyncio.ensure_future(self._closing.wait())
            reading = asyncio.ensure_future(self._read())
            try:
                await asyncio.wait((closing, reading), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (closing, reading):
                    each.cancel()
                await asyncio.gather(closing, reading, return_exceptions=True)
            if not reading.cancelled():
                reading.result()
        self._check()
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    async def _read(self) -> None:
        wire, command = self._wire, ("XREAD", "COUNT", _WINDOW, "BLOCK", int(_BLOCK * 1000), "STREAMS")
        if self._sure != wire.connections:
            before = wire.connections
            self._heard = await self._surely(self._heard)
            self._sure = before
        try:
            found = await wire.call(*command, self._shelf.stream, self._heard.id, block=_BLOCK, patient=False)
        except BusUnavailable:
            self._sure = -1  # and wait until it is there again
            return
        if found and self._sure == wire.connections:  # otherwise it may come from a server that was started again
            came = deliveries(found[0][1])
            self._ready += came
            self._heard = came[-1].receipt

    async def _surely(self, heard: Place) -> Place:
        """The same place, if the stream still has it or keeps it no longer. Otherwise the server lost what it had not
        brought to disk, and what came since may have ids of lost ones: then the last entry that is not younger."""
        if not heard.at:
            return heard
        if (found := await self._range("XRANGE", heard.id, heard.id, 1)) and found[0].receipt == heard:
            return heard
        first = await self._range("XRANGE", "-", "+", 1)
        if first and first[0].receipt.order > heard.order:
            return heard
        end = "+"
        while entries := await self._range("XREVRANGE", end, "-", _PAGE):
            for each in entries:
                if each.receipt.at <= heard.at:
                    known: Place = each.receipt
                    return known
            end = f"({entries[-1].receipt.id}"
        return Place()

    async def _range(self, command: str, start: str, end: str, count: int) -> list[Delivery]:
        found: Any = await self._wire.call(command, self._shelf.stream, start, end, "COUNT", count)
        return deliveries(found or ())

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        if not deliveries:
            return
        last: Place = max((delivery.receipt for delivery in deliveries), key=lambda place: place.order)
        if last == self._acknowledged:
            return
        shelf = self._shelf
        given: list[Argument] = [self._group, self._token, last.id, last.at]
        if not await self._wire.run("keep", [shelf.stream, shelf.places], given):
            raise BusClosed(
                f"this subscription of {self._group} is over", why="another one hears for the group", do="nothing"
            )
        self._acknowledged = last

    async def close(self) -> None:
        self._closing.set()

    def _check(self) -> None:
        if self._closing.is_set():
            raise BusClosed(f"the subscription of {self._group} is closed", do="subscribe again")
