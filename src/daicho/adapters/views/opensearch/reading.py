"""Documents that match, in order, as many as there are."""

from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.adapters.views.opensearch.freshness import Freshness
from daicho.adapters.views.opensearch.rows import Document
from daicho.adapters.views.opensearch.tables import Order, Query, Table
from daicho.adapters.views.opensearch.wire import Wire

__all__ = ["Reader"]

_PAGE = 2_000
"""Documents in one answer."""
_MOST = 10_000
"""So many the engine gives or skips at once."""


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    version: int = msgspec.field(default=-1, name="_version")
    document: Document = msgspec.field(default_factory=Document, name="_source")


class _Total(msgspec.Struct):
    value: int = 0


class _Hits(msgspec.Struct):
    hits: list[_Hit] = msgspec.field(default_factory=list[_Hit])
    total: _Total = msgspec.field(default_factory=_Total)


class _Found(msgspec.Struct):
    hits: _Hits


class Reader:
    def __init__(self, wire: Wire, fresh: Freshness) -> None:
        self._wire, self._fresh = wire, fresh

    async def read(
        self,
        table: Table,
        query: Query,
        order: Order,
        *,
        after: Document | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[Document]:
        """Asks for each page by where the one before it ended: what was not moved meanwhile is met exactly once."""
        await self._fresh.ensure(table.index)
        asked: dict[str, Any] = {"query": query, "sort": order.sort, "track_total_hits": False}
        while offset > _MOST - _PAGE or (offset and after is not None):
            thin = {**asked, "size": min(offset, _MOST), "_source": order.paths}
            skipped = await self._page(table, thin, order, after)
            if not skipped:
                return []
            after, offset = skipped[-1], offset - len(skipped)
        found: list[Document] = []
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = await self._page(table, {**asked, "size": size, "from": offset}, order, after)
            found += page
            if len(page) < size:
                break
            after, offset = page[-1], 0
        return found

    async def count(self, table: Table, query: Query) -> int:
        await self._fresh.ensure(table.index)
        return (await self._look(table, {"query": query, "size": 0, "track_total_hits": True})).total.value

    async def versions(self, table: Table, query: Query) -> Sequence[tuple[str, int]]:
        """Id and version of some of the documents, as of the last refresh."""
        asked = {"query": query, "size": _PAGE, "version": True, "_source": False, "track_total_hits": False}
        return [(hit.id, hit.version) for hit in (await self._look(table, asked)).hits]

    async def furthest(self, table: Table, query: Query) -> int | None:
        """The greatest position of the documents, as of the last refresh."""
        last = {"sort": [{"position": "desc"}], "size": 1, "_source": ["position"]}
        found = await self._look(table, {"query": query, "track_total_hits": False, **last})
        return max((hit.document.position for hit in found.hits), default=None)

    async def _page(self, table: Table, asked: dict[str, Any], order: Order, after: Document | None) -> list[Document]:
        if after is not None:
            asked = {**asked, "search_after": order.after(after)}
        return [hit.document for hit in (await self._look(table, asked)).hits]

    async def _look(self, table: Table, asked: dict[str, Any]) -> _Hits:
        params = {"allow_partial_search_results": "false"}
        answer = await self._wire.ask("POST", f"/{table.index}/_search", asked, params=params)
        found: _Found = self._wire.understood(answer, _Found)
        return found.hits
