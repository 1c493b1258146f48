"""Rules about all streams of a category together: no value twice, no number left out, no more than so many.

Pure. A stream *holds* the value that the last event with the rule's field gave it. Events by which it takes a value or
gives one up carry the value as a tag, so that the store finds who else does, and an append condition over those tags
keeps the rule (write/rules.py).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec

from daicho.core.codec import encode_json, to_builtins
from daicho.core.errors import WiringError
from daicho.core.messages import Command, Event, replace

__all__ = ["Capacity", "Change", "Gapless", "Holdings", "Numbering", "Rule", "Rules", "Unique", "holding_tag"]

_LONGEST = 120
"""Characters of a value that stand in a tag as they are; a longer one is cut and ends in its hash."""
_KEPT = 88

Holdings: TypeAlias = dict[str, str]
"""What a stream holds: for each rule's field, the tag of the value."""


@dataclass(frozen=True, eq=False)
class Unique:
    """At most one stream holds a value. Made by `unique`."""

    field: str
    fold: Callable[[Any], Any] | None
    release_on: tuple[type[Event], ...]
    hold: timedelta | None


@dataclass(frozen=True, eq=False)
class Capacity:
    """At most `limit` streams hold a value at the same time. Made by `capacity`."""

    field: str
    limit: int | Callable[[Any], int]
    release_on: tuple[type[Event], ...]
    fold: None = None


@dataclass(frozen=True, eq=False)
class Gapless:
    """Every event with the field has the next number. Made by `sequence`."""

    field: str
    start: int


Rule: TypeAlias = Unique | Capacity | Gapless
"""What `rules=[...]` of an aggregate or decider holds."""


def unique(
    field: str,
    *,
    fold: Callable[[Any], Any] | None = None,
    release_on: type[Event] | Iterable[type[Event]] = (),
    hold: timedelta | None = None,
) -> Unique:
    """Among all streams of the category, at most one holds a value of the event field `field`.

    An event that has the field takes its value for its stream, which gives up the value it held before; `None` changes
    nothing. A value that another stream holds refuses the command with `Taken`.

    fold        applied to values before they are compared: `str.casefold`
    release_on  event classes that give the value up
    hold        for so long after it was given up, only its former holder may take the value again
    """
    return Unique(field, fold, _several(release_on), hold)


def sequence(field: str, *, start: int = 1) -> Gapless:
    """Every event of the category that has the int field `field` gets the next number: without gap, without double,
    in commit order. Whatever value the code gave to the field is replaced as the event is yielded."""
    return Gapless(field, start)


def capacity(
    field: str, *, limit: int | Callable[[Any], int], release_on: type[Event] | Iterable[type[Event]] = ()
) -> Capacity:
    """At most `limit` streams of the category hold one value of the event field `field` at the same time.

    Taken and given up as with `unique`. One too many refuses the command with `Full`. `limit` may be a function of the
    event that takes the value.
    """
    return Capacity(field, limit, _several(release_on))


def _several(events: type[Event] | Iterable[type[Event]]) -> tuple[type[Event], ...]:
    return (events,) if isinstance(events, type) else tuple(events)


class Change(NamedTuple):
    """What an event changes in what its stream holds under one rule."""

    rule: Unique | Capacity
    event: Event
    taken: str | None
    """Tag of the value that the stream holds from now on."""
    left: str | None
    """Tag of the value that it gives up."""

    @property
    def value(self) -> Any:
        """As it stands in the event."""
        return getattr(self.event, self.rule.field)

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(tag for tag in (self.left, self.taken) if tag is not None)


