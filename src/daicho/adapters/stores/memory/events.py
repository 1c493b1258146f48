"""The register: a list."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from daicho.adapters.stores.memory.commands import keep
from daicho.adapters.stores.memory.contents import Contents, Shelf
from daicho.adapters.stores.memory.inline import MemoryInline
from daicho.adapters.stores.memory.states import keep_states
from daicho.core.conditions import Expected, holds
from daicho.core.errors import ConcurrencyError, DuplicateEventId, InvalidMessage
from daicho.core.messages import replace
from daicho.core.streams import category_of
from daicho.ports.event_store import (
    Appended,
    AppendRequest,
    CommandOutcome,
    Narrow,
    NewEvent,
    Selection,
    StoredEvent,
    StreamWrite,
)

__all__ = ["MemoryEvents"]

_NAMED_AT_MOST = 100


class MemoryEvents(Shelf):
    async def append(self, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
        async with self._critical() as contents:
            return [await self._execute(contents, request) for request in requests]

    async def _execute(self, contents: Contents, request: AppendRequest) -> Appended | Exception:
        """First everything that can fail, on the side; then, in one go, everything that changes the contents."""
        try:
            _check_streams(request)
            if earlier := _appended_before(contents, request):
                return earlier
            events = _placed(contents, request, self._recording_time(contents))
            inline = MemoryInline(contents, self._time())
            if request.inline is not None:
                request.inline(inline, events)
        except Exception as error:  # noqa: BLE001  (errors are answers here, one for each request)
            return error
        await asyncio.sleep(0)
        for event in events:
            contents.events.append(event)
            contents.streams.setdefault(event.stream, []).append(event)
            contents.by_id[event.event_id] = event
        inline.apply()
        keep_states(contents, request, events, self._time())
        appended = Appended(
            positions=tuple(event.position for event in events),
            versions=tuple(len(contents.streams.get(write.stream, ())) for write in request.writes),
        )
        if request.outcome is not None:
            keep(contents, _filled(request, appended, len(contents.events)))
        if events:
            contents.wake()
        return appended

    def _recording_time(self, contents: Contents) -> str:
        return max(self._time(), contents.events[-1].recorded_at if contents.events else "")

    async def read(self, selection: Selection, *, limit: int) -> list[StoredEvent]:
        async with self._critical() as contents:
            found = [event for event in _candidates(contents, selection) if selection.matches(event)]
        return (found[::-1] if selection.newest_first else found)[:limit]

    async def read_narrow(self, selection: Selection, *, limit: int) -> list[Narrow]:
        found = await self.read(selection, limit=limit)
        return [(e.position, e.version, e.type, e.schema_version, e.data) for e in found]

    async def stream_version(self, stream: str) -> int:
        async with self._critical() as contents:
            return len(contents.streams.get(stream, ()))

    async def head(self) -> int:
        async with self._critical() as contents:
            return len(contents.events)

    async def wait(self, after: int) -> int:
        while len((contents := self._opened()).events) <= after:
            await contents.moved.wait()
        return len(contents.events)

    async def streams(self, category: str | None, *, after: str = "", limit: int = 100) -> list[tuple[str, int]]:
        async with self._critical() as contents:
            names = sorted(n for n in contents.streams if n > after and category in (None, category_of(n)))
            return [(name, len(contents.streams[name])) for name in names[:limit]]

    async def counts(self) -> dict[tuple[str, int], int]:
        async with self._critical() as contents:
            return dict(Counter((event.type, event.schema_version) for event in _candidates(contents, Selection())))


def _check_streams(request: AppendRequest) -> None:
    names = [write.stream for write in request.writes]
    if len(set(names)) < len(names):
        raise InvalidMessage(
            "one append names a stream twice", do="put all events of a stream into one write", path="writes"
        )


def _new_events(request: AppendRequest) -> Iterator[tuple[str, NewEvent]]:
    return ((write.stream, event) for write in request.writes for event in write.events)


def _appended_before(contents: Contents, request: AppendRequest) -> Appended | None:
    """The places that these very events got before; None if they are all new. Raises DuplicateEventId."""
    ids = [event.event_id for _, event in _new_events(request)]
    known = [contents.by_id[event_id] for event_id in ids if event_id in contents.by_id]
    if not known and len(set(ids)) == len(ids):
        return None
    positions = tuple(event.position for event in known)
    same_streams = [event.stream for event in known] == [stream for stream, _ in _new_events(request)]
    if not same_streams or positions != tuple(sorted(set(positions))):
        used = known[0] if known else None
        raise DuplicateEventId(
            "an event id of this append is in use already",
            why=f"{used.event_id} is at position {used.position} of the store" if used else "it names one id twice",
            do="append the same events in the same order again, or use fresh ids",
            events=tuple(known),
        )
    return Appended(positions=positions, versions=_versions_then(contents, request.writes), duplicate=True)


def _versions_then(contents: Contents, writes: Sequence[StreamWrite]) -> tuple[int, ...]:
    return tuple(
        contents.by_id[write.events[-1].event_id].version
        if write.events
        else len(contents.streams.get(write.stream, ()))
        for write in writes
    )


def _placed(contents: Contents, request: AppendRequest, recorded_at: str) -> list[StoredEvent]:
    """The events as they will stand in the store. Raises ConcurrencyError."""
    placed: list[StoredEvent] = []
    for write in request.writes:
        version = len(contents.streams.get(write.stream, ()))
        if not holds(write.expected, version):
            raise ConcurrencyError(
                f"{write.stream} is at version {version}, not {write.expected!r}",
                expected=write.expected,
                actual=version,
                events=_in_the_way(contents.kept(write.stream), write.expected),
            )
        for event in write.events:
            version += 1
            placed.append(_stored(event, write.stream, version, len(contents.events) + len(placed) + 1, recorded_at))
    if request.condition is not None:
        criteria, after, seen = request.condition.criteria, request.condition.after, request.condition.seen
        known = {*seen, *contents.pruned}
        later = (e for e in contents.events[max(after, 0) :] if e.position not in known)
        if hits := [e for e in later if criteria.matches(e.type, set(e.tags))]:
            raise ConcurrencyError(
                f"{len(hits)} events were recorded after position {after} that meet the condition",
                expected=request.condition,
                actual=None,
                events=tuple(hits[:_NAMED_AT_MOST]),
            )
    return placed


def _in_the_way(stream: Sequence[StoredEvent], expected: Expected) -> tuple[StoredEvent, ...]:
    seen = expected if isinstance(expected, int) else 0
    return tuple([event for event in stream if event.version > seen][:_NAMED_AT_MOST])


def _stored(event: NewEvent, stream: str, version: int, position: int, recorded_at: str) -> StoredEvent:
    return StoredEvent(
        position,
        stream,
        version,
        event.type,
        event.schema_version,
        event.event_id,
        event.occurred_at,
        recorded_at,
        event.actor,
        event.tenant,
        event.correlation_id,
        event.causation_id,
        event.tags,
        event.metadata,
        event.data,
    )


def _filled(request: AppendRequest, appended: Appended, head: int) -> CommandOutcome:
    assert request.outcome is not None
    if not request.writes:
        return request.outcome
    return replace(
        request.outcome,
        stream=request.writes[0].stream,
        version=appended.versions[0],
        position=appended.positions[-1] if appended.positions else head,
    )


def _candidates(contents: Contents, selection: Selection) -> Sequence[StoredEvent]:
    if selection.stream is not None:
        return contents.kept(selection.stream)
    if contents.pruned:
        return [event for event in contents.events if event.position not in contents.pruned]
    return contents.events
