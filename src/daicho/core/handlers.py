"""Declarations of event handlers, query handlers and routes. They say what; the engine says when."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, overload

from daicho.core.caching import Cache
from daicho.core.decider import only
from daicho.core.errors import MisplacedAsync, WiringError
from daicho.core.messages import Command, Event, Message, Query
from daicho.core.signatures import accepted, describe, further_parameters, produced, returned

__all__ = ["EventHandler", "QueryHandler", "Route", "event_handler", "query_handler"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class EventHandler:
    """A reaction: event -> commands (a plain generator), or event -> side effect (`async`, returning None).

    It runs once per event id for ever, never on replay or rebuild. Commands get ids that follow from the event's, so
    that a crash between sending and noting it down cannot double them. Nothing can do that for a side effect: the few
    that were under way when the process died run again, with the same `Context.id()`. A handler that is added to a
    store with a history starts from now, unless `from_start=True`.
    """

    function: Callable[..., Any]
    name: str
    from_start: bool = False
    circular: bool = False

    @property
    def has_side_effect(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @property
    def events(self) -> tuple[type[Event], ...]:
        return only(Event, accepted(self.function, 0), self.function)

    @property
    def commands(self) -> tuple[type[Command], ...]:
        if inspect.isasyncgenfunction(self.function):
            raise MisplacedAsync(
                f"{describe(self.function)} is an async generator",
                why="a handler either yields commands (a plain generator) or does I/O (async, returning None)",
                do="split it in two: commands in one, side effects in the other",
            )
        if self.has_side_effect:
            return ()
        return only(Command, produced(self.function), self.function)

    @property
    def asks(self) -> list[tuple[str, Any]]:
        return further_parameters(self.function, 1)

    def __call__(self, event: Any, *further: Any) -> Any:
        """The function itself, so that a decorated one can still be called in a test."""
        return self.function(event, *further)


@overload
def event_handler(function: Callable[..., Iterable[Command]], /) -> EventHandler: ...
@overload
def event_handler(function: Callable[..., Awaitable[None]], /) -> EventHandler: ...
@overload
def event_handler(
    *, name: str | None = None, from_start: bool = False, circular: bool = False
) -> Callable[[Callable[..., Any]], EventHandler]: ...
def event_handler(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    from_start: bool = False,
    circular: bool = False,
) -> Any:
    """Declares a reaction to events.

    `name` is stored with its checkpoint (default: the function's name). `circular=True` says that a loop from the
    event back to itself is meant and ends.
    """

    def declare(function: Callable[..., Any]) -> EventHandler:
        return EventHandler(function, name or function.__name__, from_start, circular)

    return declare if function is None else declare(function)


@dataclass(frozen=True, eq=False)
class QueryHandler:
    """Answers one or more kinds of query from views: `async def find(query: FindOrders, views: Views) -> list[Row]`."""

    function: Callable[..., Any]
    cache: Cache | None = None
    """How long caches outside may keep the answer; None: not at all."""

    @property
    def queries(self) -> tuple[type[Query[Any]], ...]:
        if not inspect.iscoroutinefunction(self.function):
            raise MisplacedAsync(
                f"{describe(self.function)} is not async",
                why="views are read with `await`",
                do="write `async def`",
            )
        found = only(Query, accepted(self.function, 0), self.function)
        for query in found:
            self._check_answer(query)
        return found

    def _check_answer(self, query: type[Query[Any]]) -> None:
        promised, given = answer_of(query), returned(self.function)
        if given is None or promised is None or promised is Any:
            return
        if given != promised and not (get_origin(given) is None and get_origin(promised) is None):
            raise WiringError(
                f"{describe(self.function)} returns {given}, but {query.__name__} promises {promised}",
                do="make the two annotations equal",
            )

    @property
    def asks(self) -> list[tuple[str, Any]]:
        return further_parameters(self.function, 1)


def answer_of(query: type[Query[Any]]) -> Any:
    """R of `class Find(Query[R])`; None if it is not stated."""
    for base in query.__mro__:
        for original in getattr(base, "__orig_bases__", ()):
            if get_origin(original) is Query:
                return get_args(original)[0]
    return None


@overload
def query_handler(function: Callable[..., Awaitable[Any]], /) -> QueryHandler: ...
@overload
def query_handler(*, cache: Cache | None = None) -> Callable[[Callable[..., Awaitable[Any]]], QueryHandler]: ...
def query_handler(function: Callable[..., Awaitable[Any]] | None = None, /, *, cache: Cache | None = None) -> Any:
    """Declares who answers a query, and with `cache=Cache(seconds=5)` how long caches outside may keep the answer."""

    def declare(function: Callable[..., Awaitable[Any]]) -> QueryHandler:
        return QueryHandler(function, cache)

    return declare if function is None else declare(function)


@dataclass(frozen=True)
class Route:
    """A nicer address for a message than the generated one: `Route("POST", "/orders", CreateOrder)`.

    Fields that the path names, as in `/orders/{order_id}`, are filled from it. With `if_match`, a command is only taken
    there together with the version that the caller has seen (`If-Match`).
    """

    method: str
    path: str
    message: type[Message]
    if_match: bool = False
