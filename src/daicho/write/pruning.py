"""Old events of aggregates whose state is what is kept: away with them, once everybody has seen them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from daicho.core.behaviour import Behaviour
from daicho.core.errors import ConfigurationError
from daicho.core.messages import replace
from daicho.core.registry import Registry
from daicho.core.times import to_text
from daicho.ports.checkpoint_store import CUT, Checkpoint
from daicho.ports.event_store import Selection, StoredEvent
from daicho.ports.state_store import Pruned, StateRow
from daicho.ports.storage import Storage
from daicho.write.foundation import Foundation, fold_page, is_whole

__all__ = ["PruneReport", "Pruning", "boundary_over"]

_AT_ONCE, _PAGE, _LETTERS = 100, 1000, 1_000_000
_READERS = ("projection:", "reaction:", "process:", "courier:", "relay:")


class PruneReport(msgspec.Struct, frozen=True, kw_only=True):
    """What went, and what kept more from going."""

    category: str
    events: int
    """Deleted."""
    streams: int
    """Of which some were."""
    up_to: int
    """The position up to which every durable reader has come; nothing behind it was touched."""
    held_by: tuple[str, ...] = ()
    """Readers that have not come to the head: what they have not seen stays."""


def boundary_over(category: Behaviour, categories: Mapping[str, Behaviour]) -> Behaviour | None:
    """Whoever decides within a boundary on events of the category that carry no tag, and so may be pruned."""
    mine = {cls for cls in category.events if not cls.__tag_fields__}
    return next(
        (each for each in categories.values() if each.boundary is not None and not mine.isdisjoint(each.events)), None
    )


class Pruning:
    """Deletes events, and leaves behind what is needed to fold the rest."""

    def __init__(self, storage: Storage, registry: Registry, categories: Mapping[str, Behaviour]) -> None:
        self._storage, self._registry, self._categories = storage, registry, categories
        self._foundation = Foundation(storage, storage, registry)

    async def prune(self, behaviour: Behaviour, before: datetime) -> PruneReport:
        """Deletes events of the category that were recorded before `before` and that every durable reader has seen.

        The first and the last event of a stream stay, and those that a rule needs. Raises ConfigurationError for a
        category whose events are the truth.
        """
        category = behaviour.category
        standing = (await self._storage.standings()).get(category)
        if standing is None or standing.kind != "state" or standing.moving_to is not None:
            raise ConfigurationError(
                f"events of {category!r} cannot be pruned",
                why="they are being moved" if standing is not None and standing.moving_to else "they are all there is",
                do='only aggregates with persistence="state" can do without their history',
            )
        if (other := boundary_over(behaviour, self._categories)) is not None:
            raise ConfigurationError(
                f"events of {category!r} cannot be pruned",
                why=f"{other.name} decides on them within a boundary, and some have no tag that would keep them",
                do="give the events that it decides on a tag: class X(Event, tags=...)",
            )
        up_to, held_by = await self._seen_by_all()
        if not standing.pruned_to and standing.rules != behaviour.rule_names:
            await self._storage.note_standing(replace(standing, rules=behaviour.rule_names))
        until, after, gone, streams = to_text(before), "", 0, 0
        while rows := await self._storage.states(category, after=after, limit=_AT_ONCE):
            found = [part for row in rows if (part := await self._part(behaviour, row, up_to, until)) is not None]
            if found:
                gone += await self._storage.prune(category, found, up_to)
                streams += len(found)
            after = rows[-1].stream
        return PruneReport(category=category, events=gone, streams=streams, up_to=up_to, held_by=held_by)

    async def _seen_by_all(self) -> tuple[int, tuple[str, ...]]:
        """The position that all have come to, and who is not at the head. What is parked has not been seen."""
        head = await self._storage.head()
        readers = [each for each in await self._storage.checkpoints() if _is_reader(each)]
        places = {each.processor: each.position for each in readers}
        for letter in await self._storage.letters(limit=_LETTERS):
            places[letter.processor] = min(places.get(letter.processor, head), letter.position - 1)
        late = sorted(name for name, position in places.items() if position < head)
        return min([head, *places.values()]), tuple(late)

    async def _part(self, behaviour: Behaviour, row: StateRow, up_to: int, until: str) -> Pruned | None:
        """How much of the stream may go, and the state there."""
        base = await self._storage.base(row.stream)
        state, start, _ = await self._foundation.begun(behaviour, row.stream, row.version)
        version, occurred_at = start, base.occurred_at if base is not None else ""
        wanted = Selection(stream=row.stream, after_version=start, up_to_version=row.version - 1)
        while page := await self._storage.read(wanted, limit=_PAGE):
            if not is_whole([event.version for event in page], version):
                break
            old = _leading(page, up_to, until)
            if old:
                state = fold_page(behaviour, self._registry, state, [_narrow(event) for event in old], row.stream)
                version = old[-1].version
                occurred_at = max(occurred_at, *(event.occurred_at for event in old))
            if len(old) < len(page) or len(page) < _PAGE:
                break
            wanted = replace(wanted, after_version=version)
        if version <= max(start, 1):
            return None
        data = behaviour.kept.encode(state)
        return Pruned(
            stream=row.stream,
            version=version,
            occurred_at=occurred_at,
            schema_version=behaviour.state_version,
            data=data,
        )


def _leading(page: Sequence[StoredEvent], up_to: int, until: str) -> list[StoredEvent]:
    for n, event in enumerate(page):
        if event.position > up_to or event.recorded_at >= until:
            return list(page[:n])
    return list(page)


def _narrow(event: StoredEvent) -> tuple[int, int, str, int, Any]:
    return (event.position, event.version, event.type, event.schema_version, event.data)


def _is_reader(checkpoint: Checkpoint) -> bool:
    """Whether it is of somebody who reads the log; the owner of what is cut is not, its segments are."""
    return checkpoint.owner != CUT and checkpoint.processor.startswith(_READERS)
