"""The line of one App to the bus: opened when the broker answers, with the channels that are used made once."""

import asyncio
from contextlib import suppress

from daicho.core.errors import BusError
from daicho.ports.event_bus import Channel, EventBus

__all__ = ["Line", "commands_of", "events_of", "replies_of"]


class Line:
    """A broker that is away when the App starts is waited for, by each who needs it; all that wait share one try."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self._ready: dict[Channel | None, asyncio.Future[None]] = {}

    async def ready(self, channel: Channel) -> EventBus:
        """The bus, open, with the channel. Raises what `open` and `declare` do."""
        await self.opened()
        await self._once(channel)
        return self.bus

    async def opened(self) -> None:
        await self._once(None)

    def doubt(self, channel: Channel) -> None:
        """Something went wrong there: who knows whether it is still there."""
        known = self._ready.get(channel)
        if known is not None and known.done():
            del self._ready[channel]

    async def close(self) -> None:
        for trying in self._ready.values():
            trying.cancel()
        with suppress(BusError):  # nothing waits for it any more: what was accepted is in the register
            await self.bus.close()

    async def _once(self, channel: Channel | None) -> None:
        trying = self._ready.get(channel)
        if trying is None or (trying.done() and (trying.cancelled() or trying.exception() is not None)):
            work = self.bus.open() if channel is None else self.bus.declare(channel)
            trying = self._ready[channel] = asyncio.ensure_future(work)
        await asyncio.shield(trying)


def events_of(service: str, partitions: int) -> Channel:
    return Channel(f"events.{service}", partitions)


def commands_of(service: str, partitions: int) -> Channel:
    return Channel(f"commands.{service}", partitions)


def replies_of(service: str) -> Channel:
    return Channel(f"replies.{service}", 1)
