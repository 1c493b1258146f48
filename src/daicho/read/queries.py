"""The query gateway: typed questions, answered from views, fresh as asked for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

import msgspec

from daicho.core.errors import (
    InvalidMessage,
    NoSuchTable,
    NotFound,
    OrphanedView,
    PastIncomplete,
    Rebuilding,
    StaleAnswer,
    UnknownMessage,
    UnknownView,
)
from daicho.core.journal import Journal
from daicho.core.messages import Query, Row
from daicho.core.meter import Meter
from daicho.core.projection import Table
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.cursor import Question
from daicho.read.orphans import Orphans
from daicho.read.progress import Progress

__all__ = ["Kept", "PageOf", "Places", "Queries", "Reading", "View", "ViewState", "Views", "is_kept"]

R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)
T = TypeVar("T")
_LOOK_EVERY = 0.25
"""Seconds between two looks whether another build went live while one is waited for."""
Relocate: TypeAlias = Callable[[str], Awaitable[None]]


class ViewState(Protocol):
    """Which build of a view readers get. A projector is one."""

    table: TableSpec
    name: str
    views: ViewStore
    """Where its rows are."""
    complete_at: int
    """Position below which the view has never been complete; 0 once it has been."""
    moving: asyncio.Future[None] | None
    """Ends when it is known what readers are to get."""
    is_begun: bool
    """False if no process had run the projection when this one looked: there is no table."""

    @property
    def is_orphaned(self) -> bool:
        """Whether its rows have seen events that a failover has lost."""
        ...

    async def look(self) -> None:
        """Before rows are read: finds the build to read, if nobody else in this process keeps looking for it."""
        ...


class Kept:
    """The view state of a Crud part: no projection, always complete."""

    name = ""
    complete_at = 0
    is_orphaned = False
    is_begun = True
    moving: asyncio.Future[None] | None = None

    def __init__(self, table: TableSpec, views: ViewStore) -> None:
        self.table, self.views = table, views

    async def look(self) -> None:
        """It is never built anew."""


def is_kept(state: ViewState) -> bool:
    """Whether no projection fills it, so that nobody tells what happens to it."""
    return isinstance(state, Kept)


class Reading:
    """How fresh one question wants its answer, and how stale the answer turned out."""

    def __init__(self, after: int = 0, deadline: float | None = None, tenant: str | None = None) -> None:
        """`tenant`: whose rows alone are seen, where tenants are kept apart."""
        self.after, self.deadline, self.tenant = after, deadline, tenant
        self.views: set[str] = set()
        """What was read."""
        self.behind: dict[str, int] = {}
        """Views that were read before they were fresh enough, and how many positions they lacked."""
        self.broken: dict[str, dict[str, str]] = {}
        """Of views as they were then: keys whose past cannot be told whole, and why."""

    is_live = False
    """Whether everything that has been committed must be found, although it is not known up to which position."""
    place: "Callable[[ViewState], int] | None" = None
    """Where it is answered by a replica: how far a view has come there, at least."""

    def restart(self, deadline: float, place: "Callable[[ViewState], int] | None") -> None:
        """The question is asked (again), there: nothing has been read yet."""
        self.deadline, self.place = deadline, place
        self.views.clear()
        self.behind.clear()
        self.broken.clear()

    def floor(self, state: ViewState) -> int:
        """How far a view must have come elsewhere, because that much of it is known here. Asked on a replica alone."""
        return 0

    def uses(self, state: ViewState, keys: Iterable[str] | None, equals: Mapping[str, object] | None) -> None:
        """Told before each read: of the rows of these keys, of those that equal; with neither, of any row."""
        self.views.add(state.table.name)


class PageOf(msgspec.Struct, Generic[RowT], frozen=True):
    """Some rows, and the way on."""

    rows: list[RowT]
    cursor: str | None
    """For the next page: text that fits into a URL as it is. None: these were the last."""


class View(Generic[RowT]):
    """The rows of one projection or Crud part, as readers see them."""

    def __init__(
        self, state: ViewState, progress: Progress, reading: Reading | None, relocate: Relocate | None = None
    ) -> None:
        """`relocate`: finds the build to read, should the one that was to be read have been dropped."""
        self._state, self._store, self._progress, self._reading = state, state.views, progress, reading
        self._relocate = relocate

    async def _read(
        self,
        look: Callable[[TableSpec], Awaitable[T]],
        *,
        keys: Sequence[str] | None = None,
        equals: Mapping[str, object] | None = None,
    ) -> T:
        """What a look at the rows finds, once they are as fresh as wanted. Whoever did nothing for the length of two
        rebuilds knows a build that is dropped by now: then another one is looked at."""
        try:
            await self._fresh(keys=keys, equals=equals)
            return await look(self._state.table)
        except NoSuchTable:
            if self._relocate is None:
                raise
            await self._relocate(self._state.table.name)
        await self._fresh(keys=keys, equals=equals)
        return await look(self._state.table)

    async def get(self, key: str) -> RowT | None:
        """The row, or None."""
        found = await self._read(lambda table: self._store.get(table, key), keys=(key,))
        row = cast("RowT | None", found)
        return row if row is None or self._is_seen(row) else None

    async def get_many(self, keys: Sequence[str]) -> dict[str, RowT]:
        """Those of the rows that exist, by key."""
        found: dict[str, RowT] = await self._read(lambda table: self._store.get_many(table, keys), keys=keys)
        return {key: row for key, row in found.items() if self._is_seen(row)}

    async def find(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
        **equals: object,
    ) -> list[RowT]:
        """Rows whose fields equal the given values, by key unless ordered otherwise. Raises NoSuchField."""
        if offset < 0 or (limit is not None and limit < 0):
            raise InvalidMessage(f"limit={limit}, offset={offset} cut out nothing", do="give 0 or more")
        seen = self._seen(equals)

        def look(table: TableSpec) -> Awaitable[list[RowT]]:
            return self._store.find(table, seen, order_by=order_by, descending=descending, limit=limit, offset=offset)

        return await self._read(look, equals=seen)

    async def page(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int = 50,
        cursor: str | None = None,
        **equals: object,
    ) -> PageOf[RowT]:
        """The first rows of `find`, or those behind a cursor. Rows that come and go meanwhile shift nothing: a row that
        stays in its place is on exactly one page. By key, or by a field in `index=`, the last page is reached as fast
        as the first.

        Raises NoSuchField, and InvalidMessage for a cursor that is not of this view, order and filter.
        """
        if limit < 1:
            raise InvalidMessage(f"limit={limit} leaves no room for a row", do="ask for 1 or more", path="limit")
        seen = self._seen(equals)
        question = Question(self._state.table, order_by, descending, seen)
        after = None if cursor is None else question.mark(cursor)

        def look(table: TableSpec) -> Awaitable[list[tuple[str, RowT]]]:
            return self._store.page(table, seen, limit=limit + 1, order_by=order_by, descending=descending, after=after)

        found = await self._read(look, equals=seen)
        rows = found[:limit]
        return PageOf([row for _, row in rows], question.cursor(*rows[-1]) if len(found) > limit else None)

    async def search(self, text: str, /, *, limit: int = 50, offset: int = 0, **equals: object) -> list[RowT]:
        """Rows in whose `search` fields all words of the text occur; the last one may be only begun. Best first: those
        with the fewest other words. How texts are cut into words: docs/howto/search.md.

        Raises NoSuchField, and NotSearchable if the row class names no fields to search, or the store cannot.
        """
        if limit < 0 or offset < 0:
            raise InvalidMessage(f"limit={limit}, offset={offset} cut out nothing", do="give 0 or more")
        seen = self._seen(equals)
        return await self._read(
            lambda table: self._store.search(table, text, seen, limit=limit, offset=offset), equals=seen
        )

    async def count(self, **equals: object) -> int:
        seen = self._seen(equals)
        return await self._read(lambda table: self._store.count(table, seen), equals=seen)

    def _is_seen(self, row: RowT) -> bool:
        """Whether the row may be shown to whoever asks."""
        tenant = self._reading.tenant if self._reading else None
        return tenant is None or getattr(row, "tenant", tenant) == tenant

    def _seen(self, equals: dict[str, object]) -> dict[str, object]:
        """The filter, and whoever asks as a tenant sees no row of another."""
        tenant = self._reading.tenant if self._reading else None
        if tenant is None or "tenant" not in self._state.table.row_type.__struct_fields__:
            return equals
        if equals.get("tenant", tenant) != tenant:
            raise NotFound(f"there is no tenant {equals['tenant']!r}", do="leave `tenant` out: it is yours anyway")
        return {**equals, "tenant": tenant}

    async def settled(self) -> None:
        """Waits until it is as fresh as the question wants it."""
        await self._read(_nothing)

    async def _fresh(self, *, keys: Sequence[str] | None = None, equals: Mapping[str, object] | None = None) -> None:
        """Before a read of these rows; with neither, of any."""
        state, reading = self._state, self._reading
        if reading is not None:
            reading.uses(state, keys, equals)
        if not state.name:
            return
        while True:
            await state.look()
            build = state.name
            await self._fresh_build(state, reading, keys)
            if state.name == build:
                return  # else what was found out is about the rows of another build than those to be read

    async def _fresh_build(self, state: ViewState, reading: Reading | None, keys: Sequence[str] | None) -> None:
        """The same for the build that is live now. Nothing is read in between, if it still is."""
        loop = asyncio.get_running_loop()
        if not state.is_begun:
            state.is_begun = await state.views.live_generation(state.table.name) is not None
            if not state.is_begun:
                raise Rebuilding(
                    f"the view {state.table.name!r} has not been begun",
                    why="no process that runs projections has run this app on this store yet",
                    do="start one: `daicho run`, or the App in a program",
                    view=state.table.name,
                )
        if state.moving is not None:
            await asyncio.wait([state.moving])
        _check_orphaned(state)
        build, goal = state.name, state.complete_at
        if goal:
            left = reading.deadline - loop.time() if reading and reading.deadline else 5.0
            behind = await self._reach(state, goal, left)
            if state.name != build:
                return
            _check_orphaned(state)
            if behind:
                raise Rebuilding(
                    f"the view {state.table.name!r} is being built",
                    why=f"it has come to position {min(behind.values())} of {goal}",
                    do="ask again later; `daicho projection list` shows the progress",
                    view=state.table.name,
                )
            if (state.name, state.complete_at) != (build, goal):
                return
            state.complete_at = 0
        if reading is None or not (reading.after or reading.is_live):
            return
        after = reading.after if reading.place is None else max(reading.after, reading.floor(state))
        if after:
            left = (reading.deadline or loop.time()) - loop.time()
            behind = await self._reach(state, after, left, keys)
            if state.name != build:
                return
            _check_orphaned(state)
            if behind:
                reading.behind[state.table.name] = after - min(behind.values())
                return
        if keys is None:  # by key, every store finds at once what was committed
            await self._store.settle(state.table)

    async def _reach(
        self, state: ViewState, position: int, left: float, keys: Sequence[str] | None = None
    ) -> dict[str, int]:
        """What this build lacks when `left` seconds are over. Ends early if another one is to be read instead."""
        build, loop = state.name, asyncio.get_running_loop()
        deadline = loop.time() + left

        def awaited() -> list[str]:
            """It alone, and not in vain, if it goes no further."""
            return [build] if state.name == build and not state.is_orphaned else []

        while True:
            left = max(0.0, deadline - loop.time())
            behind = await self._progress.reach(awaited, position, min(left, _LOOK_EVERY), keys)
            if not behind or left <= _LOOK_EVERY:
                return behind
            await state.look()


async def _nothing(_: TableSpec) -> None: ...


def _check_orphaned(state: ViewState) -> None:
    if state.is_orphaned:
        raise OrphanedView(
            f"the view {state.table.name!r} shows what never happened",
            why="its rows have seen events that were lost in a failover; it is being built anew",
            do="ask again later; `daicho projection list` shows the progress",
            view=state.table.name,
        )


class Views:
    """All views of the App: `views[orders].find(status="pending")`."""

    def __init__(
        self,
        states: Mapping[str, ViewState],
        progress: Progress,
        reading: Reading | None = None,
        *,
        past: "Callable[[int | datetime], Views]",
        relocate: Relocate | None = None,
    ) -> None:
        """`past` gives the same views as they were then; `relocate` moves to the build that readers are to see."""
        self._states, self._progress, self._reading, self._past = states, progress, reading, past
        self._relocate = relocate

    def __getitem__(self, table: Table[RowT]) -> View[RowT]:
        return View(self._state(table), self._progress, self._reading, self._relocate)

    def _state(self, table: Table[Any]) -> ViewState:
        state = self._states.get(table.name)
        if state is None:
            raise UnknownView(
                f"there is no view {table.name!r} in this App",
                why=f"it has {', '.join(sorted(self._states)) or 'no views'}",
                do="give App the projection or Crud part",
                view=table.name,
            )
        return state

    def as_of(self, moment: int | datetime) -> "Views":
        """The same views as they were: after the event at that position, or as far as things had *occurred* by that
        time. `await app.views.as_of(120)[orders].find()`. See docs/howto/past.md.

        Raises InvalidMessage for a naive datetime. Reading one raises InvalidMessage if the position has not been
        reached, NoPast for a Crud table, a join or a projection in SQL, and PastIncomplete, with the answer, if the
        fold raised on the way.
        """
        return self._past(moment)

    def names(self) -> list[str]:
        return sorted(self._states)

    def named(self, name: str) -> View[Any]:
        """By name, for tools."""
        table: Table[Any] = Table()
        table.name = name
        return self[table]

    def reading(self, reading: Reading) -> "Views":
        """The same views for one question."""
        return Views(self._states, self._progress, reading, past=self._past, relocate=self._relocate)


class Places(Protocol):
    """Where else than at the store itself a question may be answered."""

    async def answer(self, reading: Reading, within: float, ask: Callable[[Views], Awaitable[Any]], here: Views) -> Any:
        """The answer of `ask`, from the views of one place: of a replica, or of `here`. The reading tells about that
        place. Raises NoReplica, and what `ask` raises."""
        ...


class Queries:
    """Finds who answers a query, and keeps the promise of freshness."""

    def __init__(
        self,
        handlers: Mapping[type[Query[Any]], Callable[..., Awaitable[Any]]],
        views: Views,
        meter: Meter | None = None,
        journal: Journal | None = None,
        *,
        isolated: bool = False,
        orphans: Orphans | None = None,
    ) -> None:
        """`handlers` take (query, views). `isolated`: whoever asks as a tenant sees no row of another."""
        self._orphans = orphans
        self._handlers, self._views, self._meter = handlers, views, meter or Meter()
        self._isolated, self._journal = isolated, journal or Journal()
        self.places: Places | None = None

    async def ask(
        self,
        query: Query[R],
        *,
        after: int = 0,
        within: float = 5.0,
        as_of: int | datetime | None = None,
        tenant: str | None = None,
    ) -> R:
        reading = Reading(after, asyncio.get_running_loop().time() + within, tenant)
        if as_of is None:
            return await self.answer(query, reading, within)
        if after:
            raise InvalidMessage(
                "`after=` and `as_of=` do not go together",
                why="the one asks for views that are fresh, the other for views that are not",
                do="give one of them",
                path="as_of",
            )
        return await self.answer(query, reading, within, self._views.as_of(as_of))

    async def answer(self, query: Query[R], reading: Reading, within: float, views: Views | None = None) -> R:
        """`within`: the seconds that the reading has left; `views`: instead of those of now."""
        handler = self._handlers.get(type(query))
        if handler is None:
            name = type(query).__name__
            raise UnknownMessage(
                f"no part of this App answers {name}", do="give App a @query_handler that takes it", message=name
            )
        if within < 0:
            raise InvalidMessage(f"within={within} is negative", do="give seconds, 0 or more")
        if reading.after and self._orphans is not None:
            await self._orphans.check(reading.after)
        tenant = reading.tenant
        if not self._isolated:
            reading.tenant = None

        async def ask(there: Views) -> Any:
            seen = there.reading(reading)
            return await (self._timed(handler, query, seen) if self._journal.is_open else handler(query, seen))

        if views is None and self.places is not None:
            answer = await self.places.answer(reading, within, ask, self._views)
        else:
            answer = await ask(views or self._views)
        self._meter.read(type(query).__message_name__, reading.views, tenant)
        self._check(reading, within, answer)
        return cast("R", answer)

    async def _timed(self, handler: Callable[..., Awaitable[Any]], query: Query[Any], views: Views) -> Any:
        at, begin, failed = time.time(), time.perf_counter(), True
        try:
            answer = await handler(query, views)
            failed = False
        finally:
            self._journal.answered(query, at, time.perf_counter() - begin, failed=failed)
        return answer

    async def barrier(self, tables: Sequence[Table[Any]], *, after: int, within: float) -> None:
        """Returns when all of the views are at `after`. Raises StaleAnswer, Rebuilding, UnknownView."""
        if self._orphans is not None:
            await self._orphans.check(after)
        reading = Reading(after, asyncio.get_running_loop().time() + within)
        for view in [self._views.reading(reading)[table] for table in tables]:
            await view.settled()
        self._check(reading, within, None)

    @staticmethod
    def _check(reading: Reading, within: float, answer: Any) -> None:
        if reading.broken:
            raise PastIncomplete(answer=answer, broken=reading.broken)
        if reading.behind:
            lag = max(reading.behind.values())
            raise StaleAnswer(
                f"{', '.join(sorted(reading.behind))} did not reach position {reading.after} within {within} s",
                answer=answer,
                lag=lag,
                views=dict(reading.behind),
            )
