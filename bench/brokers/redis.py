"""Redis Streams by hand: XADD in pipelines, a consumer group."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import redis.asyncio

from daicho.adapters.cloudevents import KAFKA, headers_of
from daicho.ports.event_bus import BusMessage
from tests.services import redis as servers
from tests.services.running import Host

names = count(1)


class Redis:
    share = 1.0

    def __init__(self) -> None:
        self._host = Host()
        server = servers.redis(self._host)
        self.url = server.url
        self.client = Client(server.url)
        self.title = "Redis Streams, appendfsync everysec"

    def close(self) -> None:
        self._host.close()


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._name = f"raw{next(names)}"
        self._redis: Any = redis.asyncio.Redis.from_url(self._url)

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for each in messages:
                pipeline.xadd(self._name, {"data": each.data, **headers_of(each, KAFKA)})
            await pipeline.execute()

    async def hear(self, count: int, portion: int) -> None:
        await self._redis.xgroup_create(self._name, "raw", "0")
        heard = 0
        while heard < count:
            [[_, entries]] = await self._redis.xreadgroup("raw", "me", {self._name: ">"}, count=portion)
            heard += len(entries)
            await self._redis.xack(self._name, "raw", *(id for id, _ in entries))

    async def close(self) -> None:
        await self._redis.aclose()
