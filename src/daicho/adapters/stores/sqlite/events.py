"""The register in the file."""

from collections.abc import Sequence

from daicho.adapters.stores.sqlite.appending import append_all, append_alone
from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.breath import breathe
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.reading import read_events, read_narrow
from daicho.ports.event_store import Appended, AppendRequest, Narrow, Selection, StoredEvent

__all__ = ["SqliteEvents"]

_FEW = 256  # events that are read faster than a thread is woken
_STREAM_VERSION, _STREAMS, _COUNTS = statement("stream_version"), statement("streams"), statement("counts")


class SqliteEvents(Part):
    """Positions are assigned under the write lock: without gaps, in commit order, over all processes."""

    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        shortcut, weight = append_alone(requests), 1
        if shortcut is None:
            weight = sum(len(write.events) for request in requests for write in request.writes)
        return await self._opened().writer.run(
            lambda transaction: append_all(transaction, requests), weight=weight, shortcut=shortcut
        )

    async def read(self, selection: Selection, *, limit: int) -> list[StoredEvent]:
        opened = self._opened()
        if self._is_small(selection, limit, opened.watches.seen):
            return await self._here(lambda connection: read_events(connection, selection, limit))
        return await opened.readers.aside(lambda connection: read_events(connection, selection, limit))

    async def read_narrow(self, selection: Selection, *, limit: int) -> list[Narrow]:
        opened = self._opened()
        if self._is_small(selection, limit, opened.watches.seen):
            return await self._here(lambda connection: read_narrow(connection, selection, limit))
        return await opened.readers.aside(lambda connection: read_narrow(connection, selection, limit))

    @staticmethod
    def _is_small(selection: Selection, limit: int, head: int) -> bool:
        if selection.event_id is not None:
            return True
        if selection.stream is not None or selection.correlation_id is not None:
            return limit <= _FEW
        return 0 <= head - selection.after <= _FEW

    async def stream_version(self, stream: str) -> int:
        return (await self._here(lambda connection: connection.execute(_STREAM_VERSION, (stream,))))[0][0] or 0

    async def head(self) -> int:
        head = self._opened().watches.head()
        await breathe()
        return head

    async def wait(self, after: int) -> int:
        return await self._opened().watches.wait(after)

    async def streams(self, category: str | None, *, after: str = "", limit: int = 100) -> list[tuple[str, int]]:
        start, end = after, None
        if category is not None:
            start, end = max(after, f"{category}-"), f"{category}."  # '.' is the character after '-'
        rows = await self._aside(lambda connection: connection.execute(_STREAMS, (start, end, end, limit)))
        return [(name, version) for name, version in rows]

    async def counts(self) -> dict[tuple[str, int], int]:
        rows = await self._aside(lambda connection: connection.execute(_COUNTS))
        return {(type_, schema_version): count for type_, schema_version, count in rows}
