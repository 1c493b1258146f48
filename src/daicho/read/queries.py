"""The query gateway: typed questions, answered from views, fresh as asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from daicho.core.errors import InvalidMessage, Rebuilding, StaleAnswer, UnknownMessage, UnknownView
from daicho.core.messages import Query, Row
from daicho.core.projection import Table
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.progress import Progress

__all__ = ["Kept", "Queries", "Reading", "View", "ViewState", "Views"]

R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)


class ViewState(Protocol):
    """Which build of a view readers get. A projector is one."""

    table: TableSpec
    name: str
    complete_at: int
    """Position below which the view has never been complete; 0 once it has been."""


class Kept:
    """The view state of a Crud part: no projection, always complete."""

    name = ""
    complete_at = 0

    def __init__(self, table: TableSpec) -> None:
        self.table = table


class Reading:
    """How fresh one question wants its answer, and how stale the answer turned out."""

    def __init__(self, after: int = 0, deadline: float | None = None) -> None:
        self.after, self.deadline = after, deadline
        self.behind: dict[str, int] = {}
        """Views that were read before they were fresh enough, and how many positions they lacked."""


class View(Generic[RowT]):
    """The rows of one projection or Crud part, as readers see them."""

    def __init__(self, state: ViewState, store: ViewStore, progress: Progress, reading: Reading | None) -> None:
        self._state, self._store, self._progress, self._reading = state, store, progress, reading

    async def get(self, key: str) -> RowT | None:
        """The row, or None."""
        await self._fresh()
        return cast("RowT | None", await self._store.get(self._state.table, key))

    async def get_many(self, keys: Sequence[str]) -> dict[str, RowT]:
        """Those of the rows that exist, by key."""
        await self._fresh()
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
        await self._fresh()
        return await self._store.find(
            self._state.table, equals, order_by=order_by, descending=descending, limit=limit, offset=offset
        )

    async def count(self, **equals: object) -> int:
        await self._fresh()
        return await self._store.count(self._state.table, equals)

    async def _fresh(self) -> None:
        state = self._state
        if not state.name:
            return
        reading, loop = self._reading, asyncio.get_running_loop()
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
        if reading is None or not reading.after:
            return
        left = (reading.deadline or loop.time()) - loop.time()
        behind = await self._progress.reach(lambda: [state.name], reading.after, max(0.0, left))
        if behind:
            reading.behind[state.table.name] = reading.after - min(behind.values())


class Views:
    """All views of the App: `views[orders].find(status="pending")`."""

    def __init__(
        self, states: Mapping[str, ViewState], store: ViewStore, progress: Progress, reading: Reading | None = None
    ) -> None:
        self._states, self._store, self._progress, self._reading = states, store, progress, reading

    def __getitem__(self, table: Table[RowT]) -> View[RowT]:
        state = self._states.get(table.name)
        if state is None:
            raise UnknownView(
                f"there is no view {table.name!r} in this App",
                why=f"it has {', '.join(sorted(self._states)) or 'no views'}",
                do="give App the projection or Crud part",
                view=table.name,
            )
        return View(state, self._store, self._progress, self._reading)

    def names(self) -> list[str]:
        return sorted(self._states)

    def named(self, name: str) -> View[Any]:
        """By name, for tools."""
        table: Table[Any] = Table()
        table.name = name
        return self[table]

    def reading(self, reading: Reading) -> "Views":
        """The same views for one question."""
        return Views(self._states, self._store, self._progress, reading)


class Queries:
    """Finds who answers a query, and keeps the promise of freshness."""

    def __init__(self, handlers: Mapping[type[Query[Any]], Callable[..., Awaitable[Any]]], views: Views) -> None:
        """`handlers` take (query, views)."""
        self._handlers, self._views = handlers, views

    async def ask(self, query: Query[R], *, after: int = 0, within: float = 5.0) -> R:
        handler = self._handlers.get(type(query))
        if handler is None:
            name = type(query).__name__
            raise UnknownMessage(
                f"no part of this App answers {name}", do="give App a @query_handler that takes it", message=name
            )
        if within < 0:
            raise InvalidMessage(f"within={within} is negative", do="give seconds, 0 or more")
        reading = Reading(after, asyncio.get_running_loop().time() + within)
        answer = await handler(query, self._views.reading(reading))
        if reading.behind:
            lag = max(reading.behind.values())
            raise StaleAnswer(
                f"{', '.join(sorted(reading.behind))} did not reach position {after} within {within} s",
                answer=answer,
                lag=lag,
                views=dict(reading.behind),
            )
        return cast("R", answer)
