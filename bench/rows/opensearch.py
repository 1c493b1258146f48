"""Rows in OpenSearch; by hand, documents in another index, over HTTP."""

from collections.abc import Mapping

import httpx
import msgspec

from bench.model import Customer
from bench.rows.elsewhere import Elsewhere
from tests.services import opensearch as servers

encode = msgspec.json.Encoder().encode
CREATION = {
    "settings": {"index": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}},
    "mappings": {
        "dynamic": "strict",
        "properties": {"customer": {"type": "keyword"}, "lines": {"type": "long"}, "total": {"type": "keyword"}},
    },
}


class Opensearch(Elsewhere[servers.OpenSearch]):
    def __init__(self) -> None:
        super().__init__(servers.opensearch)
        self.title = f"OpenSearch {servers.VERSION}"
        self.rows = self.server.url
        self.client = Client(self.server.http)


class _Found(msgspec.Struct):
    row: Customer = msgspec.field(name="_source")


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._http = httpx.AsyncClient(base_url=self._url, timeout=60, trust_env=False)
        await self._http.delete("/raw")
        (await self._http.put("/raw", json=CREATION)).raise_for_status()

    async def put(self, rows: Mapping[str, Customer]) -> None:
        lines = b"".join(b'{"index":{"_id":%b}}\n%b\n' % (encode(key), encode(row)) for key, row in rows.items())
        answer = await self._http.post(
            "/raw/_bulk?filter_path=errors", content=lines, headers={"content-type": "application/json"}
        )
        assert answer.json() == {"errors": False}, answer.text

    async def settle(self) -> None:
        (await self._http.post("/raw/_refresh")).raise_for_status()

    async def write(self, key: str, row: Customer) -> None:
        answer = await self._http.put(
            f"/raw/_doc/{key}", content=encode(row), headers={"content-type": "application/json"}
        )
        answer.raise_for_status()

    async def read(self, key: str) -> Customer:
        return msgspec.json.decode((await self._http.get(f"/raw/_doc/{key}")).content, type=_Found).row

    async def close(self) -> None:
        await self._http.aclose()
