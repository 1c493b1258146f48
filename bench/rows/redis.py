"""Rows in Redis; by hand, JSON under a key each, in another of its databases."""

from collections.abc import Mapping

import msgspec
import redis.asyncio

from bench.model import Customer
from bench.rows.elsewhere import Elsewhere
from tests.services import redis as servers

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Customer).decode


class Redis(Elsewhere[servers.Redis]):
    def __init__(self) -> None:
        super().__init__(servers.redis)
        self.rows = self.server.url
        self.client = Client(self.server.url.replace("/0", "/1"))
        version = next(line for line in self.server.ask("INFO", "server").splitlines() if "redis_version" in line)
        self.title = f"Redis {version.partition(':')[2]}"


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._redis = redis.asyncio.Redis.from_url(self._url)
        await self._redis.flushdb()

    async def put(self, rows: Mapping[str, Customer]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key, row in rows.items():
                pipeline.set(key, encode(row))
            await pipeline.execute()

    async def settle(self) -> None:
        pass

    async def write(self, key: str, row: Customer) -> None:
        await self._redis.set(key, encode(row))

    async def read(self, key: str) -> Customer:
        return decode(await self._redis.get(key))

    async def close(self) -> None:
        await self._redis.aclose()
