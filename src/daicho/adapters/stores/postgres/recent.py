"""The last events that this process has appended, for its own readers: what they would read is known here.

Only an unbroken run of positions is kept. Each position is drawn once, so within the run there are no events but these;
and they are shown only up to the head, where nothing new appears any more. A position that somebody else drew, or that
was given up, ends the run, and a new one begins behind it.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from daicho.core.stored import NewEvent
from daicho.ports.event_store import Appended, AppendRequest, StoredEvent

__all__ = ["Recent"]

_MOST_EVENTS, _MOST_BYTES = 2000, 1024 * 1024


class _Append(NamedTuple):
    request: AppendRequest
    answer: Appended
    at: str
    size: int


class Recent:
    def __init__(self) -> None:
        self._kept: deque[_Append] = deque()
        self._begin = self._end = 0
        """The run: positions greater than the one and not greater than the other."""
        self._size = 0

    def add(self, appends: Iterable[tuple[AppendRequest, Appended]], at: str) -> None:
        """What has been committed and answered just now; `at`: the time of recording."""
        for request, answer in appends:
            places = answer.positions
            if not places:
                continue
            size = sum([len(event.data) + len(event.metadata) for write in request.writes for event in write.events])
            if places[0] != self._end + 1:
                self._forget(places[0] - 1)
            if places[-1] - places[0] + 1 != len(places) or size > _MOST_BYTES:
                self._forget(places[-1])
                continue
            self._kept.append(_Append(request, answer, at, size))
            self._end = places[-1]
            self._size += size
            while self._size > _MOST_BYTES or self._end - self._begin > _MOST_EVENTS:
                first = self._kept.popleft()
                self._begin = first.answer.positions[-1]
                self._size -= first.size

    def _forget(self, position: int) -> None:
        self._kept.clear()
        self._begin = self._end = position
        self._size = 0

    def between(self, after: int, up_to: int, limit: int) -> list[StoredEvent] | None:
        """The events with these positions, as reading would give them. None: they have to be read."""
        if after < self._begin or up_to > self._end:
            return None
        found: list[_Append] = []
        for append in reversed(self._kept):
            if append.answer.positions[-1] <= after:
                break
            found.append(append)
        events: list[StoredEvent] = []
        for append in reversed(found):
            made = _stored(append)
            if made is None:
                return None
            events += made
        if events and (events[0].position <= after or events[-1].position > up_to):
            events = [event for event in events if after < event.position <= up_to]
        return events[:limit]


def _stored(append: _Append) -> list[StoredEvent] | None:
    """None if the store might give one of them back in another form."""
    request, answer, at, _ = append
    found: list[StoredEvent] = []
    for write, last in zip(request.writes, answer.versions, strict=True):
        stream, version = write.stream, last - len(write.events)
        for event in write.events:
            if not _comes_back(event) or type(stream) is not str:
                return None
            version += 1
            tags = tuple(dict.fromkeys(event.tags)) if event.tags else ()
            found.append(
                StoredEvent(
                    answer.positions[len(found)], stream, version, event.type, event.schema_version, event.event_id,
                    event.occurred_at, at, event.actor, event.tenant, event.correlation_id, event.causation_id,
                    tags, event.metadata, event.data,
                )
            )  # fmt: skip
    return found


def _comes_back(event: NewEvent) -> bool:
    """Whether what is read is what was given, to the byte: JSON is, but for white space around it."""
    data, metadata = event.data, event.metadata
    if data[:1] in b"{[" and data[-1:] not in b"}]":
        return False
    return metadata[:1] == b"{" and metadata[-1:] == b"}"
