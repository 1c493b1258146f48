"""What is really stored, read with the code of an app: every event, or the newest of each version."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeAlias

import msgspec

from daicho.core.errors import HistoryError
from daicho.core.registry import Registry
from daicho.ports.event_store import EventStore, Selection, StoredEvent
from daicho.ports.storage import Finding

__all__ = ["Told", "VersionRead", "verified"]

_PAGE = 1000
Told: TypeAlias = Callable[[int, int, int], None]
"""Called after each page with how much is done, of how much in all, and how many events were looked at."""


class VersionRead(msgspec.Struct, frozen=True, kw_only=True):
    """How one version of one type of event was read."""

    type: str
    version: int
    count: int
    """Events that were tried."""
    failed: int = 0
    """Of them, those that cannot be read."""
    position: int | None = None
    """Of the first of those; the newest, in a sample."""
    error: str = ""
    """What its reading said; may hold what stands in the event."""
    do: str = ""

    @property
    def finding(self) -> Finding:
        what = f"{self.type} version {self.version}"
        if not self.failed:
            return Finding(what=what, ok=True, detail=f"{self.count:,} read")
        detail = f"{self.failed:,} of {self.count:,} cannot be read; the first: {self.error}"
        return Finding(what=what, ok=False, detail=detail, do=self.do)


async def verified(
    store: EventStore, registry: Registry, *, sample: int | None = None, told: Told | None = None
) -> list[VersionRead]:
    """Reads what is stored up to now, by type and version: all of it, or the newest `sample` of each version. Changes
    nothing: `await verified(app.storage, app.registry)`.

    A sample is looked for from the end of the log, each type once, and no farther than it takes. Raises StoreError.
    """
    pages = _every(store) if sample is None else _newest(store, sample)
    reading, looked = _Reading(registry), 0
    async for events, seen, done, total in pages:
        for event in events:
            reading.take(event)
        looked += seen
        if told is not None:
            told(done, total, looked)
    return reading.versions()


_Pages: TypeAlias = AsyncIterator[tuple[Sequence[StoredEvent], int, int, int]]
"""What is to be tried, how many events were looked at for it, and how much is done, of how much."""


async def _every(store: EventStore) -> _Pages:
    head, position = await store.head(), 0
    while page := await store.read(Selection(after=position, up_to=head), limit=_PAGE):
        position = page[-1].position
        yield page, len(page), position, head


async def _newest(store: EventStore, sample: int) -> _Pages:
    left = {shape: min(sample, count) for shape, count in (await store.counts()).items()}
    head, done, total = await store.head(), 0, sum(left.values())
    for name in sorted({name for name, _ in left}):
        up_to = head
        while up_to and any(count for (type_, _), count in left.items() if type_ == name):
            page = await store.read(Selection(types=(name,), up_to=up_to, newest_first=True), limit=_PAGE)
            if not page:
                break
            wanted: list[StoredEvent] = []
            for event in page:
                shape = (event.type, event.schema_version)
                if left.get(shape):
                    left[shape] -= 1
                    wanted.append(event)
            done, up_to = done + len(wanted), page[-1].position - 1
            yield wanted, len(page), done, total


class _Reading:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._read: dict[tuple[str, int], int] = {}
        self._failed: dict[tuple[str, int], int] = {}
        self._first: dict[tuple[str, int], tuple[int, HistoryError]] = {}

    def take(self, event: StoredEvent) -> None:
        shape = (event.type, event.schema_version)
        self._read[shape] = self._read.get(shape, 0) + 1
        try:
            self._registry.decode(*shape, event.data, event.position)
        except HistoryError as error:
            self._failed[shape] = self._failed.get(shape, 0) + 1
            self._first.setdefault(shape, (event.position, error))

    def versions(self) -> list[VersionRead]:
        return [self._version(shape, count) for shape, count in sorted(self._read.items())]

    def _version(self, shape: tuple[str, int], count: int) -> VersionRead:
        name, version = shape
        if shape not in self._first:
            return VersionRead(type=name, version=version, count=count)
        position, error = self._first[shape]
        return VersionRead(
            type=name,
            version=version,
            count=count,
            failed=self._failed[shape],
            position=position,
            error=error.what,
            do=error.do,
        )
