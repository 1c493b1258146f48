"""One instance of a process manager, as its stream tells. Pure: a fold of what was recorded."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import field

from daicho.core.messages import RecordedEvent
from daicho.core.process_events import Issued, ProcessMoved, SetTimer

__all__ = ["Instance", "Step", "Waiting"]

StepState: TypeAlias = Literal["sent", "done", "rejected", "failed", "undone"]


class Step(msgspec.Struct):
    """A command of the instance, however often it was sent."""

    issued: Issued
    """As it was sent last."""
    event_id: str
    """Of the record that issued it last."""
    correlation_id: str
    state: StepState = "sent"
    reason: str | None = None
    failures: int = 0
    given_up: bool = False
    at: str = ""
    answered_at: str | None = None

    @property
    def id(self) -> str:
        return self.issued.step


class Waiting(msgspec.Struct, frozen=True):
    """An event that came before the start."""

    event_id: str
    type: str
    position: int


class Instance(msgspec.Struct):
    process: str
    key: str
    stream: str
    version: int = 0
    """Of the stream."""
    status: str = "absent"
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    fields_version: int = 0
    seen: set[str] = field(default_factory=set[str])
    """Ids of what was recorded: what is in here was dealt with."""
    waiting: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    timers: dict[str, SetTimer] = field(default_factory=dict[str, SetTimer])
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    """In the order in which they were first issued."""
    by_command: dict[str, Step] = field(default_factory=dict[str, Step])
    forward: int | None = None
    """How many steps there were when compensation began: those are undone, later ones are not."""
    passed_pivot: bool = False
    reason: str | None = None
    """Why compensation began."""
    stuck: str | None = None
    correlation_id: str = ""
    actor: str | None = None
    tenant: str | None = None
    moved_at: str = ""

    def fold(self, records: Iterable[RecordedEvent[ProcessMoved]]) -> "Instance":
        for record in records:
            self.apply(record.event, record.event_id, record.correlation_id, record.actor, record.tenant, record)
        return self

    def apply(
        self,
        moved: ProcessMoved,
        event_id: str,
        correlation_id: str,
        actor: str | None,
        tenant: str | None,
        at: RecordedEvent[ProcessMoved] | str,
    ) -> None:
        self.version += 1
        self.seen.add(event_id)
        self.moved_at = at if isinstance(at, str) else at.recorded_at.isoformat(timespec="microseconds")
        if not self.correlation_id or moved.trigger == "start":
            self.correlation_id, self.actor, self.tenant = correlation_id, actor, tenant
        self._triggered(moved)
        if moved.status == "compensating" and self.forward is None:
            self.forward = len(self.steps)
            self.reason = moved.back
        self.status, self.stuck = moved.status, moved.stuck
        self.passed_pivot = self.passed_pivot or moved.pivot
        if moved.fields is not None:
            self.fields, self.fields_version = moved.fields, moved.version
        for issued in moved.commands:
            self._issue(issued, event_id, correlation_id)
        for step in moved.undone:
            self.steps[step].state = "undone"
        for timer_id in moved.ended:
            self.timers.pop(timer_id, None)
        for timer in moved.timers:
            self.timers[timer.timer_id] = timer

    def _triggered(self, moved: ProcessMoved) -> None:
        match moved.trigger:
            case "early":
                self.waiting[moved.cause] = Waiting(moved.cause, moved.name, self.version)
            case "event":
                self.waiting.pop(moved.cause, None)
            case "done" | "rejected" | "failed":
                step = self.by_command[moved.cause]
                step.state, step.reason, step.answered_at = moved.trigger, moved.reason, self.moved_at
                if moved.trigger == "done" and step.issued.undoes is not None:
                    self.steps[step.issued.undoes].state = "undone"
                if moved.trigger != "done":
                    step.failures += 1
                    step.given_up = moved.given_up
            case "hand":
                for step in self.steps.values():
                    if step.given_up:
                        step.failures, step.given_up = 0, False
            case _:
                pass

    def _issue(self, issued: Issued, event_id: str, correlation_id: str) -> None:
        step = self.steps.get(issued.step)
        if step is None:
            step = self.steps[issued.step] = Step(issued, event_id, correlation_id, at=self.moved_at)
        step.issued, step.event_id, step.correlation_id, step.state = issued, event_id, correlation_id, "sent"
        self.by_command[issued.command_id] = step

    # -- asked ----------------------------------------------------------------------------------------------------

    @property
    def has_started(self) -> bool:
        return self.status not in ("absent", "waiting")

    @property
    def is_compensating(self) -> bool:
        return self.forward is not None

    def is_forward(self, step: Step) -> bool:
        """Whether it is one of those that compensation is about."""
        if step.issued.undoes is not None:
            return False
        return self.forward is None or step.id in list(self.steps)[: self.forward]

    def timer_named(self, kind: str, name: str) -> SetTimer | None:
        return next((t for t in self.timers.values() if (t.kind, t.name) == (kind, name)), None)

    @property
    def unanswered(self) -> list[Step]:
        return [step for step in self.steps.values() if step.state == "sent"]
