"""The last events that this process has appended, for its own readers: what they would read is known here.

Only an unbroken run of positions is kept. Each position is drawn once, so within the run there are no events but these;
and they are shown only up to the head, where nothing new appears any more. A position that somebody else drew, or that
was given up, ends the run, and a new one begins behind it.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from daicho.core.stored import NewEvent
from daicho.ports.event_store import Appended, AppendRequest, StoredEvent

__all__ = ["Recent"]

_MOST_EVENTS, _MOST_BYTES = 2000, 1024 * 1024


class _Group(NamedTuple):
    """What one statement has appended: an unbroken run of positions."""

    requests: Sequence[AppendRequest]
    answers: Sequence[Appended]
    at: str
    last: int
    size: int


class Recent:
    """To add costs next to nothing, however many events there are: they are made when somebody reads them."""

    def __init__(self) -> None:
        self._kept: deque[_Group] = deque()
        self._begin = self._end = 0
        """The run: positions greater than the one and not greater than the other."""
        self._size = 0

    def add(
        self,
        requests: Sequence[AppendRequest],
        answers: Sequence[Appended],
        positions: Sequence[int],
        at: str,
        size: int,
    ) -> None:
        """What has been committed and answered just now, in the order of `positions`; `at`: the time of recording;
        `size`: bytes that the events take, at most."""
        if not positions:
            return
        first, last = positions[0], positions[-1]
        if first != self._end + 1:
            self._forget(first - 1)
        if last - first + 1 != len(positions) or size > _MOST_BYTES:
            self._forget(last)
            return
        self._kept.append(_Group(requests, answers, at, last, size))
        self._end = last
        self._size += size
        while self._size > _MOST_BYTES or self._end - self._begin > _MOST_EVENTS:
            group = self._kept.popleft()
            self._begin = group.last
            self._size -= group.size

    def all(self) -> list[StoredEvent]:
        """Those that are known, oldest first; without those that the store might give back in another form."""
        made = (
            _stored(r, a, group.at) for group in self._kept for r, a in zip(group.requests, group.answers, strict=True)
        )
        return [event for events in made if events for event in events]

    def clear(self) -> None:
        self._forget(0)

    def _forget(self, position: int) -> None:
        self._kept.clear()
        self._begin = self._end = position
        self._size = 0

    def between(self, after: int, up_to: int, limit: int) -> list[StoredEvent] | None:
        """The events with these positions, as reading would give them. None: they have to be read."""
        if after < self._begin or up_to > self._end:
            return None
        groups: list[_Group] = []
        for group in reversed(self._kept):
            if group.last <= after:
                break
            groups.append(group)
        events: list[StoredEvent] = []
        for group in reversed(groups):
            for request, answer in zip(group.requests, group.answers, strict=True):
                places = answer.positions
                if not places or places[-1] <= after:
                    continue
                if places[0] > up_to or len(events) >= limit:
                    break
                made = _stored(request, answer, group.at)
                if made is None:
                    return None
                if places[0] <= after or places[-1] > up_to:  # not to be counted
                    made = [event for event in made if after < event.position <= up_to]
                events += made
        return events[:limit]


def _stored(request: AppendRequest, answer: Appended, at: str) -> list[StoredEvent] | None:
    """None if the store might give one of them back in another form."""
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
