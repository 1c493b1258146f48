"""Group commit on PostgreSQL: all that is asked for at once goes in one statement, one round trip, one commit.

append ──> rounds of independent requests ──> daicho.append(...) ──> answers
                      │                              │
           (with inline work: aside)       somebody else was faster, the connection broke:
                                           the same again; what it did before is known by its ids
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import psycopg
from psycopg import errors as pg

from daicho.adapters.stores.postgres.aside import Taken
from daicho.adapters.stores.postgres.columns import Columns
from daicho.adapters.stores.postgres.epochs import PostgresEpochs
from daicho.adapters.stores.postgres.failures import is_lost, is_promoted, is_refused, translated
from daicho.adapters.stores.postgres.lines import Losses, Rows
from daicho.adapters.stores.postgres.places import Places
from daicho.adapters.stores.postgres.reading import query, stored_events
from daicho.adapters.stores.postgres.requests import Group, independent, single_event
from daicho.core.conditions import holds
from daicho.core.errors import ConcurrencyError, DuplicateEventId, MessageError, OutcomeUnknown, StoreUnavailable
from daicho.ports.event_store import Appended, AppendRequest, Selection, StoredEvent

__all__ = ["Answer", "PostgresAppending"]

_TRIES = 20
_NAMED_AT_MOST = 20  # events in the way that an error carries

Answer: TypeAlias = Appended | Exception


class _InTheWay(Exception):
    """One request of a group stands in the way of all: each has to be looked at alone."""

    def __init__(self, error: psycopg.Error, again: bool) -> None:
        self.error, self.again = error, again


class _Overtaken(Exception):
    """Another server has taken over since one request of a group was decided."""

    def __init__(self, again: bool) -> None:
        self.again = again


def unknown(url: str, why: str, *, then: str = "the server cannot be reached again") -> OutcomeUnknown:
    return OutcomeUnknown(
        f"the connection to {url} broke in the middle of an append",
        why=f"and {then}: {why}",
        do="append the same events again, under the same ids: it cannot double",
    )


class PostgresAppending(PostgresEpochs):
    async def append(self, requests: Sequence[AppendRequest]) -> list[Answer]:
        answers: list[Answer] = []
        left = list(requests)
        if len(requests) == 1 and not self._opened().pooled and (single := single_event(requests[0])) is not None:
            with self._opened().at_work():
                return [await self._append_one(requests[0], single)]
        with self._opened().at_work():
            if any(request.outcome for request in left):
                await self._settle_notes()
            while left:
                count = independent(left)
                group, left = left[:count], left[count:]
                inline = group[0].inline is not None
                answers += await (self._append_inline(group) if inline else self._append_group(group))
        return answers

    async def _append_one(self, request: AppendRequest, single: Sequence[Any]) -> Answer:
        """The quickest way, for what needs no more than that. Whatever is out of the ordinary goes the long one."""
        again, now = False, self._time()
        async with self._opened().writing:
            place = None
            try:
                await self._opened().writer.seated()
                if not self._is_overtaken(request):
                    [(place,)] = await self._opened().writer.rows(self._queries["append_one"], (now, *single))
            except (psycopg.Error, UnicodeError) as error:
                again = is_lost(error)
        if place is not None and self._opened().seat.lacks(place):
            again, place = True, None  # a server took it that had been replaced: that is worth nothing
        if place is None:
            [answer] = await self._append_group([request], again=again)
            return answer
        answer = Appended(positions=(place,), versions=(single[1] + 1,))
        self._committed((request,), (answer,), (place,), now, len(single[-1]) + len(single[-2]))
        return answer

    async def _append_group(
        self, requests: Sequence[AppendRequest], *, again: bool = False, as_columns: bool = True
    ) -> list[Answer]:
        """`again`: whether this may have been executed before, and only the answer was lost. `as_columns`: not if that
        has been tried, and one of them was in the way."""
        group: Columns | Group | None = Columns.of(requests, self._time()) if as_columns else None
        try:
            group = group or Group(requests, self._time())
        except (MessageError, DuplicateEventId) as error:
            return [error] if len(requests) == 1 else await self._one_by_one(requests, again)
        try:
            async with self._opened().writing:
                rows, again = await self._written(group, again)
        except _Overtaken as news:
            if len(requests) > 1:
                return await self._one_by_one(requests, news.again)
            return [await self._overtaken(requests[0], news.again)]
        except _InTheWay as obstacle:
            cause, again = obstacle.error, obstacle.again
        else:
            return await self._answers(group, rows, again=again)
        if len(requests) > 1 or isinstance(group, Columns):
            return await self._one_by_one(requests, again)
        if isinstance(cause, pg.UniqueViolation):
            found = (await self._places(requests)).of(requests[0], first_time=again)
            if found is not None:
                return [found]
        told = translated(cause, self._location.url)
        told.__cause__ = cause
        return [told]

    async def _one_by_one(self, requests: Sequence[AppendRequest], again: bool) -> list[Answer]:
        """As JSON, which is looked at more closely before it is sent."""
        answers: list[Answer] = []
        for request in requests:
            answers += await self._append_group([request], again=again, as_columns=False)
        return answers

    async def _written(self, group: Columns | Group, again: bool) -> tuple[Rows, bool]:
        """Executes the statement until its outcome is known; and whether it may have been executed before."""
        line, tries, losses = self._opened().writer, 0, Losses(self._location.reconnect_within)
        while True:
            tries += 1
            try:
                await line.seated()
                if any(map(self._is_overtaken, group.requests)):
                    raise _Overtaken(again)
                rows = await line.rows(self._queries[group.name], group.parameters, group.types)
                if not self._is_void(rows):
                    return rows, again
                again = True
                continue
            except StoreUnavailable as error:
                if not again:
                    raise
                raise unknown(self._location.url, error.why) from error
            except psycopg.Error as error:
                if is_lost(error) or (is_refused(error) and self._opened().seat.writes):
                    again = again or is_lost(error)
                    await line.hang_up()
                    if losses.too_many():
                        raise unknown(self._location.url, str(error), then="each new one as well") from error
                    continue
                if is_promoted(error) and tries < _TRIES:
                    await self._renew()
                    continue
                told = translated(error, self._location.url)
                taken = isinstance(error, pg.UniqueViolation)
                if (taken and error.diag.constraint_name == "events_one_id") or isinstance(told, MessageError):
                    raise _InTheWay(error, again) from error
                faster = taken or isinstance(error, (pg.DeadlockDetected, pg.SerializationFailure))
                if not faster or tries == _TRIES:
                    raise told from error
                # somebody else was faster: the next time, what they wrote is seen
                await asyncio.sleep(random.uniform(0, 0.001) * (tries - 1))  # noqa: S311 - jitter

    def _is_overtaken(self, request: AppendRequest) -> bool:
        """Whether it was decided on events that are lost, or may be: a stream that was at version 9 may be there again,
        by another event."""
        seat, condition = self._opened().seat, request.condition
        if condition is not None and any(map(seat.has_lost, (condition.after, *condition.seen))):
            return True
        if request.epoch is None or request.epoch >= seat.epoch:
            return False
        return any(isinstance(write.expected, int) and write.expected > 0 for write in request.writes)

    async def _overtaken(self, request: AppendRequest, again: bool) -> Answer:
        found = (await self._places([request])).of(request, first_time=again)
        return found or ConcurrencyError(
            "another server has taken over, and what this was decided on may be lost",
            expected=request.condition or (request.writes[0].expected if request.writes else None),
            actual=None,
        )

    def _is_void(self, rows: Rows) -> bool:
        """Whether what was appended is on a server that has been replaced, as has been noticed meanwhile."""
        return any(self._opened().seat.lacks(place) for place in (rows[0][2] or ())[-1:] if place)

    async def _answers(self, group: Columns | Group, rows: Rows, *, again: bool) -> list[Answer]:
        before: list[int]
        refused: list[int]
        places_given: list[int] | None
        [(before, refused, places_given)] = rows
        positions = places_given or []
        if isinstance(group, Columns) and not refused and len(positions) == len(before):  # an event for each stream
            all_written: list[Answer] = [
                Appended(positions=(position,), versions=(version + 1,))
                for position, version in zip(positions, before, strict=True)
            ]
            self._committed(group.requests, cast("list[Appended]", all_written), positions, group.at, group.size)
            return all_written
        written: dict[int, Appended] = {}
        for r, request in enumerate(group.requests, 1):
            if r not in refused:
                w, e = group.first_writes[r - 1], group.first_events[r - 1]
                count = sum([len(write.events) for write in request.writes])
                written[r] = Appended(
                    positions=tuple(positions[e : e + count]),
                    versions=tuple([before[w + n] + len(write.events) for n, write in enumerate(request.writes)]),
                )
        self._committed(
            [group.requests[r - 1] for r in written],
            list(written.values()),
            [position for position in positions if position],
            group.at,
            group.size,
        )
        if not refused:
            return list(written.values())
        places = await self._places([group.requests[r - 1] for r in refused])
        answers: list[Answer] = []
        for r, request in enumerate(group.requests, 1):
            if r in written:
                answers.append(written[r])
                continue
            found = places.of(request, first_time=again)
            answers.append(found or await self._refusal(request, before, group.first_writes[r - 1]))
        return answers

    async def _places(self, requests: Sequence[AppendRequest]) -> Places:
        ids = [event.event_id for request in requests for write in request.writes for event in write.events]
        return Places(await self._read(self._queries["places"], (ids,)) if ids else [])

    async def _refusal(self, request: AppendRequest, before: Sequence[int], first_write: int) -> ConcurrencyError:
        for n, write in enumerate(request.writes):
            version = before[first_write + n]
            if not holds(write.expected, version):
                seen = write.expected if isinstance(write.expected, int) else 0
                return ConcurrencyError(
                    f"{write.stream} is at version {version}, not {write.expected!r}",
                    expected=write.expected,
                    actual=version,
                    events=tuple(await self._some(Selection(stream=write.stream, after_version=seen))),
                )
        condition = request.condition
        assert condition is not None, "nothing was in the way"
        events = await self._some(Selection(criteria=condition.criteria, after=condition.after), len(condition.seen))
        return ConcurrencyError(
            f"events that meet the condition were recorded after position {condition.after}",
            expected=condition,
            actual=None,
            events=tuple(event for event in events if event.position not in condition.seen)[:_NAMED_AT_MOST],
        )

    async def _some(self, wanted: Selection, more: int = 0) -> list[StoredEvent]:
        text, values = query(wanted, _NAMED_AT_MOST + more, None)
        return stored_events(await self._read(self._in_schema(text), values))

    def _committed(
        self,
        requests: Sequence[AppendRequest],
        answers: Sequence[Appended],
        positions: Sequence[int],
        at: str,
        size: int,
    ) -> None:
        """Readers in this process need not wait to be told, nor read what is known here."""
        opened = self._opened()
        if at:
            opened.recent.add(requests, answers, positions, at, size)
        opened.head.touch(positions)

    async def _settle_notes(self) -> None:
        """What was noted of commands before may not be written over what is recorded now."""

    # -- with inline work -----------------------------------------------------------------------------------------

    async def _append_inline(self, requests: Sequence[AppendRequest], *, again: bool = False) -> list[Answer]:
        answers: list[Answer] = []
        try:
            outcomes, again = await self._written_aside(requests, again)
        except _Overtaken as news:
            if len(requests) == 1:
                return [await self._overtaken(requests[0], news.again)]
            for request in requests:
                answers += await self._append_inline([request], again=news.again)
            return answers
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Taken):
                found = (await self._places([request])).of(request, first_time=again)
                answers += [found] if found else await self._append_inline([request])
            elif isinstance(outcome, psycopg.Error):
                told = translated(outcome, self._location.url)
                told.__cause__ = outcome
                answers.append(told)
            elif isinstance(outcome, Exception):
                answers.append(outcome)
            else:
                alone = Group([request], "")
                answers += await self._answers(alone, [outcome], again=again)
        return answers

    async def _look_who_it_is(self, again: bool) -> None:
        """Before anything is sent to whoever answers now: over there, nobody looks when connecting."""
        try:
            await self._renew()
        except StoreUnavailable as error:
            if again:
                raise unknown(self._location.url, error.why) from error
            raise

    async def _written_aside(self, requests: Sequence[AppendRequest], again: bool) -> tuple[list[Any], bool]:
        opened = self._opened()
        deadline, tries = time.monotonic() + self._location.reconnect_within, 0
        async with opened.aside_turn:
            while True:
                tries += 1
                if any(map(self._is_overtaken, requests)):
                    raise _Overtaken(again)
                try:
                    outcomes = await opened.aside.append(requests, self._time())
                    if not any(isinstance(outcome, tuple) and self._is_void([outcome]) for outcome in outcomes):
                        return outcomes, again
                    again = True
                except psycopg.Error as error:
                    if is_promoted(error) and tries < _TRIES:
                        await self._renew()
                    elif is_lost(error) or (is_refused(error) and opened.seat.writes):
                        again = again or is_lost(error)
                        await opened.aside.hang_up()
                        if time.monotonic() > deadline:
                            raise unknown(self._location.url, str(error)) from error
                        await self._look_who_it_is(again)
                    elif not isinstance(error, (pg.DeadlockDetected, pg.SerializationFailure)) or tries == _TRIES:
                        raise translated(error, self._location.url) from error
                    await asyncio.sleep(random.uniform(0.5, 1) * 0.002 * min(tries, 100))  # noqa: S311 - jitter