class Rules:
    """The rules of one category, checked against its events and ready for use. Raises WiringError."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        name: str,
        category: str,
        events: Collection[type[Event]],
        effects: Mapping[type[Command], Collection[type[Event]]],
    ) -> None:
        self.category = category
        self._numbered: dict[type[Event], list[Gapless]] = {}
        self._holding: dict[type[Event], list[Unique | Capacity]] = {}
        self.holding: list[Unique | Capacity] = []
        for rule in _checked(rules, name, events):
            if isinstance(rule, Gapless):
                for event in _with_field(rule.field, events):
                    self._numbered.setdefault(event, []).append(rule)
            else:
                self.holding.append(rule)
                for event in {*_with_field(rule.field, events), *rule.release_on}:
                    self._holding.setdefault(event, []).append(rule)
        self.holding_events = tuple(self._holding)
        """Event classes that change what a stream holds."""
        self._sequences: dict[type[Command], dict[str, Gapless]] = {}
        self._concerned: set[type[Command]] = set()
        for command, recorded in effects.items():
            found = {self._number_tag(rule): rule for event in recorded for rule in self._numbered.get(event, ())}
            self._sequences[command] = dict(sorted(found.items()))  # in the order in which turns are taken
            if found or any(event in self._holding for event in recorded):
                self._concerned.add(command)

    def concern(self, command: type[Command]) -> bool:
        """Whether a rule has a say in what the command may record."""
        return command in self._concerned

    # -- numbers --------------------------------------------------------------------------------------------------

    def _number_tag(self, rule: Gapless) -> str:
        return f"{self.category}.{rule.field}"

    def number_tags(self, event: Event) -> list[str]:
        """One for each number in the event."""
        return [self._number_tag(rule) for rule in self._numbered.get(type(event), ())]

    def sequences_of(self, command: type[Command]) -> Mapping[str, Gapless]:
        """By tag: the sequences that the command may take a number of."""
        return self._sequences[command]

    def numbered(self, rule: Gapless) -> tuple[type[Event], ...]:
        return tuple(event for event, rules in self._numbered.items() if rule in rules)

    def numbering(self, coming: dict[str, int]) -> "Numbering":
        """What numbers events from now on; `coming` is the next number of each field."""
        return Numbering(self._numbered, coming)

    def numbering_after(self, past: Iterable[Event]) -> "Numbering":
        """The same, as if `past` were all that has been recorded."""
        coming = {rule.field: rule.start for rules in self._numbered.values() for rule in rules}
        numbering = self.numbering(coming)
        for event in past:
            numbering(event)
        return numbering

    # -- values ---------------------------------------------------------------------------------------------------

    def changes(self, held: Holdings, event: Event) -> list[Change]:
        """What `event` changes in what its stream holds; `held` is brought up to date."""
        found: list[Change] = []
        for rule in self._holding.get(type(event), ()):
            before, after = held.get(rule.field), None
            if type(event) not in rule.release_on:
                after = holding_tag(self.category, rule, event)
                if after is None:
                    continue
            if after == before:
                continue
            if after is None:
                del held[rule.field]
            else:
                held[rule.field] = after
            found.append(Change(rule, event, after, before))
        return found

    def takes(self, rule: Unique | Capacity, event: Event, tag: str) -> bool:
        """Whether `event`, which carries `tag`, takes that value; else it gives it up."""
        return type(event) not in rule.release_on and holding_tag(self.category, rule, event) == tag


class Numbering:
    """Hands out numbers as events are yielded."""

    def __init__(self, numbered: Mapping[type[Event], Sequence[Gapless]], coming: dict[str, int]) -> None:
        self._numbered, self._coming = numbered, coming

    def __call__(self, event: Event) -> Event:
        """The event with its numbers in it."""
        for rule in self._numbered.get(type(event), ()):
            number = self._coming.get(rule.field)
            if number is not None:  # else its command does not declare the event, and is about to be told
                event = replace(event, **{rule.field: number})
                self._coming[rule.field] = number + 1
        return event


def holding_tag(category: str, rule: Unique | Capacity, event: Event) -> str | None:
    """`account.email=anna@example.com`; None if the event has no value. A long value ends in its hash."""
    value = getattr(event, rule.field, None)
    if value is not None and rule.fold is not None:
        value = rule.fold(value)
    if value is None:
        return None
    plain = to_builtins(value)
    if isinstance(plain, (list, dict)):
        raise WiringError(
            f"{type(event).__name__}.{rule.field} holds several values: {value!r}",
            why="a rule compares one value of an event",
            do="give the rule a field of one value, or a `fold` that makes one of them",
        )
    text = plain if isinstance(plain, str) else encode_json(plain).decode()
    if len(text) > _LONGEST:
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        text = f"{text[:_KEPT]}~{digest}"  # 121 characters: no shorter value can be mistaken for it
    return f"{category}.{rule.field}={text}"


# -- wiring -----------------------------------------------------------------------------------------------------------


def _with_field(field: str, events: Iterable[type[Event]]) -> list[type[Event]]:
    return [event for event in events if field in event.__struct_fields__]


def _checked(rules: Sequence[Rule], name: str, events: Collection[type[Event]]) -> list[Rule]:
    given = cast("object", rules)
    if isinstance(given, (Unique, Capacity, Gapless)):
        raise WiringError(f"the rules of {name} are one rule", do="write `rules=[...]` around it")
    seen: set[str] = set()
    for rule in rules:
        if not isinstance(cast("object", rule), (Unique, Capacity, Gapless)):
            raise WiringError(
                f"{rule!r} is not a rule of {name}", do="give unique(...), sequence(...) or capacity(...)"
            )
        if rule.field in seen:
            raise WiringError(
                f"{name} has two rules for {rule.field!r}",
                why="a field is subject to one rule",
                do="keep one of them, or record the value in a second field",
            )
        seen.add(rule.field)
        _check_field(rule, name, events)
        _check_numbers(rule, name)
    return list(rules)


def _check_field(rule: Rule, name: str, events: Collection[type[Event]]) -> None:
    release_on: tuple[type[Event], ...] = () if isinstance(rule, Gapless) else rule.release_on
    for event in release_on:
        if event not in events:
            raise WiringError(
                f"the rule for {rule.field!r} of {name} is released on "
                f"{getattr(event, '__name__', repr(event))}, which is not an event of {name}",
                why="only events of a stream change what it holds",
                do="name an event class that the aggregate or decider records",
            )
    having = [event for event in _with_field(rule.field, events) if event not in release_on]
    if not having:
        known = sorted({field for event in events for field in event.__struct_fields__})
        raise WiringError(
            f"no event of {name} has a field {rule.field!r} that a rule could look at",
            why=f"their fields are {', '.join(known)}" if known else "its events have no fields",
            do="name a field of an event that does not release the value",
        )
    if isinstance(rule, Gapless):
        for event in having:
            shape = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(event))
            kind = {f.name: f.type for f in shape.fields}[rule.field]
            if not isinstance(kind, msgspec.inspect.IntType):
                raise WiringError(
                    f"{event.__name__}.{rule.field} is not an int, and cannot hold a number of a sequence",
                    do=f"declare it as `{rule.field}: int = 0`",
                )


def _check_numbers(rule: Rule, name: str) -> None:
    wrong = None
    match rule:
        case Capacity(limit=int() as limit) if limit <= 0 or isinstance(limit, bool):
            wrong = f"limit {limit!r}", "a limit is 1 or more, or a function of the event"
        case Capacity(limit=limit) if not isinstance(limit, int) and not callable(limit):
            wrong = f"limit {limit!r}", "a limit is 1 or more, or a function of the event"
        case Gapless(start=start) if type(start) is not int or start < 0:
            wrong = f"start {start!r}", "a sequence starts at 0 or more"
        case Unique(hold=hold) if hold is not None and hold <= timedelta():
            wrong = f"hold {hold!r}", "a value is held back for a positive timedelta"
        case Unique(fold=fold) if fold is not None and not callable(fold):
            wrong = f"fold {fold!r}", "a fold is a function of one value, like str.casefold"
        case _:
            pass
    if wrong:
        raise WiringError(f"the rule for {rule.field!r} of {name} has the {wrong[0]}", do=wrong[1])
