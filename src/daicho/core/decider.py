"""The one core abstraction: decide and evolve.

    decide(command, state) -> events        what may happen, refused by `raise Rejected`
    evolve(state, event)   -> state         what it means that it happened
    initial                                 the state before anything did
    identify(command)      -> id            whose history it is

Source: Chassaing, "Functional event sourcing decider" (2021). Everything else in Daicho serves these four.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from daicho.core.conditions import Criteria
from daicho.core.errors import WiringError
from daicho.core.messages import Command, Event
from daicho.core.rules import Rule
from daicho.core.signatures import accepted, describe, produced, refuse_async
from daicho.core.streams import check_category

__all__ = ["Decider", "Persistence", "check_persistence", "only"]

Persistence: TypeAlias = Literal["events", "state"]
"""What is the truth about an aggregate: its history, or a row with its present state."""

C = TypeVar("C", bound=Command)
S = TypeVar("S")
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, eq=False)
class Decider(Generic[C, S, E]):
    """A consistency boundary as four functions and a name.

    `decide` may take further parameters: a `Context`, or collaborators given to `App(provide=...)`.
    `boundary`, if given, widens or narrows what the decision depends on from one stream to any events that meet the
    criteria (a dynamic consistency boundary): the state is folded from those, and the append fails if a new one came.
    `rules` hold among all streams of the category: `unique`, `sequence`, `capacity`.
    `persistence="state"` keeps the present state in a row, which is loaded without replay; events flow all the same.
    `state_version` is that of the state's shape: raise it, and add `@upcast(category, old)`, when a field goes.
    States are values: `evolve` returns the new one and leaves the old alone.
    """

    category: str
    initial: S
    decide: Callable[Concatenate[C, S, ...], Iterable[E]]
    evolve: Callable[[S, E], S]
    identify: Callable[[C], str]
    boundary: Callable[[C], Criteria] | None = None
    rules: Sequence[Rule] = ()
    persistence: Persistence = "events"
    state_version: int = 1

    def __init__(
        self,
        category: str,
        *,
        initial: S,
        decide: Callable[Concatenate[C, S, ...], Iterable[E]],
        evolve: Callable[[S, E], S],
        identify: Callable[[C], str],
        boundary: Callable[[C], Criteria] | None = None,
        rules: Sequence[Rule] = (),
        persistence: Persistence = "events",
        state_version: int = 1,
    ) -> None:
        for name, value in (
            ("category", check_category(category)),
            ("initial", initial),
            ("decide", decide),
            ("evolve", evolve),
            ("identify", identify),
            ("boundary", boundary),
            ("rules", rules),
            ("persistence", check_persistence(persistence, category)),
            ("state_version", state_version),
        ):
            object.__setattr__(self, name, value)

    @property
    def commands(self) -> tuple[type[Command], ...]:
        refuse_async(self.decide, "decide")
        return only(Command, accepted(self.decide, 0), self.decide)

    @property
    def events(self) -> tuple[type[Event], ...]:
        """Every event it may record or meet in its history."""
        refuse_async(self.evolve, "evolve")
        recorded = only(Event, produced(self.decide), self.decide)
        known = only(Event, accepted(self.evolve, 1), self.evolve)
        if missing := [e.__name__ for e in recorded if e not in known]:
            raise WiringError(
                f"{describe(self.decide)} may record {', '.join(missing)}, which evolve does not take",
                why="an event that evolve has never heard of could not be replayed",
                do=f"add {' | '.join(missing)} to the annotation of {describe(self.evolve)}",
            )
        return known

    @property
    def effects(self) -> dict[type[Command], tuple[type[Event], ...]]:
        """Which events each command may lead to; for a single `decide`, all of them."""
        recorded = only(Event, produced(self.decide), self.decide)
        return dict.fromkeys(self.commands, recorded)


M = TypeVar("M")


def check_persistence(persistence: Persistence, name: str) -> Persistence:
    """Raises WiringError for another word."""
    if persistence not in get_args(Persistence):
        raise WiringError(
            f"{name} asks for persistence={persistence!r}",
            do='write persistence="events", which is what it is without, or persistence="state"',
        )
    return persistence


def only(kind: type[M], found: tuple[type, ...], function: Callable[..., Any]) -> tuple[type[M], ...]:
    """`found`, if every member is a `kind`; a WiringError that names the stranger otherwise."""
    for member in found:
        if not issubclass(member, kind):
            raise WiringError(
                f"{describe(function)} names {member.__name__}, which is not a {kind.__name__}",
                do=f"derive it from daicho.{kind.__name__}, or mend the annotation",
            )
    return cast("tuple[type[M], ...]", found)
