"""The query gateway: typed questions, answered from views, fresh as asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from daicho.core.errors import InvalidMessage, PastIncomplete, Rebuilding, StaleAnswer, UnknownMessage, UnknownView
from daicho.core.messages import Query, Row
from daicho.core.projection import Table
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.cursor import Question
from daicho.read.progress import Progress

__all__ = ["Kept", "PageOf", "Queries", "Reading", "View", "ViewState", "Views"]

R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)


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


class Kept:
    """The view state of a Crud part: no projection, always complete."""

    name = ""
    complete_at = 0
    moving: asyncio.Future[None] | None = None

    def __init__(self, table: TableSpec, views: ViewStore) -> None:
        self.table, self.views = table, views


class Reading:
    """How fresh one question wants its answer, and how stale the answer turned out."""

    def __init__(self, after: int = 0, deadline: float | None = None) -> None:
        self.after, self.deadline = after, deadline
        self.behind: dict[str, int] = {}
        """Views that were read before they were fresh enough, and how many positions they lacked."""
        self.broken: dict[str, dict[str, str]] = {}
        """Of views as they were then: keys whose past cannot be told whole, and why."""

    is_live = False
    """Whether everything that has been committed must be found, although it is not known up to which position."""

    def uses(self, state: ViewState, keys: Iterable[str] | None, equals: Mapping[str, object] | None) -> None:
        """Told before each read: of the rows of these keys, of those that equal; with neither, of any row."""


class PageOf(msgspec.Struct, Generic[RowT], frozen=True):
    """Some rows, and the way on."""

    rows: list[RowT]
    cursor: str | None
    """For the next page: text that fits into a URL as it is. None: these were the last."""


class View(Generic[RowT]):
    """The rows of one projection or Crud part, as readers see them."""

    def __init__(self, state: ViewState, progress: Progress, reading: Reading | None) -> None:
        self._state, self._store, self._progress, self._reading = state, state.views, progress, reading

    async def get(self, key: str) -> RowT | None:
        """The row, or None."""
        await self._fresh(keys=(key,))
        return cast("RowT | None", await self._store.get(self._state.table, key))

    async def get_many(self, keys: Sequence[str]) -> dict[str, RowT]:
        """Those of the rows that exist, by key."""
        await self._fresh(keys=keys)
        return await self._store.get_many(self._state.table, keys)

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
        await self._fresh(equals=equals)
        return await self._store.find(
            self._state.table, equals, order_by=order_by, descending=descending, limit=limit, offset=offset
        )

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
        question = Question(self._state.table, order_by, descending, equals)
        after = None if cursor is None else question.mark(cursor)
        await self._fresh(equals=equals)
        found = await self._store.page(
            self._state.table, equals, limit=limit + 1, order_by=order_by, descending=descending, after=after
        )
        rows = found[:limit]
        return PageOf([row for _, row in rows], question.cursor(*rows[-1]) if len(found) > limit else None)

    async def search(self, text: str, /, *, limit: int = 50, offset: int = 0, **equals: object) -> list[RowT]:
        """Rows in whose `search` fields all words of the text occur; the last one may be only begun. Best first: those
        with the fewest other words. How texts are cut into words: docs/howto/search.md.

        Raises NoSuchField, and NotSearchable if the row class names no fields to search, or the store cannot.
        """
        if limit < 0 or offset < 0:
            raise InvalidMessage(f"limit={limit}, offset={offset} cut out nothing", do="give 0 or more")
        await self._fresh(equals=equals)
        return await self._store.search(self._state.table, text, equals, limit=limit, offset=offset)

    async def count(self, **equals: object) -> int:
        await self._fresh(equals=equals)
        return await self._store.count(self._state.table, equals)

    async def settled(self) -> None:
        """Waits until it is as fresh as the question wants it."""
        await self._fresh()

    async def _fresh(self, *, keys: Sequence[str] | None = None, equals: Mapping[str, object] | None = None) -> None:
        """Before a read of these rows; with neither, of any."""
        state, reading = self._state, self._reading
        if reading is not None:
            reading.uses(state, keys, equals)
        if not state.name:
            return
        loop = asyncio.get_running_loop()
        if state.moving is not None:
            await asyncio.wait([state.moving])
        if state.complete_at:
            left = reading.deadline - loop.time() if reading and reading.deadline else 5.0
            if behind := await self._progress.reach(lambda: [state.name], state.complete_at, max(0.0, left)):
                raise Rebuilding(
                    f"the view {state.table.name!r} is being built",
                    why=f"it has come to position {min(behind.values())} of {state.complete_at}",
                    do="ask again later; `daicho projection list` shows the progress",
                    view=state.table.name,
                )
            state.complete_at = 0
        if reading is None or not (reading.after or reading.is_live):
            return
        if reading.after:
            left = (reading.deadline or loop.time()) - loop.time()
            behind = await self._progress.reach(lambda: [state.name], reading.after, max(0.0, left), keys)
            if behind:
                reading.behind[state.table.name] = reading.after - min(behind.values())
                return
        if keys is None:  # by key, every store finds at once what was committed
            await self._store.settle(state.table)


class Views:
    """All views of the App: `views[orders].find(status="pending")`."""

    def __init__(
        self,
        states: Mapping[str, ViewState],
        progress: Progress,
        reading: Reading | None = None,
        *,
        past: "Callable[[int | datetime], Views]",
    ) -> None:
        """`past` gives the same views as they were then."""
        self._states, self._progress, self._reading, self._past = states, progress, reading, past

    def __getitem__(self, table: Table[RowT]) -> View[RowT]:
        return View(self._state(table), self._progress, self._reading)

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
        return Views(self._states, self._progress, reading, past=self._past)


class Queries:
    """Finds who answers a query, and keeps the promise of freshness."""

    def __init__(self, handlers: Mapping[type[Query[Any]], Callable[..., Awaitable[Any]]], views: Views) -> None:
        """`handlers` take (query, views)."""
        self._handlers, self._views = handlers, views

    async def ask(
        self, query: Query[R], *, after: int = 0, within: float = 5.0, as_of: int | datetime | None = None
    ) -> R:
        reading = Reading(after, asyncio.get_running_loop().time() + within)
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
        answer = await handler(query, (views or self._views).reading(reading))
        self._check(reading, within, answer)
        return cast("R", answer)

    async def barrier(self, tables: Sequence[Table[Any]], *, after: int, within: float) -> None:
        """Returns when all of the views are at `after`. Raises StaleAnswer, Rebuilding, UnknownView."""
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
