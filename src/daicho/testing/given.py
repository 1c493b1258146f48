"""given / when / then: behaviour as sentences, without a store, a loop or a sleep.

given(Order, OrderCreated(...)).when(ConfirmOrder(...)).then(OrderConfirmed(...))
given(Order).when(ConfirmOrder(...)).then_rejected("no such order")
given(reserve_stock).when(OrderCreated(...)).then(ReserveInventory(...))
given(Fulfilment, OrderCreated(...)).when_deadline("payment").then(Compensate("not paid"), ReleaseStock(...))
given(orders, OrderCreated(...), OrderConfirmed(...)).then_rows({"o-1": OrderRow(...)})
"""

import inspect
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, overload

from daicho.core.aggregate import Aggregate
from daicho.core.behaviour import Handles, behaviour_of
from daicho.core.collaborators import supplier
from daicho.core.decider import Decider
from daicho.core.errors import Rejected
from daicho.core.handlers import EventHandler
from daicho.core.ids import derived_id, event_id
from daicho.core.messages import Command, Context, Event, RecordedEvent, Row
from daicho.core.process import Process
from daicho.core.projection import Fold, Projection
from daicho.core.streams import Position
from daicho.testing.given_process import GivenProcess

__all__ = ["GivenHandler", "GivenProjection", "GivenReaction", "Outcome", "given"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_COMMAND = "00000000-0000-7000-8000-000000000001"


def _context(now: datetime) -> Context:
    return Context(now=now, command_id=_COMMAND, correlation_id=_COMMAND)


class Outcome:
    """What a command or an event led to."""

    def __init__(self, found: Sequence[Event | Command], error: Rejected | None = None) -> None:
        self.found, self.error = list(found), error

    def then(self, *expected: Event | Command) -> None:
        """Exactly these came out, in this order. None given: nothing happened."""
        if self.error is not None:
            raise AssertionError(f"rejected: {self.error}") from self.error
        if self.found != list(expected):
            raise AssertionError(f"expected {_lines(expected)}\ngot {_lines(self.found)}")

    def then_nothing(self) -> None:
        self.then()

    def then_rejected(self, because: str | None = None) -> None:
        """The business refused, with exactly this reason if one is given."""
        if self.error is None:
            raise AssertionError(f"not rejected; got {_lines(self.found)}")
        if because is not None and str(self.error) != because:
            raise AssertionError(f"rejected because {str(self.error)!r}, expected {because!r}")


def _lines(messages: Sequence[object]) -> str:
    return "".join(f"\n  {m!r}" for m in messages) or "nothing"


class GivenHandler:
    """A decider or aggregate with a past.

    Of its rules, `sequence` gives numbers: from its `start`, one further for each given event that has the field.
    `unique` and `capacity` are about other streams, which there are none of here: they are not checked. Test them with
    an App on `memory:`.
    """

    def __init__(self, part: Handles, past: Sequence[Event], provide: Sequence[Any], now: datetime) -> None:
        self._behaviour, self._provide, self._now = behaviour_of(part), provide, now
        self._state = self._behaviour.fold(self._behaviour.fresh(), past, "the given past")
        rules = self._behaviour.rules
        self._numbering = None if rules is None else rules.numbering_after(past)

    @property
    def state(self) -> Any:
        """The state after the past."""
        return self._state

    def when(self, command: Command) -> Outcome:
        behaviour = self._behaviour
        asks = behaviour.asks.get(type(command))
        if asks is None:
            raise AssertionError(f"{behaviour.name} does not handle {type(command).__name__}")
        supply = supplier(asks, self._provide, behaviour.name)
        behaviour.stream_of(command)
        events: list[Event] = []
        try:
            extras = supply(_context(self._now)) if supply else ()
            self._state = behaviour.decide(self._state, command, extras, events, self._numbering)
        except Rejected as error:
            return Outcome([], error)
        allowed = behaviour.effects[type(command)]
        if strangers := [e for e in events if not isinstance(e, allowed)]:
            raise AssertionError(f"{behaviour.name} recorded what it does not declare: {_lines(strangers)}")
        return Outcome(events)


class GivenReaction:
    """An event handler that yields commands."""

    def __init__(self, part: EventHandler, provide: Sequence[Any], now: datetime) -> None:
        self._part, self._provide, self._now = part, provide, now

    def when(self, event: Event) -> Outcome:
        if inspect.iscoroutinefunction(self._part.function):
            raise AssertionError(f"{self._part.name} has side effects: test it through an App")
        supply = supplier(self._part.asks, self._provide, self._part.name)
        extras = supply(_context(self._now)) if supply else ()
        return Outcome(list(self._part.function(event, *extras)))


class GivenProjection:
    """A projection that has seen some events."""

    def __init__(self, part: Projection[Any], past: Sequence[Event], now: datetime) -> None:
        self._fold, self._now, self._seen = Fold(part), now, 0
        self.rows: dict[str, Row] = {}
        self.when(*past)

    def when(self, *events: Event) -> "GivenProjection":
        for event in events:
            self._seen += 1
            if type(event) not in self._fold.events:
                continue
            record = self._record(event)
            for key in self._fold.keys(event, record):
                row = self._fold.step(self.rows.get(key), event, key, record)
                if row is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = row
        return self

    def _record(self, event: Event) -> RecordedEvent[Any]:
        command = derived_id(_COMMAND, str(self._seen))
        return RecordedEvent(
            event=event,
            event_id=event_id(command, command, 0),
            type=type(event).__message_name__,
            schema_version=type(event).__schema_version__,
            stream="given-1",
            version=self._seen,
            position=Position(self._seen),
            occurred_at=self._now,
            recorded_at=self._now,
            actor=None,
            tenant=None,
            correlation_id=command,
            causation_id=command,
            tags=(),
            metadata={},
        )

    def then_rows(self, expected: Mapping[str, Row]) -> None:
        """Exactly these rows, by key."""
        if self.rows != dict(expected):
            raise AssertionError(f"expected rows {dict(expected)!r}\ngot {self.rows!r}")

    def then_row(self, key: str, expected: Row | None) -> None:
        if self.rows.get(key) != expected:
            raise AssertionError(f"expected {expected!r} under {key!r}\ngot {self.rows.get(key)!r}")


@overload
def given(
    part: type[Aggregate] | Decider[Any, Any, Any], *past: Event, provide: Sequence[Any] = (), now: datetime = EPOCH
) -> GivenHandler: ...
@overload
def given(part: EventHandler, *, provide: Sequence[Any] = (), now: datetime = EPOCH) -> GivenReaction: ...
@overload
def given(part: type[Process], *past: Event, now: datetime = EPOCH) -> GivenProcess: ...
@overload
def given(part: Projection[Any], *past: Event, now: datetime = EPOCH) -> GivenProjection: ...
def given(part: Any, *past: Event, provide: Sequence[Any] = (), now: datetime = EPOCH) -> Any:
    """A part of an App and the events that happened before. See the module's examples."""
    if _is_process(part):
        return GivenProcess(part, past, now)
    kinds: dict[type, Any] = {
        Projection: lambda: GivenProjection(part, past, now),
        EventHandler: lambda: GivenReaction(part, provide, now),
    }
    return kinds.get(part.__class__, lambda: GivenHandler(part, past, provide, now))()


def _is_process(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, Process)
