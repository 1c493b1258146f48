"""RabbitMQ by hand: a stream, hundreds of publications under way, a consumer from its beginning."""

import asyncio
from collections.abc import Sequence
from itertools import count

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from daicho.adapters.cloudevents import AMQP, headers_of
from daicho.ports.event_bus import BusMessage
from tests.services import rabbitmq as servers
from tests.services.running import Host

names = count(1)


class Rabbitmq:
    share = 0.5

    def __init__(self) -> None:
        self._host = Host()
        server = servers.rabbitmq(self._host)
        self.url = server.url
        self.client = Client(server.url)
        self.title = "RabbitMQ streams"

    def close(self) -> None:
        self._host.close()


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._name = f"raw{next(names)}"
        self._connection = await aiormq.connect(self._url)
        self._channel = await self._connection.channel(publisher_confirms=True)
        await self._channel.queue_declare(self._name, durable=True, arguments={"x-queue-type": "stream"})

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        under_way = [
            self._channel.basic_publish(
                each.data,
                routing_key=self._name,
                properties=Basic.Properties(headers=dict(headers_of(each, AMQP)), message_id=each.id, delivery_mode=2),
            )
            for each in messages
        ]
        await asyncio.gather(*under_way)

    async def hear(self, count: int, portion: int) -> None:
        heard, all_of_them = 0, asyncio.Event()

        async def arrived(message: DeliveredMessage) -> None:
            nonlocal heard
            heard += 1
            if heard % portion == 0 or heard == count:
                await message.channel.basic_ack(message.delivery_tag or 0, multiple=True, wait=False)
            if heard == count:
                all_of_them.set()

        await self._channel.basic_qos(prefetch_count=2 * portion)
        await self._channel.basic_consume(self._name, arrived, arguments={"x-stream-offset": "first"})
        await all_of_them.wait()

    async def close(self) -> None:
        await self._connection.close()
