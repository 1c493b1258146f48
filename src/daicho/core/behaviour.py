"""Deciders and aggregates as the engine sees them: one shape, compiled once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, cast

from daicho.core.aggregate import Aggregate, Methods
from daicho.core.conditions import Criteria
from daicho.core.decider import Decider, Persistence
from daicho.core.errors import CannotApply, InvalidMessage, WiringError
from daicho.core.fingerprint import fingerprint
from daicho.core.kept import KeptStates
from daicho.core.messages import Command, Event
from daicho.core.rules import Rule, Rules
from daicho.core.signatures import describe, further_parameters, returned
from daicho.core.streams import stream_name
from daicho.core.upcasting import Upcaster

__all__ = ["Behaviour", "Handles", "behaviour_of"]

Handles: TypeAlias = Decider[Any, Any, Any] | type[Aggregate]
"""Whatever handles commands: a decider, or an aggregate class."""
Stamp: TypeAlias = Callable[[Event], Event]


class Behaviour:
    """What both forms come down to. Pure: the only state is the one passed in."""

    in_place = False
    """True if `decide` and `evolve` change the state they are given; a failed decision then leaves it unusable."""

    def __init__(
        self,
        part: Handles,
        *,
        name: str,
        category: str,
        effects: dict[type[Command], tuple[type[Event], ...]],
        events: tuple[type[Event], ...],
        deciding: dict[type[Command], Callable[..., Any]],
        fold_code: str,
        state_hint: Any = None,
    ) -> None:
        self.part, self.name, self.category = part, name, category
        self.effects, self.events, self.fold_code = effects, events, fold_code
        self.asks = {command: further_parameters(f, 2) for command, f in deciding.items()}
        self.codes = {command: fingerprint(f, fold_code) for command, f in deciding.items()}
        """For each command, a fingerprint of the code that decides it and of the code that makes the state."""
        self.boundary: Callable[[Any], Criteria] | None = None
        self.state_hint = state_hint
        self.rules: Rules | None = None
        """What must hold among all streams of the category; None if nothing must."""
        self.persistence: Persistence = "events"
        self.state_version = 1
        self.state_steps: Sequence[Upcaster] = ()
        self.rule_names: tuple[str, ...] = ()
        """What each rule is and about which field: `unique(email)`."""
        self.may_hold_personal = False
        """Whether its events have personal fields that are stored enciphered: what is folded from them is not."""
        self._kept: KeptStates | None = None

    def identify(self, command: Command) -> str:
        raise NotImplementedError

    def fresh(self) -> Any:
        raise NotImplementedError

    def evolve(self, state: Any, event: Event) -> Any:
        raise NotImplementedError

    def decide(
        self, state: Any, command: Command, extras: tuple[Any, ...], events: list[Event], stamp: Stamp | None = None
    ) -> Any:
        """Adds the events that `command` leads to and returns the state after them. Raises what the user's code
        raises; if `events` is not empty then, an `in_place` state is spoilt. `stamp` is applied to each event before
        anything sees it."""
        raise NotImplementedError

    @property
    def keeps_state(self) -> bool:
        return self.persistence == "state"

    @property
    def kept(self) -> KeptStates:
        """How its states are written and read, if they are what is kept."""
        if self._kept is None:
            self._kept = KeptStates(
                self.name,
                self.category,
                self.fresh,
                hint=None if self.in_place else self.state_hint or type(self.fresh()),
                version=self.state_version,
                steps=self.state_steps,
            )
        return self._kept

    def check_personal(self) -> None:
        """Raises WiringError if a kept state would show what events keep enciphered."""
        if self.may_hold_personal:
            raise WiringError(
                f"{self.name} keeps its state in a row, and its events hold personal data that is enciphered",
                why="in the row it would stand in plain text, where `app.forget` does not reach",
                do='use persistence="events" for what is about people; snapshots of it are enciphered, too',
            )

    def check_kept(self) -> None:
        """Raises WiringError if its state cannot be what is kept."""
        if not self.keeps_state:
            return
        if self.boundary is not None:
            raise WiringError(
                f'{self.name} has both a boundary and persistence="state"',
                why="what a boundary decides on is folded from events of any streams; there is no one row of it",
                do='leave one of them out; for rules among streams, persistence="state" takes `rules=[...]`',
            )
        if self.state_version < 1:
            raise WiringError(f"{self.name} has state_version={self.state_version}", do="versions begin at 1")
        self.kept.encode(self.fresh())

    def _ruled(self, rules: Sequence[Rule]) -> Rules | None:
        if not rules:
            return None
        if self.boundary is not None:
            raise WiringError(
                f"{self.name} has both a boundary and rules",
                why="a rule needs to know what the stream holds, and a boundary does not look at the stream",
                do="let the boundary decide the rule as well, or leave one of them out",
            )
        found = Rules(rules, name=self.name, category=self.category, events=self.events, effects=self.effects)
        self.rule_names = tuple(f"{type(rule).__name__.lower()}({rule.field})" for rule in rules)
        return found

    def stream_of(self, command: Command) -> str:
        return stream_name(self.category, self._identity(command))

    def _identity(self, command: Command) -> str:
        identity = cast("object", self.identify(command))
        if not isinstance(identity, str):
            raise InvalidMessage(
                f"{type(command).__name__} identifies its {self.category} by {identity!r}",
                why="the id of a stream is a text",
                do="declare the key field as `str`",
                path="$",
            )
        return identity

    def fold(self, state: Any, events: Iterable[Event], where: str) -> Any:
        event: Event | None = None
        evolve = self.evolve
        try:
            for event in events:
                state = evolve(state, event)
        except Exception as error:
            raise CannotApply(
                f"{self.name} cannot apply {type(event).__name__} of {where}: {error!r}",
                why="evolve and @apply must accept every event that was ever recorded",
                do="mend the method; history stays as it is",
                stream=where,
            ) from error
        return state


class _Functions(Behaviour):
    def __init__(self, part: Decider[Any, Any, Any]) -> None:
        super().__init__(
            part,
            name=part.category,
            category=part.category,
            effects=part.effects,
            events=part.events,
            deciding=dict.fromkeys(part.commands, part.decide),
            fold_code=fingerprint(part.evolve, part.initial),
            state_hint=returned(part.evolve),
        )
        self._initial, self._decide, self._evolve = part.initial, part.decide, part.evolve
        self._identify = part.identify
        self.boundary = part.boundary
        self.rules = self._ruled(part.rules)
        self.persistence, self.state_version = part.persistence, part.state_version

    def identify(self, command: Command) -> str:
        return self._identify(command)

    def fresh(self) -> Any:
        return self._initial

    def evolve(self, state: Any, event: Event) -> Any:
        return self._evolve(state, event)

    def decide(
        self, state: Any, command: Command, extras: tuple[Any, ...], events: list[Event], stamp: Stamp | None = None
    ) -> Any:
        found = self._decide(command, state, *extras)
        events.extend(found if stamp is None else map(stamp, found))
        for event in events:
            state = self._evolve(state, event)
        return state


class _Methods(Behaviour):
    in_place = True

    def __init__(self, part: type[Aggregate]) -> None:
        methods = Methods(part)
        super().__init__(
            part,
            name=part.__name__,
            category=part.category,
            effects=methods.effects,
            events=tuple(methods.appliers),
            deciding=methods.handlers,
            fold_code=fingerprint(part.__init__, *methods.appliers.values(), _defaults(part)),
        )
        self._class, self._handlers, self._appliers = part, methods.handlers, methods.appliers
        self._key = part.key
        self.rules = self._ruled(getattr(part, "__daicho_rules__", ()))
        self.persistence, self.state_version = part.__daicho_persistence__, part.__daicho_state_version__

    def identify(self, command: Command) -> str:
        return cast("str", getattr(command, self._key))

    def fresh(self) -> Any:
        return self._class()

    def evolve(self, state: Any, event: Event) -> Any:
        self._appliers[type(event)](state, event)
        return state

    def decide(
        self, state: Any, command: Command, extras: tuple[Any, ...], events: list[Event], stamp: Stamp | None = None
    ) -> Any:
        handler, appliers = self._handlers[type(command)], self._appliers
        found: Iterable[Event] = handler(state, command, *extras)
        for event in found if stamp is None else map(stamp, found):
            applier = appliers.get(type(event))
            if applier is None:
                raise WiringError(
                    f"{describe(handler)} recorded {type(event).__name__}, which {self.name} does not apply",
                    do="add an @apply method, and name the event in the return annotation",
                )
            events.append(event)
            applier(state, event)
        return state


def _defaults(cls: type[Aggregate]) -> dict[str, str]:
    return {
        name: repr(vars(base)[name])
        for base in reversed(cls.__mro__)
        for name in getattr(base, "__annotations__", {})
        if name in vars(base)
    }


def behaviour_of(part: Handles) -> Behaviour:
    """Compiles either form. Raises a WiringError that says what does not fit."""
    if isinstance(part, Decider):
        return _Functions(part)
    return _Methods(part)
