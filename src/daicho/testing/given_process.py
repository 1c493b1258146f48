"""given / when / then for process managers."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from daicho.core.ids import derived_id, event_id
from daicho.core.instance import Instance
from daicho.core.messages import Command, Event, RecordedEvent
from daicho.core.process import Directive, Process
from daicho.core.process_definition import Definition
from daicho.core.process_machine import Cause, Change, Machine
from daicho.core.streams import Position, stream_name

__all__ = ["GivenProcess", "ProcessOutcome"]

_COMMAND = "00000000-0000-7000-8000-000000000001"


class ProcessOutcome:
    """What an event, a deadline or a refusal led to."""

    def __init__(self, found: Sequence[Command | Directive], instance: Instance) -> None:
        self.found, self.instance = list(found), instance

    def then(self, *expected: Command | Directive) -> None:
        """Exactly these were yielded, in this order, and behind them the commands that undo what was done. None given:
        nothing is to be done."""
        if self.found != list(expected):
            raise AssertionError(f"expected {_lines(expected)}\ngot {_lines(self.found)}")

    def then_nothing(self) -> None:
        self.then()

    def then_status(self, status: str) -> None:
        """How the instance stands once all its commands were successful."""
        if self.instance.status != status:
            raise AssertionError(f"expected {status!r}, got {self.instance.status!r}")

    def then_fields(self, **expected: Any) -> None:
        """These fields have these values, as they are kept."""
        found = {name: self.instance.fields.get(name) for name in expected}
        if found != expected:
            raise AssertionError(f"expected {expected!r}\ngot {found!r}")


class _Listening(Machine):
    """Remembers what was yielded."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.heard: list[Command | Directive] = []

    def _wish(self, instance: Instance, draft: Any, function: Callable[..., Any], wish: Any, now: datetime) -> None:
        super()._wish(instance, draft, function, wish, now)
        self.heard.append(wish)


class GivenProcess:
    """An instance of a process manager that has met some events; every command it sent was successful."""

    def __init__(self, part: type[Process], past: Sequence[Event], now: datetime) -> None:
        self._definition = Definition(part)
        self._machine, self._now, self._met = _Listening(self._definition), now, 0
        self._early: list[RecordedEvent[Any]] = []
        self._instance: Instance | None = None
        for event in past:
            self._meet(event)

    def when(self, event: Event) -> ProcessOutcome:
        """The event happens."""
        return self._outcome(lambda: self._happen(event))

    def when_deadline(self, name: str) -> ProcessOutcome:
        """The time of the deadline comes. It has to be set."""
        instance = self._started()
        timer = instance.timer_named("deadline", name)
        if timer is None:
            known = ", ".join(t.name for t in instance.timers.values() if t.kind == "deadline")
            raise AssertionError(f"no deadline {name!r} is set; there are: {known or 'none'}")
        cause = self._cause(max(self._now, datetime.fromisoformat(timer.due)))
        return self._outcome(lambda: self._machine.fired(instance, timer.timer_id, cause))

    def when_refused(self, command: Command, reason: str) -> ProcessOutcome:
        """The business refuses a command that the last of the given events led to."""
        instance = self._started()
        found = [s for s in instance.steps.values() if self._machine.command(s.issued) == command]
        if not found:
            raise AssertionError(f"{command!r} was not sent; these were: {_lines(self._sent())}")
        step, cause = found[-1], self._cause(self._now)
        step.state = "sent"
        return self._outcome(
            lambda: self._machine.answered(instance, step.issued.command_id, "rejected", reason, cause)
        )

    def _sent(self) -> list[Command]:
        return [self._machine.command(step.issued) for step in self._started().steps.values()]

    def _started(self) -> Instance:
        if self._instance is None:
            raise AssertionError("nothing happened to it yet: give it the event that starts it")
        return self._instance

    def _outcome(self, step: Callable[[], list[Change]]) -> ProcessOutcome:
        self._machine.heard = []
        changes = step()
        found = list(self._machine.heard)
        while True:
            issued = [each for change in changes for each in change.moved.commands]
            found += [self._machine.command(each) for each in issued if each.undoes is not None]
            if not issued:
                return ProcessOutcome(found, self._started())
            changes = self._succeed()

    def _succeed(self) -> list[Change]:
        instance, changes = self._started(), list[Change]()
        for step in list(instance.unanswered):
            changes += self._machine.answered(instance, step.issued.command_id, "done", None, self._cause(self._now))
        return changes

    def _meet(self, event: Event) -> None:
        self._happen(event)
        while self._started().unanswered:
            self._succeed()

    def _happen(self, event: Event) -> list[Change]:
        if type(event) not in self._definition.events:
            raise AssertionError(f"{self._definition.cls.__name__} has no method for {type(event).__name__}")
        key = self._definition.key_of(event)
        if self._instance is None:
            stream = stream_name(self._definition.category, key)
            self._instance = Instance(self._definition.category, key, stream)
        elif self._instance.key != key:
            raise AssertionError(f"{event!r} concerns another instance: {key!r}, not {self._instance.key!r}")
        record = self._record(event)
        changes = self._machine.happened(self._instance, record, self._now, self._early)
        if changes and changes[-1].moved.trigger == "early":
            self._early.append(record)
        return changes

    def _cause(self, now: datetime) -> Cause:
        return Cause(now=now, event_id=None, correlation_id=_COMMAND)

    def _record(self, event: Event) -> RecordedEvent[Any]:
        self._met += 1
        command = derived_id(_COMMAND, str(self._met))
        return RecordedEvent(
            event=event,
            event_id=event_id(command, command, 0),
            type=type(event).__message_name__,
            schema_version=type(event).__schema_version__,
            stream="given-1",
            version=self._met,
            position=Position(self._met),
            occurred_at=self._now,
            recorded_at=self._now,
            actor=None,
            tenant=None,
            correlation_id=command,
            causation_id=command,
            tags=(),
            metadata={},
        )


def _lines(things: Sequence[object]) -> str:
    return "".join(f"\n  {each!r}" for each in things) or "nothing"
