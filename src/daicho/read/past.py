"""A view as it was then: the events of the register, folded again up to a moment, into memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from daicho.core.messages import Event, RecordedEvent
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import EventStore, Selection, StoredEvent
from daicho.ports.probe import silent
from daicho.ports.scratch import Scratch
from daicho.ports.view_store import TableSpec
from daicho.read.feed import Page
from daicho.read.projector import Projector

__all__ = ["Moment", "Past", "Skipped", "fold_on", "pages", "past_table"]

T = TypeVar("T")

_PAGE = 5000
_OWNER = "past"

Skipped: TypeAlias = frozenset[tuple[str, str]]
"""(event id, key) of dead letters that somebody gave up."""


class Moment(msgspec.Struct, frozen=True):
    """Which events had been there: those up to a position, and of them those that had occurred by a time."""

    up_to: int
    until: str | None = None
    """ISO 8601 UTC text."""


class Past:
    """What one projection had made of history by a moment. Nothing changes it once it is there."""

    def __init__(
        self,
        moment: Moment,
        rows: Scratch,
        keys: frozenset[str] | None,
        skipped: Skipped,
        letters: Sequence[DeadLetter] = (),
    ) -> None:
        """`letters`: what the fold raised on, and what follows it."""
        self.moment, self.rows, self.keys, self.skipped = moment, rows, keys, skipped
        blamed = [(x.key == x.stream, x.key, f"{x.error} at position {x.position}") for x in letters if x.error]
        self._streams = {key: error for is_stream, key, error in blamed if is_stream}
        self._broken = {key: error for is_stream, key, error in blamed if not is_stream}

    def holds(self, keys: Collection[str] | None) -> bool:
        """Whether its rows are all that there are, or at least these."""
        return self.keys is None or (keys is not None and self.keys.issuperset(keys))

    def broken_of(self, keys: Sequence[str] | None) -> dict[str, str]:
        """Those of the keys whose rows lack events, and why; and streams with an event whose key cannot be told, for
        that may be any."""
        wanted = self._broken if keys is None else [key for key in keys if key in self._broken]
        return {**self._streams, **{key: self._broken[key] for key in wanted}}


def past_table(fold: Fold[Any]) -> TableSpec:
    """Where its rows are."""
    return TableSpec(fold.name, 1, fold.part.row_type)


class _Partly(Fold[Any]):
    """A fold without the events that were given up, and without keys that nobody asked for."""

    def __init__(self, fold: Fold[Any], keys: frozenset[str] | None, skipped: Skipped) -> None:
        super().__init__(fold.part)
        self._wanted, self._skipped = keys, skipped
        self.needs_record = self.needs_record or bool(skipped)

    def keys(self, event: Event, record: RecordedEvent[Any] | None = None) -> tuple[str, ...]:
        found, wanted = super().keys(event, record), self._wanted
        return tuple(
            key
            for key in found
            if (wanted is None or key in wanted) and (record is None or (record.event_id, key) not in self._skipped)
        )

    def pairs(self, events: Sequence[Event]) -> list[tuple[Event, str]]:
        found, wanted = super().pairs(events), self._wanted
        return found if wanted is None else [pair for pair in found if pair[1] in wanted]


async def fold_on(
    fold: Fold[Any],
    start: Past,
    moment: Moment,
    store: EventStore,
    registry: Registry,
) -> Past:
    """What `start` becomes by the moment; `start` itself stays as it is. An event that the fold raises on is treated as
    the live projector does: parked, with everything after it of the same key."""
    rows = start.rows.copy()
    partly = _Partly(fold, start.keys, start.skipped)
    projector = Projector(partly, past_table(fold), rows, rows, store, rows, registry, silent)
    projector.name = f"past:{fold.name}"
    await rows.open_table(projector.table)
    await rows.register(projector.name, position=0)
    claimed = await rows.claim(projector.name, _OWNER)
    assert claimed is not None, "nobody else has these rows"
    position = await projector.begin(claimed)
    wanted = Selection(
        types=tuple(sorted(projector.types)), after=start.moment.up_to, up_to=moment.up_to, until=moment.until
    )
    if projector.fold.needs_record:
        async for events in pages(store.read, wanted, lambda event: event.position):
            position = await _consume(projector, events, position, claimed.token, registry, start.skipped)
    else:
        async for narrow in pages(store.read_narrow, wanted, lambda event: event[0]):
            if await projector.gather(narrow):
                position = await projector.write_gathered(claimed.token, position, narrow[-1][0])
                continue
            again = msgspec.structs.replace(wanted, after=narrow[0][0] - 1, up_to=narrow[-1][0])
            events = await store.read(again, limit=_PAGE)
            position = await _consume(projector, events, position, claimed.token, registry, start.skipped)
    letters = await rows.letters(projector.name, limit=2**31)
    return Past(moment, rows, start.keys, start.skipped, letters)


async def _consume(
    projector: Projector, events: list[StoredEvent], position: int, token: int, registry: Registry, skipped: Skipped
) -> int:
    page = Page(position, events, registry)
    indexes = [n for n, event in enumerate(events) if (event.event_id, event.stream) not in skipped]
    return await projector.consume(page, indexes, token, position)


async def pages(
    read: Callable[..., Coroutine[Any, Any, list[T]]], wanted: Selection, position: Callable[[T], int]
) -> AsyncIterator[list[T]]:
    """What is wanted, in order; the next page is on its way while this one is looked at."""
    coming: asyncio.Task[list[T]] | None = None
    page = await read(wanted, limit=_PAGE)
    try:
        while page:
            if len(page) == _PAGE:
                wanted = msgspec.structs.replace(wanted, after=position(page[-1]))
                coming = asyncio.ensure_future(read(wanted, limit=_PAGE))
                await asyncio.sleep(0)  # so that it is really asked for, before we are busy with this page
            yield page
            page, coming = (await coming if coming else []), None
    finally:
        if coming is not None:
            coming.cancel()
