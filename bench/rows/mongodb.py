"""Rows in a server that speaks MongoDB's protocol; by hand, documents in another of its databases."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pymongo import AsyncMongoClient, ReplaceOne

from bench.model import Customer
from bench.rows.elsewhere import Elsewhere
from tests.services.mongodb import JAVA_SERVER, JavaServer


class Mongodb(Elsewhere[JavaServer]):
    """MongoDB itself is in no package registry. This one looks at the whole collection for each row that is to be
    replaced only if it is older: ten times the rows would take a hundred times as long."""

    share = 0.2

    def __init__(self) -> None:
        super().__init__(lambda host: JavaServer(host).start())
        self.title = f"mongo-java-server {JAVA_SERVER}"
        self.rows = f"{self.server.url}daicho"
        self.client = Client(self.server.url)


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._client = AsyncMongoClient[dict[str, Any]](self._url, w="majority", journal=True)
        self._rows = self._client["raw"]["customers"]
        await self._rows.drop()

    async def put(self, rows: Mapping[str, Customer]) -> None:
        await self._rows.bulk_write(
            [ReplaceOne({"_id": key}, _document(key, row), upsert=True) for key, row in rows.items()], ordered=False
        )

    async def settle(self) -> None:
        pass

    async def write(self, key: str, row: Customer) -> None:
        await self._rows.replace_one({"_id": key}, _document(key, row), upsert=True)

    async def read(self, key: str) -> Customer:
        found = await self._rows.find_one({"_id": key})
        assert found is not None
        return Customer(customer=found["customer"], lines=found["lines"], total=Decimal(found["total"]))

    async def close(self) -> None:
        await self._client.close()


def _document(key: str, row: Customer) -> dict[str, Any]:
    return {"_id": key, "customer": row.customer, "lines": row.lines, "total": str(row.total)}
