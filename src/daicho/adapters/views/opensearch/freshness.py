"""What has been committed is found by conditions only after a refresh, which costs: one is made when somebody looks."""

import asyncio
from collections import defaultdict

import msgspec

from daicho.adapters.views.opensearch.wire import Wire
from daicho.core.errors import StoreUnavailable

__all__ = ["Freshness"]


class _Shards(msgspec.Struct):
    failed: int = 0


class _Refreshed(msgspec.Struct):
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)


class _Index:
    def __init__(self) -> None:
        self.written = 1  # perhaps by a process before this one
        self.shown = 0
        self.turn = asyncio.Lock()


class Freshness:
    """Of each index: how often this process wrote to it, and how much of that can be found."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._indices: defaultdict[str, _Index] = defaultdict(_Index)

    def wrote(self, index: str) -> None:
        self._indices[index].written += 1

    async def ensure(self, index: str) -> None:
        """When this returns, what this process had written can be found."""
        known = self._indices[index]
        wanted = known.written
        if known.shown >= wanted:
            return
        async with known.turn:
            if known.shown < wanted:
                await self.refresh(index)

    async def refresh(self, index: str) -> None:
        """When this returns, what anybody had written can be found."""
        known = self._indices[index]
        written = known.written
        answer = await self._wire.ask("POST", f"/{index}/_refresh")
        refreshed: _Refreshed = self._wire.understood(answer, _Refreshed)
        if refreshed.shards.failed:
            raise StoreUnavailable(
                f"{self._wire.location.url} could not refresh {index}",
                why=f"{refreshed.shards.failed} of its shards failed",
                do="look at the health of the cluster",
            )
        known.shown = max(known.shown, written)
