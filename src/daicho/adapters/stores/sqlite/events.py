"""The register in the file."""

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Protocol, TypeVar

from msgspec.structs import replace

from daicho.adapters.stores.sqlite.appending import append_all, append_alone
from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.breath import breathe
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.reading import read_events, read_narrow
from daicho.ports.event_store import Appended, AppendRequest, Narrow, Selection, StoredEvent

__all__ = ["SqliteEvents"]

T = TypeVar("T")


class Read(Protocol[T]):
    def __call__(self, connection: Connection, wanted: Selection, limit: int) -> list[T]: ...


_FEW = 256  # events that are read faster than a thread is woken
_LONG = 0.003  # seconds that reading a few should not take
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
        return await self._read(read_events, selection, limit)

    async def read_narrow(self, selection: Selection, *, limit: int) -> list[Narrow]:
        return await self._read(read_narrow, selection, limit)

    async def _read(self, read: Read[T], selection: Selection, limit: int) -> list[T]:
        """A little at a time in the caller's thread, as long as that is quick; the rest aside.

        Python runs one thread at a time, and changing threads in the middle of a page costs more than reading it.
        """
        readers, seen = self._opened().readers, self._opened().watches.seen
        # what lies up to here is there: between two bites, nothing can come to be in front of the second one
        end = seen if selection.up_to is None else min(selection.up_to, seen)
        found: list[T] = []
        quick = _is_scan(selection)
        while quick and selection.after + _FEW < end and len(found) < limit:
            started = perf_counter()
            bite = replace(selection, up_to=selection.after + _FEW)
            page = readers.here(partial(read, wanted=bite, limit=min(_FEW, limit - len(found))))
            found += page
            # not if it comes from a slow disk, or if one has to look far for an event of these types
            quick = perf_counter() - started < _LONG and len(page) > _FEW // 4
            selection = replace(selection, after=selection.after + _FEW)
            await breathe()
        if len(found) >= limit:
            return found
        look = partial(read, wanted=selection, limit=limit - len(found))
        return found + await (self._here if _is_small(selection, limit, seen) else readers.aside)(look)

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


_SCAN = Selection()


def _is_scan(selection: Selection) -> bool:
    """Whether it asks for all events, or those of some types, by position."""
    return replace(selection, after=0, up_to=None, types=None, beyond_head=False) == _SCAN


def _is_small(selection: Selection, limit: int, head: int) -> bool:
    """Whether it is sure to find a few events at most, and quickly; `head` may be an old one."""
    if selection.event_id is not None:
        return True
    if selection.stream is not None or selection.correlation_id is not None:
        return limit <= _FEW
    if selection.up_to is not None and selection.up_to - selection.after <= _FEW:
        return True
    return 0 <= head - selection.after <= _FEW
