"""A hearer of one partition: a consumer of its stream, from the group's place on."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import msgspec
from aiormq.abc import AbstractChannel, ArgumentsType, DeliveredMessage
from pamqp.commands import Basic

from daicho.adapters.buses.rabbitmq.failures import FAILURES
from daicho.adapters.buses.rabbitmq.log import PREFETCH, Entry, Log, entry_of
from daicho.adapters.buses.rabbitmq.places import Place, Places
from daicho.adapters.buses.rabbitmq.wire import Wire, when_it_ends
from daicho.core.errors import BusClosed
from daicho.ports.event_bus import Delivery

__all__ = ["RabbitSubscription", "Receipt"]


class Receipt(msgspec.Struct, frozen=True):
    """The place of a group that has done with a message."""

    offset: int
    number: int


class RabbitSubscription:
    """Attached to the broker, or about to be again: then it begins at the group's place."""

    def __init__(self, wire: Wire, log: Log, queue: str, places: Places, seats: str) -> None:
        self._wire = wire
        self._log = log
        self._queue = queue
        self._places = places
        self._seats = seats
        self._name = f"the subscription {places.queue}"
        self._channel: AbstractChannel | None = None
        self._arrived: deque[Entry] = deque()
        self._news = asyncio.Event()
        self._attached = False
        self._room_up_to = 0
        self._place = Place()
        self._number = 0
        self._over = ""
        """Why it hears no more."""

    @property
    def is_over(self) -> bool:
        return bool(self._over)

    async def attach(self, after: int = -1) -> None:
        """From the group's place, or from behind a number."""
        await self._places.mend()
        async with self._wire.in_turn():
            await self._detach()
            try:
                channel = self._channel = await self._wire.channel()
                when_it_ends(channel, self._news.set)
                channel.on_consumer_cancel_callbacks.add(self._cancelled)
                await self._take_seat(channel)
                place = await self._places.load()
                self._place = await (self._checked(place) if after < 0 else self._behind(after))
                if self._place != place:
                    await self._places.save(self._place)
                self._number = self._place.number
                await channel.basic_qos(prefetch_count=PREFETCH)
                start: ArgumentsType = {"x-stream-offset": self._place.offset}
                await channel.basic_consume(self._queue, self._on_message, arguments=start)
                self._attached = True
            except BaseException:
                await self._detach()
                raise

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        while True:
            self._check()
            self._news.clear()
            channel = self._channel
            if not self._attached or channel is None or channel.is_closed:
                await self.attach()
            elif self._arrived:
                await self._make_room(channel, self._arrived[min(limit, len(self._arrived)) - 1].tag)
                taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
                if deliveries := [self._delivery(entry) for entry in taken if entry.mark is None]:
                    return deliveries
            else:
                await self._news.wait()

    async def _make_room(self, channel: AbstractChannel, tag: int) -> None:
        """For the next ones: to the broker, what was sent ahead is done with."""
        if tag > self._room_up_to:
            self._room_up_to = tag
            with contextlib.suppress(*FAILURES):  # it is lost: the next reception will see
                await channel.basic_ack(tag, multiple=True, wait=False)

    def _delivery(self, entry: Entry) -> Delivery:
        self._number = max(self._number, entry.message.number)
        return Delivery(entry.message, Receipt(entry.offset + 1, self._number))

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        last = max(deliveries, key=lambda delivery: delivery.receipt.offset, default=None)
        if last is None or last.receipt.offset <= self._place.offset:
            return
        place = Place(last.receipt.offset, last.receipt.number, last.message.id)
        async with self._wire.within():
            await self._places.save(place)
        self._place = place

    async def close(self) -> None:
        self._over = self._over or "it was closed"
        self._news.set()
        await self._detach()

    async def _detach(self) -> None:
        channel, self._channel = self._channel, None
        self._attached, self._room_up_to = False, 0
        self._arrived.clear()
        if channel is not None:
            await self._wire.leave(channel)

    async def _checked(self, place: Place) -> Place:
        """The place, if the stream still is what it was. One that lost its end goes on with other messages at the same
        offsets: then the place is behind the number."""
        if place.offset == 0:
            return place
        if place.offset < await self._log.end():
            before = await self._log.at(place.offset - 1)
            if before.offset >= place.offset or before.message.id == place.id:
                return place
        return await self._behind(place.number)

    async def _behind(self, number: int) -> Place:
        return Place(await self._log.behind(number) if number else 0, number)

    async def _take_seat(self, channel: AbstractChannel) -> None:
        """Tells those who hear for this group that they need not any more, and wants to be told."""
        await channel.exchange_declare(exchange=self._seats, exchange_type="direct", durable=True)
        told = await channel.queue_declare(exclusive=True, auto_delete=True)
        assert told.queue
        await channel.queue_bind(told.queue, self._seats, routing_key=self._places.queue)
        mine = told.queue

        async def another(delivered: DeliveredMessage) -> None:
            if delivered.body != mine.encode() and self._channel is channel:
                self._over = self._over or "another one hears for its group"
                self._news.set()

        await channel.basic_consume(mine, another, no_ack=True)
        await channel.basic_publish(
            mine.encode(),
            exchange=self._seats,
            routing_key=self._places.queue,
            properties=Basic.Properties(delivery_mode=1),
        )

    async def _on_message(self, delivered: DeliveredMessage) -> None:
        entry = entry_of(delivered)
        if delivered.channel is self._channel and entry.offset >= self._place.offset:
            self._arrived.append(entry)
            self._news.set()

    def _cancelled(self, _: object) -> None:
        """By the broker: its stream is gone."""
        self._attached = False
        self._news.set()

    def _check(self) -> None:
        self._wire.check()
        if self._over:
            raise BusClosed(f"{self._name} is not open", why=self._over, do="subscribe again")
