"""Exported events in, under their own ids, versions and times."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from daicho.core.errors import ConcurrencyError, DuplicateEventId, InvalidMessage
from daicho.leaving.exchange import Placed, line_reader
from daicho.ports.event_store import Appended, AppendRequest, EventStore, StreamWrite

__all__ = ["Imported", "imported"]

_AT_ONCE = 500


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    new: int
    there: int
    """Those that an earlier import, or the store itself, had already."""


async def imported(store: EventStore, lines: Iterable[bytes], told: Callable[[int], None] | None = None) -> Imported:
    """Appends the events of the lines, in either form that `line_writer` makes; blank lines are passed over. `told` is
    called with how many are done.

    Ids, versions and times stay; each stream must be where its first event expects it. What is there already is left
    alone, so what was interrupted is simply run again. Raises InvalidMessage that names the line, ConcurrencyError,
    DuplicateEventId, StoreError; what came before is durable then.
    """
    new = done = 0
    for batch in _batches(lines):
        new += await _append(store, batch)
        done += len(batch)
        if told is not None:
            told(done)
    return Imported(new=new, there=done - new)


def _batches(lines: Iterable[bytes]) -> Iterator[list[Placed]]:
    """What came before a line that is no event is handed out before that is told."""
    batch: list[Placed] = []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            batch.append(line_reader(n, line))
        except InvalidMessage:
            if batch:
                yield batch
            raise
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _append(store: EventStore, batch: Sequence[Placed]) -> int:
    """One request for each run of events of one stream, so that their order in the log stays. Returns how many are
    new."""
    runs = [
        part for _, run in groupby(batch, key=lambda placed: placed.stream) for part in await _split(store, list(run))
    ]
    answers = await store.append([_request(run) for run in runs])
    return sum(_counted(run, answer) for run, answer in zip(runs, answers, strict=True))


async def _split(store: EventStore, run: list[Placed]) -> list[list[Placed]]:
    """In two where an earlier import ended within it: a request is either there as a whole, or new as a whole."""
    if len(run) == 1:
        return [run]
    there = max(0, min(len(run), await store.stream_version(run[0].stream) - run[0].version + 1))
    return [part for part in (run[:there], run[there:]) if part]


def _request(run: Sequence[Placed]) -> AppendRequest:
    first = run[0]
    if any(placed.version != first.version + n for n, placed in enumerate(run)):
        raise InvalidMessage(
            f"the versions of {first.stream} are not consecutive behind {first.version}",
            why="events are missing from the file",
            do="export whole streams",
            path=first.stream,
        )
    events = tuple(placed.event for placed in run)
    return AppendRequest(writes=(StreamWrite(stream=first.stream, events=events, expected=first.version - 1),))


def _counted(run: Sequence[Placed], answer: Appended | Exception) -> int:
    first, last = run[0], run[-1]
    if isinstance(answer, ConcurrencyError):
        raise ConcurrencyError(
            f"{first.stream} is at version {answer.actual}, so its version {first.version} cannot be imported",
            expected=first.version - 1,
            actual=answer.actual,
            events=answer.events,
        ) from answer
    if isinstance(answer, Exception):
        raise answer
    if answer.versions[0] != last.version:
        raise DuplicateEventId(
            f"{last.event.event_id} is version {answer.versions[0]} of {last.stream} here, not {last.version}",
            do="import into an empty store",
        )
    return 0 if answer.duplicate else len(run)
