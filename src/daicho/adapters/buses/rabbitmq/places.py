"""How far a group has come in a partition: one message, in a quorum queue that keeps only the last one it was given."""

import msgspec
from aiormq.abc import ArgumentsType
from pamqp.commands import Basic

from daicho.adapters.buses.rabbitmq.wire import Wire

__all__ = ["Place", "Places"]

_ARGUMENTS: ArgumentsType = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "drop-head"}


class Place(msgspec.Struct, frozen=True):
    """Of everything before `offset` it is done."""

    offset: int = 0
    number: int = 0
    """Of the last message of a chain that it acknowledged."""
    id: str = ""
    """Of the message before `offset`."""


class Places:
    """The place of one group in one partition, on the disks of most nodes when `save` returns."""

    def __init__(self, wire: Wire, queue: str) -> None:
        self._wire = wire
        self.queue = queue

    async def load(self) -> Place:
        """The first message, if nobody has been there. Says it again before it lets go: what a queue hands out too
        often, newer brokers drop."""
        async with self._wire.briefly() as channel:
            await channel.queue_declare(self.queue, durable=True, arguments=_ARGUMENTS)
            found = await channel.basic_get(self.queue)
            if found.delivery_tag is None:
                return Place()
            try:
                place = msgspec.json.decode(found.body, type=Place)
            except msgspec.DecodeError:  # not ours: hearing again is harmless, skipping is not
                place = Place()
            await self.save(place)
            await channel.basic_ack(found.delivery_tag)
        return place

    async def save(self, place: Place) -> None:
        channel = await self._wire.publishing(self.queue)
        properties = Basic.Properties(delivery_mode=2, content_type="application/json")
        await channel.basic_publish(
            msgspec.json.encode(place), routing_key=self.queue, properties=properties, mandatory=True
        )
