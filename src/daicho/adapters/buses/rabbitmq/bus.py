"""RabbitMQ as a bus: an exchange for a channel, and behind it a stream for each partition."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from aiormq.abc import AbstractChannel, ArgumentsType
from aiormq.exceptions import ChannelPreconditionFailed
from pamqp.commands import Basic

from daicho.adapters.buses.rabbitmq.location import parse_url
from daicho.adapters.buses.rabbitmq.log import Log
from daicho.adapters.buses.rabbitmq.places import Places
from daicho.adapters.buses.rabbitmq.subscription import RabbitSubscription
from daicho.adapters.buses.rabbitmq.wire import Wire
from daicho.adapters.channels import check_chain, check_channel, check_partition
from daicho.adapters.cloudevents import AMQP, headers_of
from daicho.core.errors import BusRefused
from daicho.ports.event_bus import BusAbilities, BusMessage, Channel
from daicho.ports.storage import Finding

__all__ = ["RabbitBus"]

_AT_ONCE = 256
"""Messages that wait for their confirmation together."""
_OLDEST = (3, 9)
_LONGEST_NAME = 250
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+\Z")
DURABILITY = (
    "a stream confirms when most of its nodes have a message, before their disks do: on a single node a loss of power "
    "takes the last ones, and the relay sends them again; places of groups are in quorum queues, which write first"
)


class RabbitBus:
    """Fulfils `daicho.ports.event_bus.EventBus`."""

    def __init__(self, url: str) -> None:
        self._location = parse_url(url)
        self._wire = Wire(self._location)
        self._subscriptions: set[RabbitSubscription] = set()
        self._version: str | None = None

    @property
    def url(self) -> str:
        return self._location.url

    @property
    def abilities(self) -> BusAbilities:
        return BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)

    @property
    def unbroken(self) -> object | None:
        return self._wire.connection

    async def open(self) -> None:
        await self._wire.open()
        self._version = str(self._wire.server.get("version", "0"))
        if _numbers(self._version) < _OLDEST:
            await self.close()
            raise BusRefused(
                f"{self.url} is RabbitMQ {self._version}", why="streams came with 3.9", do="use 3.10 or newer"
            )

    async def close(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, set()
        for subscription in subscriptions:
            await subscription.close()
        await self._wire.close()

    async def declare(self, channel: Channel) -> None:
        check_channel(channel)
        async with self._wire.within(), self._wire.briefly() as there:
            await self._declare_exchange(there, channel)
            for partition in range(channel.partitions):
                queue = self._queue(channel, partition)
                await there.queue_declare(queue, durable=True, arguments=self._retention())
                await there.queue_bind(queue, self._exchange(channel), routing_key=str(partition))

    async def tail(self, channel: Channel, partition: int) -> int | None:
        check_partition(channel, partition)
        queue = self._queue(channel, partition)
        async with self._wire.in_turn():
            await self._wire.parted(queue)
            return await Log(self._wire, queue).tail()

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        check_partition(channel, partition)
        check_chain(channel, messages)
        self._wire.check()
        ready = [(message.data, _properties(message)) for message in messages]
        for start in range(0, len(ready), _AT_ONCE):
            await self._publish(channel, partition, ready[start : start + _AT_ONCE])

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> RabbitSubscription:
        check_partition(channel, partition)
        queue = self._queue(channel, partition)
        places = Places(self._wire, _place_name(queue, group))
        seats = f"{self._location.prefix}-seats"
        subscription = RabbitSubscription(self._wire, Log(self._wire, queue), queue, places, seats)
        await subscription.attach(after)
        self._subscriptions = {each for each in self._subscriptions if not each.is_over} | {subscription}
        return subscription

    async def examine(self) -> list[Finding]:
        async with self._wire.within(), self._wire.briefly():
            pass
        return [
            Finding(what="RabbitMQ", ok=True, detail=f"{self._version} at {self.url}"),
            Finding(what="durability", ok=True, detail=DURABILITY),
        ]

    def describe(self) -> dict[str, Any]:
        return {"broker": "RabbitMQ", "version": self._version, "durability": DURABILITY}

    async def _publish(self, channel: Channel, partition: int, ready: Sequence[tuple[bytes, Basic.Properties]]) -> None:
        async with self._wire.within(), self._wire.publishing(self._queue(channel, partition)) as publishing:
            there: Any = publishing
            exchange, key = self._exchange(channel), str(partition)
            sent = [
                there.basic_publish(
                    data, exchange=exchange, routing_key=key, properties=properties, mandatory=True, wait=False
                )
                for data, properties in ready
            ]
            for outcome in await asyncio.gather(*sent, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    async def _declare_exchange(self, there: AbstractChannel, channel: Channel) -> None:
        """Its number of partitions is in the name of its alternate exchange, which is not there: of all that an
        exchange is declared with, this is the one text of ours that the broker compares."""
        alternate: ArgumentsType = {
            "alternate-exchange": f"{self._exchange(channel)} with {channel.partitions} partitions"
        }
        try:
            await there.exchange_declare(
                exchange=self._exchange(channel), exchange_type="direct", durable=True, arguments=alternate
            )
        except ChannelPreconditionFailed as error:
            raise BusRefused(
                f"{channel.name} is there, but not with {channel.partitions} partitions",
                why=" ".join(map(str, error.args)),
                do="use the number that is there, or another name: messages would change their partition, and lose "
                "their order",
            ) from error

    def _retention(self) -> dict[str, Any]:
        """Only of a stream that is made now: later, a policy changes it."""
        given = {"x-max-age": self._location.max_age, "x-max-length-bytes": self._location.max_bytes}
        return {"x-queue-type": "stream", **{name: value for name, value in given.items() if value is not None}}

    def _exchange(self, channel: Channel) -> str:
        return f"{self._location.prefix}.{channel.name}"

    def _queue(self, channel: Channel, partition: int) -> str:
        return f"{self._location.prefix}.{channel.name}.{partition}"


def _properties(message: BusMessage) -> Basic.Properties:
    """Raises BusRefused for what is no CloudEvent, or has a content type that AMQP cannot carry."""
    headers = headers_of(message, AMQP)
    if len(message.content_type.encode()) > 255:
        raise BusRefused(f"message {message.id!r} has a content type of more than 255 bytes", do="shorten it")
    fits = len(message.id.encode()) <= 255
    return Basic.Properties(
        headers=dict(headers),
        content_type=message.content_type,
        delivery_mode=2,
        message_id=message.id if fits else None,
    )


def _place_name(queue: str, group: str) -> str:
    """Readable, if the group's name may be part of a queue's."""
    if _PLAIN.match(group) and len(name := f"{queue}@{group}") <= _LONGEST_NAME:
        return name
    return f"{queue}@@{hashlib.sha256(group.encode()).hexdigest()[:32]}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
