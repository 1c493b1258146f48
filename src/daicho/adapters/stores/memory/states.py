"""Present states: a row for each stream that keeps one."""

from collections.abc import Sequence

from daicho.adapters.stores.memory.contents import Contents, Shelf
from daicho.core.messages import replace
from daicho.core.streams import category_of
from daicho.ports.event_store import AppendRequest, Narrow, StoredEvent
from daicho.ports.state_store import Pruned, Standing, StateRow

__all__ = ["MemoryStates", "keep_states"]


class MemoryStates(Shelf):
    async def load_state(self, stream: str, *, limit: int) -> tuple[StateRow | None, list[Narrow]]:
        async with self._critical() as contents:
            row = contents.states.get(stream)
            events = [e for e in contents.kept(stream) if row is None or e.version > row.version][:limit]
            return row, [(e.position, e.version, e.type, e.schema_version, e.data) for e in events]

    async def states(self, category: str, *, after: str = "", limit: int = 100) -> list[StateRow]:
        async with self._critical() as contents:
            names = sorted(name for name in contents.states if name > after and category_of(name) == category)
            return [contents.states[name] for name in names[:limit]]

    async def standings(self) -> dict[str, Standing]:
        async with self._critical() as contents:
            return dict(contents.standings)

    async def note_standing(self, standing: Standing, *, only_new: bool = False) -> None:
        async with self._critical() as contents:
            if not only_new or standing.category not in contents.standings:
                contents.standings[standing.category] = standing

    async def prune(self, category: str, some: Sequence[Pruned], up_to: int) -> int:
        async with self._critical() as contents:
            standing = contents.standings.get(category)
            if standing is None or standing.kind != "state" or standing.moving_to is not None:
                return 0
            gone = 0
            for each in some:
                row = contents.states.get(each.stream)
                if row is None:
                    continue
                contents.bases[each.stream] = each
                for event in contents.kept(each.stream):
                    if 1 < event.version <= min(each.version, row.version - 1) and not event.tags:
                        contents.pruned.add(event.position)
                        contents.by_id.pop(event.event_id, None)
                        gone += 1
            contents.standings[category] = replace(standing, pruned_to=max(up_to, standing.pruned_to))
            return gone

    async def base(self, stream: str) -> Pruned | None:
        async with self._critical() as contents:
            return contents.bases.get(stream)


def keep_states(contents: Contents, request: AppendRequest, events: Sequence[StoredEvent], at: str) -> None:
    """Once the events are in: what the request says about the rows of its streams."""
    last = {event.stream: event.position for event in events}
    for write in request.writes:
        state = write.state
        if state is None:
            continue
        if state.data is None:
            contents.states.pop(write.stream, None)
            continue
        standing = contents.standings.get(category_of(write.stream))
        if state.fenced and standing is not None and "events" in (standing.moving_to, standing.kind):
            continue
        contents.states[write.stream] = StateRow(
            stream=write.stream,
            version=len(contents.streams.get(write.stream, ())),
            position=last.get(write.stream, state.position),
            schema_version=state.schema_version,
            data=state.data,
            updated_at=at,
        )
