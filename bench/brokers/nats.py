"""NATS JetStream by hand: publications under way in hundreds, a durable consumer that is pulled."""

import asyncio
from collections.abc import Sequence
from itertools import count

from nats.aio.client import Client as Connection
from nats.js.api import AckPolicy, ConsumerConfig

from daicho.adapters.cloudevents import NATS, headers_of
from daicho.ports.event_bus import BusMessage
from tests.services import nats as servers
from tests.services.running import Host

names = count(1)


class Nats:
    share = 1.0

    def __init__(self) -> None:
        self._host = Host()
        server = servers.nats(self._host)
        self.url = server.url
        self.client = Client(server.url)
        self.title = "NATS JetStream, files"

    def close(self) -> None:
        self._host.close()


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._name = f"raw{next(names)}"
        self._connection = Connection()
        await self._connection.connect(self._url)
        self._stream = self._connection.jetstream()
        await self._stream.add_stream(name=self._name, subjects=[self._name], storage="file")

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        under_way = [
            await self._stream.publish_async(self._name, each.data, headers=dict(headers_of(each, NATS)))
            for each in messages
        ]
        await asyncio.gather(*under_way)

    async def hear(self, count: int, portion: int) -> None:
        config = ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=10 * portion)
        pulled = await self._stream.pull_subscribe(self._name, "raw", config=config)
        heard = 0
        while heard < count:
            found = await pulled.fetch(portion, timeout=5)
            heard += len(found)
            await found[-1].ack_sync()

    async def close(self) -> None:
        await self._connection.close()
