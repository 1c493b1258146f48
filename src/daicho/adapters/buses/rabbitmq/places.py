"""How far a group has come in a partition: one message, in a quorum queue that keeps only the last one it was given."""

import logging
import time

import msgspec
from aiormq.abc import ArgumentsType
from pamqp.commands import Basic

from daicho.adapters.buses.rabbitmq.wire import Wire

__all__ = ["Place", "Places"]

_log = logging.getLogger("daicho")
_SILENT = 2
"""So many questions go unanswered before a queue is taken to be dead."""
_DELETING = 30.0
"""Seconds; the broker itself waits five for a dead queue."""
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

    async def mend(self) -> None:
        """A queue that was made within half a second before its broker was killed is there again afterwards, and never
        chooses a leader: it answers nothing, for good (seen in RabbitMQ 3.10). One that keeps silent while its broker
        talks is made anew. The place is lost, and what was heard is heard again, which is harmless."""
        if self._wire.unanswered[self.queue] < _SILENT:
            return
        async with self._wire.within(_DELETING), self._wire.briefly() as channel:
            await channel.queue_delete(self.queue)
        del self._wire.unanswered[self.queue]
        _log.warning("the place of a group is lost, its queue %s answered nothing: hearing begins anew", self.queue)

    async def load(self) -> Place:
        """The first message, if nobody has been there. Says it again before it lets go: what a queue hands out too
        often, newer brokers drop."""
        async with self._wire.briefly() as channel:
            await channel.queue_declare(self.queue, durable=True, arguments=_ARGUMENTS)
            asked = time.monotonic()
            try:
                found = await channel.basic_get(self.queue)
            except BaseException:
                if (
                    time.monotonic() - asked > self._wire.location.answer_within / 2
                ):  # else it is the broker that is gone
                    self._wire.unanswered[self.queue] += 1
                raise
            del self._wire.unanswered[self.queue]
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
        properties = Basic.Properties(delivery_mode=2, content_type="application/json")
        async with self._wire.publishing(self.queue) as channel:
            await channel.basic_publish(
                msgspec.json.encode(place), routing_key=self.queue, properties=properties, mandatory=True
            )
