"""A partition as RabbitMQ keeps it: a stream, read from any offset over plain AMQP.

The broker does not say where a stream ends. So whoever has to know writes a mark, with a name of its own, and reads up
to it: what is before the mark is all there was. Hearers pass over marks.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import msgspec
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from daicho.adapters.buses.rabbitmq.wire import Wire, when_it_ends
from daicho.adapters.cloudevents import AMQP, message_from
from daicho.adapters.searching import behind
from daicho.ports.event_bus import BusMessage

__all__ = ["MARK", "PREFETCH", "Entry", "Log", "entry_of"]

MARK = "daicho-mark"
PREFETCH = 500
"""Messages that the broker sends ahead."""
_FIRST_STEP, _LONGEST_STEP = 64, 16384
_FEW = 8
"""Sent ahead where one message is looked for: what comes behind it delays everything else on the connection."""


class Entry(msgspec.Struct, frozen=True):
    """What stands at one offset."""

    offset: int
    message: BusMessage
    mark: str | None
    tag: int


def entry_of(delivered: DeliveredMessage) -> Entry:
    """Raises nothing, whatever somebody put into the stream."""
    properties = delivered.header.properties
    headers = properties.headers or {}
    offset, mark, tag = headers.get("x-stream-offset"), headers.get(MARK), delivered.delivery_tag
    message = message_from(headers, delivered.body, AMQP, content_type=properties.content_type)
    return Entry(offset if isinstance(offset, int) else -1, message, mark if isinstance(mark, str) else None, tag or 0)


class Log:
    """One stream."""

    def __init__(self, wire: Wire, queue: str) -> None:
        self._wire = wire
        self._queue = queue

    async def tail(self) -> int:
        """The number of the last message of a chain; 0 if there is none."""
        entries = await self._end()
        end, step = entries[0].offset, _FIRST_STEP
        while True:
            if number := next((entry.message.number for entry in reversed(entries) if entry.message.number), 0):
                return number
            if end <= 0:
                return 0
            start = max(0, end - step)
            entries = await self._read(start, lambda entry, last=end - 1: entry.offset >= last)  # type: ignore[misc]
            if entries[0].offset >= end:  # what is before is no longer kept
                return 0
            end, step = start, min(step * 2, _LONGEST_STEP)

    async def end(self) -> int:
        """The offset behind all there was when it was asked."""
        return (await self._end())[-1].offset

    async def behind(self, number: int) -> int:
        """From which offset one hears everything behind this number."""
        end = await self.end()
        [first, *_] = await self._read("first", lambda _: True, ahead=1)

        async def numbered(offset: int) -> tuple[int, int] | None:
            entries = await self._read(
                offset, lambda entry: bool(entry.message.number) or entry.offset >= end, ahead=_FEW
            )
            found = entries[-1]
            return (found.offset, found.message.number) if found.offset < end else None

        return await behind(number, first.offset, end, numbered)

    async def at(self, offset: int) -> Entry:
        """What stands there, or the first that is kept behind it. The stream has to go as far."""
        return (await self._read(offset, lambda _: True, ahead=1))[0]

    async def _end(self) -> list[Entry]:
        """Some of the last messages, and a mark."""
        mark = uuid4().hex
        async with self._reading("last", PREFETCH) as (channel, next_entry):
            properties = Basic.Properties(headers={MARK: mark}, delivery_mode=2, message_id=mark)
            await channel.basic_publish(b"", routing_key=self._queue, properties=properties, mandatory=True)
            return await _until(channel, next_entry, lambda entry: entry.mark == mark, PREFETCH)

    async def _read(self, start: int | str, is_last: Callable[[Entry], bool], ahead: int = PREFETCH) -> list[Entry]:
        async with self._reading(start, ahead) as (channel, next_entry):
            return await _until(channel, next_entry, is_last, ahead)

    @asynccontextmanager
    async def _reading(
        self, start: int | str, ahead: int
    ) -> AsyncGenerator[tuple[AbstractChannel, "asyncio.Queue[Entry | None]"], None]:
        """From what is there when it is entered."""
        entries: asyncio.Queue[Entry | None] = asyncio.Queue()

        async def arrived(delivered: DeliveredMessage) -> None:
            entries.put_nowait(entry_of(delivered))

        async with self._wire.briefly() as channel:
            await channel.basic_qos(prefetch_count=ahead)
            when_it_ends(channel, lambda: entries.put_nowait(None))
            await channel.basic_consume(self._queue, arrived, arguments={"x-stream-offset": start})
            yield channel, entries


async def _until(
    channel: AbstractChannel, entries: "asyncio.Queue[Entry | None]", is_last: Callable[[Entry], bool], ahead: int
) -> list[Entry]:
    found: list[Entry] = []
    while not found or not is_last(found[-1]):
        entry = await entries.get()
        if entry is None:
            raise ConnectionError("the channel was closed while a stream was read")
        found.append(entry)
        if len(found) % max(1, ahead // 2) == 0:  # here, and never from a callback: it could come behind the end
            await channel.basic_ack(entry.tag, multiple=True, wait=False)
    return found
