"""States that do not begin with the first event: founded on a state, or on what was left when events were pruned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from daicho.core.behaviour import Behaviour
from daicho.core.errors import HistoryPruned
from daicho.core.founding import FOUNDED, Founded
from daicho.core.registry import Registry
from daicho.core.times import from_text
from daicho.ports.event_store import EventStore, Narrow, Selection, StoredEvent
from daicho.ports.state_store import StateStore

__all__ = ["Foundation", "fold_page", "is_whole"]

_PAGE = 1000


def is_whole(versions: Sequence[int], after: int) -> bool:
    """Whether these are all versions behind `after`, up to the last of them: in ascending order, with none missing."""
    return not versions or (versions[0] == after + 1 and versions[-1] - after == len(versions))


def fold_page(behaviour: Behaviour, registry: Registry, state: Any, page: Sequence[Narrow], stream: str) -> Any:
    """The state after these events. A founding one begins anew, and what is before it need not be readable."""
    start = next((n for n in range(len(page) - 1, -1, -1) if page[n][2] == FOUNDED), None)
    if start is not None:
        state, page = refounded(behaviour, registry, page[start], stream), page[start + 1 :]
    return behaviour.fold(state, registry.decode_all(page), stream)


def refounded(behaviour: Behaviour, registry: Registry, event: Narrow, stream: str) -> Any:
    founded = registry.decode(event[2], event[3], event[4], event[0])
    assert isinstance(founded, Founded)
    return behaviour.kept.restored(founded.schema, founded.state, f"{stream} at version {event[1]}")


class Foundation:
    """Restores states from the last thing that they can be restored from."""

    def __init__(self, events: EventStore, states: StateStore, registry: Registry) -> None:
        self._events, self._states, self._registry = events, states, registry

    async def begun(self, behaviour: Behaviour, stream: str, not_after: int | None = None) -> tuple[Any, int, int]:
        """State, version and position where the kept history begins that leads to `not_after`: at the newest founding
        event, at what pruning left, or before the first event."""
        wanted = Selection(stream=stream, types=(FOUNDED,), up_to_version=not_after, newest_first=True)
        state, version, position = behaviour.fresh(), 0, 0
        if found := await self._events.read(wanted, limit=1):
            event = found[0]
            narrow = (event.position, event.version, event.type, event.schema_version, event.data)
            state, version, position = (
                refounded(behaviour, self._registry, narrow, stream),
                event.version,
                event.position,
            )
        base = await self._states.base(stream)
        if base is not None and base.version > version and (not_after is None or base.version <= not_after):
            where = f"{stream} at version {base.version}"
            state, version = behaviour.kept.decode(base.schema_version, base.data, where), base.version
        return state, version, position

    async def folded(self, behaviour: Behaviour, stream: str, up_to: int | None = None) -> tuple[Any, int, int]:
        """State, version and position after all events, or those up to a version. Raises HistoryPruned if one that is
        needed is not there."""
        state, version, position = await self.begun(behaviour, stream, up_to)
        while page := await self._events.read_narrow(
            Selection(stream=stream, after_version=version, up_to_version=up_to), limit=_PAGE
        ):
            if not is_whole([event[1] for event in page], version):
                raise await self._pruned(stream, f"at version {page[-1][1] if up_to is None else up_to}")
            state = fold_page(behaviour, self._registry, state, page, stream)
            position, version = page[-1][:2]
            if len(page) < _PAGE:
                break
        if up_to is not None and version < up_to:
            raise await self._pruned(stream, f"at version {up_to}")
        return state, version, position

    async def by_time(self, behaviour: Behaviour, stream: str, moment: datetime) -> Any:
        """The state as far as things had occurred by the moment. Raises HistoryPruned."""
        events: list[StoredEvent] = []
        wanted = Selection(stream=stream)
        while page := await self._events.read(wanted, limit=_PAGE):
            events += page
            wanted = Selection(stream=stream, after_version=page[-1].version)
        happened = [event for event in events if from_text(event.occurred_at) <= moment]
        state, begun = behaviour.fresh(), 0
        base = await self._states.base(stream)
        if base is not None and from_text(base.occurred_at) <= moment:
            state, begun = behaviour.kept.decode(base.schema_version, base.data, stream), base.version
        foundings = [event.version for event in happened if event.type == FOUNDED and event.version > begun]
        begun = foundings[-1] - 1 if foundings else begun
        if not is_whole([event.version for event in events if event.version > begun], begun):
            raise await self._pruned(stream, f"at {moment.isoformat()}")
        rest = [(e.position, e.version, e.type, e.schema_version, e.data) for e in happened if e.version > begun]
        return fold_page(behaviour, self._registry, state, rest, stream)

    async def _pruned(self, stream: str, when: str) -> HistoryPruned:
        base = await self._states.base(stream)
        wanted = Selection(stream=stream, types=(FOUNDED,))
        found = [event.version for event in await self._events.read(wanted, limit=1)]
        first = base.version if base is not None else found[0] if found else 0
        return HistoryPruned(
            f"what {stream} was {when} cannot be told any more",
            why=f"events before version {first} were pruned; its present state does not need them",
            do=f"ask for version {first} or a later one",
            stream=stream,
            first=first,
        )
