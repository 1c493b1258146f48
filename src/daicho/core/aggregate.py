"""The class form of a decider: the state is `self`, `yield` records an event and applies it at once."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from daicho.core.decider import Persistence, check_persistence, only
from daicho.core.errors import MissingApply, WiringError
from daicho.core.messages import Command, Event, Message
from daicho.core.rules import Rule
from daicho.core.signatures import accepted, describe, produced, refuse_async
from daicho.core.streams import check_category

__all__ = ["Aggregate", "apply", "handle"]

CM = TypeVar("CM", bound=Callable[..., Iterator[Event]])
EM = TypeVar("EM", bound=Callable[..., None])
M = TypeVar("M", bound=Message)


def handle(method: CM) -> CM:
    """Marks the method that decides a command: a generator of events, or one that raises `Rejected`."""
    method.__daicho_role__ = "handle"  # type: ignore[attr-defined]
    return method


def apply(method: EM) -> EM:
    """Marks the method that changes `self` for an event. It cannot refuse: the event has happened."""
    method.__daicho_role__ = "apply"  # type: ignore[attr-defined]
    return method


class Aggregate:
    """A consistency boundary as a class: `class Order(Aggregate, category="order", key="order_id")`.

    The return annotation of a `@handle` method declares which events it may record; each must have an `@apply`.
    `key` is the field of every command that tells whose history it is. `@handle` reads `self`, only `@apply` writes it.
    `rules` hold among all streams of the category: `rules=[unique("email", release_on=AccountClosed)]`.
    `persistence="state"` keeps the present state in a row, which is loaded without replay; events flow all the same,
    and old ones may be pruned. `state_version` is that of the state's shape: raise it, and add
    `@upcast(category, old)`, when you rename or drop an attribute.
    """

    category: ClassVar[str]
    key: ClassVar[str]
    __daicho_rules__: ClassVar[Sequence[Rule]]
    __daicho_persistence__: ClassVar[Persistence] = "events"
    __daicho_state_version__: ClassVar[int] = 1

    def __init_subclass__(
        cls,
        *,
        category: str | None = None,
        key: str | None = None,
        rules: Sequence[Rule] | None = None,
        persistence: Persistence | None = None,
        state_version: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if category is not None:
            cls.category = check_category(category)
        if key is not None:
            cls.key = key
        if rules is not None:
            cls.__daicho_rules__ = rules
        if persistence is not None:
            cls.__daicho_persistence__ = check_persistence(persistence, cls.__name__)
        if state_version is not None:
            cls.__daicho_state_version__ = state_version


class Methods:
    """The `@handle` and `@apply` methods of an aggregate class, found and checked once."""

    def __init__(self, cls: type[Aggregate]) -> None:
        if not hasattr(cls, "category") or not hasattr(cls, "key"):
            raise WiringError(
                f"{cls.__name__} has no category or no key",
                do=f'write `class {cls.__name__}(Aggregate, category="...", key="...")`',
            )
        self.handlers: dict[type[Command], Callable[..., Any]] = {}
        self.appliers: dict[type[Event], Callable[..., Any]] = {}
        for _, member in inspect.getmembers(cls, inspect.isfunction):
            match getattr(member, "__daicho_role__", None):
                case "handle":
                    self._add(self.handlers, Command, member)
                case "apply":
                    self._add(self.appliers, Event, member)
                case _:
                    pass
        for base in cls.__mro__:
            for name, value in vars(base).items():
                if name in getattr(base, "__annotations__", {}) and isinstance(value, (list, dict, set)):
                    raise WiringError(
                        f"{cls.__name__}.{name} has a mutable default",
                        why="all aggregates of the class would share the one object",
                        do=f"set it in __init__: `self.{name} = ...`",
                    )
        if not self.handlers:
            raise WiringError(f"{cls.__name__} handles no command", do="mark a method with @handle")
        self.effects = {command: only(Event, produced(f), f) for command, f in self.handlers.items()}
        recorded = {event for events in self.effects.values() for event in events}
        if missing := sorted(e.__name__ for e in recorded - set(self.appliers)):
            raise MissingApply(
                f"{cls.__name__} records {', '.join(missing)} but has no @apply for it",
                why="an aggregate that ignores its own events decides on an outdated state",
                do="add an @apply method for it; one that does nothing says so with `pass`",
                events=missing,
            )
        for command in self.handlers:
            if cls.key not in command.__struct_fields__:
                raise WiringError(
                    f"{command.__name__} has no field {cls.key!r}, the key of {cls.__name__}",
                    why="the key tells whose history a command belongs to",
                    do=f"add `{cls.key}: str` to {command.__name__}, or mend `key=`",
                )

    def _add(self, table: dict[type[M], Callable[..., Any]], kind: type[M], method: Callable[..., Any]) -> None:
        refuse_async(method, f"@{method.__daicho_role__}")  # type: ignore[attr-defined]
        if kind is Command and not inspect.isgeneratorfunction(method):
            raise WiringError(
                f"{describe(method)} has no `yield`",
                why="a @handle method is a generator: `yield` records an event and applies it before going on",
                do="yield the events; a handler that never records anything is not a command handler",
            )
        for message in only(kind, accepted(method, 1), method):
            if message in table:
                raise WiringError(
                    f"{describe(method)} and {describe(table[message])} both take {message.__name__}",
                    do="keep one of them",
                )
            table[message] = method
