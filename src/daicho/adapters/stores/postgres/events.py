"""The register in the database."""

from collections.abc import Callable
from datetime import datetime

from daicho.adapters.stores.postgres.appending import PostgresAppending
from daicho.adapters.stores.postgres.loading import Loads, snapshot_loads, state_loads
from daicho.adapters.stores.postgres.reading import narrow_events, query, query_narrow, stored_events
from daicho.ports.event_store import Narrow, Selection, StoredEvent
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.state_store import StateRow

__all__ = ["PostgresEvents"]


class PostgresEvents(PostgresAppending):
    """Positions are drawn from a sequence: in commit order for every reader, with holes where writers gave up.

    Who reads in the order of the log sees no further than the safe head, behind which nothing is added any more.
    What is read by stream needs no such care: version n + 1 is not there before version n.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._loads, self._state_loads = self._loading()

    def _loading(self) -> tuple[Loads[Snapshot], Loads[StateRow]]:
        texts = self._queries
        return (
            snapshot_loads(self._read, texts["load_one"], texts["load_many"]),
            state_loads(self._read, texts["load_state_one"], texts["load_state_many"]),
        )

    async def read(self, selection: Selection, *, limit: int) -> list[StoredEvent]:
        up_to = await self._horizon(selection)
        if up_to is not None and selection == Selection(after=selection.after, up_to=selection.up_to):
            known = self._opened().recent.between(selection.after, up_to, limit)
            if known is not None:
                return known
        text, values = query(selection, limit, up_to)
        return stored_events(await self._read(self._in_schema(text), values))

    async def read_narrow(self, selection: Selection, *, limit: int) -> list[Narrow]:
        text, values = query_narrow(selection, limit, await self._horizon(selection))
        return narrow_events(await self._read(self._in_schema(text), values))

    async def load(self, stream: str, fold: str, *, limit: int) -> tuple[Snapshot | None, list[Narrow]]:
        return await self._loads.load(stream, fold, limit)

    async def load_state(self, stream: str, *, limit: int) -> tuple[StateRow | None, list[Narrow]]:
        return await self._state_loads.load(stream, "", limit)

    async def _horizon(self, selection: Selection) -> int | None:
        """The position up to which to read."""
        up_to = selection.up_to
        if selection.stream is not None or selection.event_id is not None or selection.beyond_head:
            return up_to
        head = self._opened().head
        if up_to is not None and up_to <= head.seen:
            return up_to
        now = await head.now(up_to)
        return now if up_to is None else min(up_to, now)

    async def stream_version(self, stream: str) -> int:
        [(version,)] = await self._read(self._queries["stream_version"], (stream,))
        return int(version)

    async def head(self) -> int:
        return await self._opened().head.now()

    async def wait(self, after: int) -> int:
        return await self._opened().head.wait(after)

    async def streams(self, category: str | None, *, after: str = "", limit: int = 100) -> list[tuple[str, int]]:
        start, end = after, None
        if category is not None:
            start, end = max(after, f"{category}-"), f"{category}."  # '.' is the character after '-'
        rows = await self._read(self._queries["streams"], (start, end, limit))
        return [(name, version) for name, version in rows]

    async def counts(self) -> dict[tuple[str, int], int]:
        rows = await self._read(self._queries["counts"])
        return {(type_, schema_version): count for type_, schema_version, count in rows}
