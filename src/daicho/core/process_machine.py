"""What an instance does next. Pure: an instance and a cause in, what is to be recorded out.

    waiting ──start──> running ──Done──────────────────────────> done
                          │                                        │
                          └──Compensate, a refusal──> compensating ┴─all undone, all answered──> compensated

Whatever is due follows from what was recorded, so it does not matter how often or where this is asked again: what was
recorded already is recognised by its id, and nothing is recorded twice.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
from msgspec import field

from daicho.core.codec import convert, to_builtins
from daicho.core.errors import PastPivot, UnknownDeadline
from daicho.core.ids import derived_id
from daicho.core.instance import Instance, Step, StepState
from daicho.core.messages import Command, Context, Event, RecordedEvent
from daicho.core.process import Compensate, Deadline, Done, Pivot, Schedule
from daicho.core.process_definition import Definition, EventMethod
from daicho.core.process_events import Issued, ProcessMoved, SetTimer, Trigger
from daicho.core.signatures import further_parameters
from daicho.core.times import to_text

__all__ = ["Cause", "Change", "Machine"]

_LONGEST_PAUSE = 60.0


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Who and what a change goes back to."""

    now: datetime
    event_id: str | None
    """Of the event it follows from; None for a hand."""
    correlation_id: str
    actor: str | None = None
    tenant: str | None = None
    hops: int = 0


class Change(msgspec.Struct, frozen=True):
    """One record to be."""

    event_id: str
    moved: ProcessMoved
    cause: Cause


class _Draft(msgspec.Struct):
    event_id: str
    trigger: Trigger
    about: str
    name: str
    status: str
    stuck: str | None
    fields: dict[str, Any] | None = None
    commands: list[Issued] = field(default_factory=list[Issued])
    timers: list[SetTimer] = field(default_factory=list[SetTimer])
    ended: list[str] = field(default_factory=list[str])
    undone: list[str] = field(default_factory=list[str])
    pivot: bool = False
    reason: str | None = None
    back: str | None = None
    given_up: bool = False
    states: dict[str, StepState] = field(default_factory=dict[str, StepState])
    """Of steps that this changes."""

    def state(self, step: Step) -> StepState:
        return self.states.get(step.id, step.state)


class Machine:
    """The logic of one Process class. Each method applies what it returns to the instance."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition

    def happened(
        self, instance: Instance, record: RecordedEvent[Any], now: datetime, early: Sequence[RecordedEvent[Any]] = ()
    ) -> list[Change]:
        """An event, and behind the start those of `early` that waited for it, in order. Raises what the user's code
        raises, ProcessError; the instance is then of no use."""
        kind = cast("type[Event]", type(record.event))
        stream = instance.stream
        event_id = derived_id(record.event_id, f"process:{stream}")
        too_early = derived_id(record.event_id, f"process:{stream}:early")
        if event_id in instance.seen:
            return []
        start, on = self.definition.starts.get(kind), self.definition.ons.get(kind)
        cause = _cause_of(record, now)
        if not instance.has_started and start is None:
            if too_early in instance.seen:
                return []
            draft = self._draft(instance, too_early, "early", record.event_id, record.type)
            draft.status = "waiting"
            return [self._close(instance, draft, cause)]
        if not instance.has_started and start is not None:
            changes = [self._event(instance, record, event_id, "start", start, cause)]
            for each in early:
                changes += self.happened(instance, each, now)
            return changes
        if on is None or (instance.status == "done" and not on.late):
            return [
                self._close(instance, self._draft(instance, event_id, "passed", record.event_id, record.type), cause)
            ]
        return [self._event(instance, record, event_id, "event", on, cause)]

    def _event(
        self,
        instance: Instance,
        record: RecordedEvent[Any],
        event_id: str,
        trigger: Trigger,
        method: EventMethod,
        cause: Cause,
    ) -> Change:
        draft = self._draft(instance, event_id, trigger, record.event_id, record.type)
        if trigger == "start":
            draft.status = "running"
        context = Context(
            now=record.occurred_at,
            command_id=event_id,
            correlation_id=record.correlation_id,
            actor=record.actor,
            tenant=record.tenant,
            metadata=record.metadata,
        )
        self._run(instance, draft, method.function, (record.event,), context, cause.now)
        return self._close(instance, draft, cause)

    def fired(self, instance: Instance, timer_id: str, cause: Cause) -> list[Change]:
        """A timer, if it is still set. What the user's code raises leaves the instance stuck."""
        event_id = derived_id(timer_id, "fired")
        timer = instance.timers.get(timer_id)
        if timer is None or event_id in instance.seen:
            return []
        if timer.kind == "deadline":
            draft = self._draft(instance, event_id, "deadline", timer_id, timer.name)
            draft.ended.append(timer_id)
            function = self.definition.deadlines.get(timer.name, self._no_method(timer.name))
            try:
                self._run(instance, draft, function, (), self._context(event_id, cause), cause.now)
            except Exception as error:  # noqa: BLE001 - the user's code: told, and tried again when somebody says so
                again = derived_id(timer_id, f"raised:{instance.version}")
                draft = self._draft(instance, again, "deadline", timer_id, timer.name)
                draft.stuck = f"the deadline {timer.name!r} raised {type(error).__name__}: {error}"
        elif timer.kind == "retry":
            draft = self._draft(instance, event_id, "retry", timer_id, timer.name)
            draft.ended.append(timer_id)
            self._again(draft, instance.steps[timer.name])
        else:
            draft = self._draft(instance, event_id, "scheduled", timer_id, timer.name)
            draft.ended.append(timer_id)
            self._issue(draft, timer.name, timer.data or {})
        return [self._close(instance, draft, cause)]

    def answered(
        self, instance: Instance, command_id: str, state: StepState, reason: str | None, cause: Cause
    ) -> list[Change]:
        """What became of a command; nothing if that is known, or the command was sent anew since under another id."""
        step = instance.by_command.get(command_id)
        if step is None or step.issued.command_id != command_id or step.state != "sent":
            return []
        name = step.issued.name
        event_id = derived_id(step.event_id, f"answer:{command_id}")
        draft = self._draft(instance, event_id, "done" if state == "done" else state, command_id, name)  # type: ignore[arg-type]
        draft.states[step.id], draft.reason = state, reason
        if state == "done":
            if step.issued.undoes is not None:
                draft.states[step.issued.undoes] = "undone"
        elif instance.is_compensating and instance.is_forward(step):
            pass  # nothing came of it, so there is nothing to undo
        elif state == "failed" or step.issued.undoes is not None:
            self._later(instance, draft, step, cause.now)
        else:
            draft = self._refused(instance, draft, step, reason or "", cause)
        return [self._close(instance, draft, cause)]

    def _refused(self, instance: Instance, draft: _Draft, step: Step, reason: str, cause: Cause) -> _Draft:
        command = self.command(step.issued)
        function = self.definition.refusals.get(type(command))
        if function is not None:
            try:
                self._run(instance, draft, function, (command, reason), self._context(draft.event_id, cause), cause.now)
            except Exception as error:  # noqa: BLE001 - the user's code: told, and tried again when somebody says so
                draft = self._draft(instance, draft.event_id, "rejected", draft.about, draft.name)
                draft.reason, draft.given_up = reason, True
                draft.stuck = f"the refusal of {step.issued.name} raised {type(error).__name__}: {error}"
        elif instance.is_compensating:
            pass  # it was sent on the way back, and nothing depends on it: shown as refused
        elif instance.passed_pivot:
            self._later(instance, draft, step, cause.now)
        else:
            self._go_back(instance, draft, f"{step.issued.name} was refused: {reason}")
        return draft

    def nudged(self, instance: Instance, token: str, cause: Cause) -> list[Change]:
        """Sends again what has no answer, tries again what was given up, and sets overdue timers again. `token`: a
        fresh id. Nothing if there is nothing to be done."""
        draft = self._draft(instance, derived_id(token, "nudge"), "hand", token, "nudge")
        draft.stuck = None
        for step in instance.steps.values():
            if step.given_up or step.state == "sent":
                self._again(draft, step)
        moment = to_text(cause.now)
        draft.timers += [timer for timer in instance.timers.values() if timer.due <= moment]
        if instance.status == "compensating":
            self._undo(instance, draft)
        if not draft.commands and not draft.timers and instance.stuck is None and not draft.undone:
            return []
        return [self._close(instance, draft, cause)]

    def turned_back(self, instance: Instance, token: str, reason: str, cause: Cause) -> list[Change]:
        """Compensates because somebody said so. Raises PastPivot. Nothing if it has not started or does so already."""
        if not instance.has_started or instance.is_compensating:
            return []
        draft = self._draft(instance, derived_id(token, "compensate"), "hand", token, "compensate")
        draft.stuck = None
        self._go_back(instance, draft, reason)
        return [self._close(instance, draft, cause)]

    def command(self, issued: Issued) -> Command:
        """Raises msgspec.ValidationError if the class does not fit any more, KeyError if it is not sent any more."""
        return convert(issued.data, self.definition.commands[issued.name])

    # -- steps ----------------------------------------------------------------------------------------------------

    def _draft(self, instance: Instance, event_id: str, trigger: Trigger, about: str, name: str) -> _Draft:
        return _Draft(event_id, trigger, about, name, instance.status, instance.stuck)

    def _run(
        self,
        instance: Instance,
        draft: _Draft,
        function: Callable[..., Any],
        given: tuple[Any, ...],
        context: Context,
        now: datetime,
    ) -> None:
        definition = self.definition
        process = definition.fresh(instance.key)
        if instance.fields_version:
            process = definition.thaw(instance.key, instance.fields, instance.fields_version)
        process.status = draft.status
        extras = [context for _ in further_parameters(function, 1 + len(given))]
        for wish in function(process, *given, *extras) or ():
            self._wish(instance, draft, function, wish, now)
        fields = definition.freeze(process)
        if fields != instance.fields or instance.fields_version != definition.version:
            definition.thaw(instance.key, fields, definition.version)  # else it could never be read again
            draft.fields = fields

    def _wish(self, instance: Instance, draft: _Draft, function: Callable[..., Any], wish: Any, now: datetime) -> None:
        match wish:
            case Command():
                self._issue(draft, *self._allowed(function, wish))
            case Deadline():
                if wish.name not in self.definition.deadlines:
                    raise self._unknown(wish.name)
                self._stop(instance, draft, "deadline", wish.name)
                if wish.after is not None or wish.at is not None:
                    self._set(draft, "deadline", wish.name, _due(wish, now))
            case Schedule():
                name, data = self._allowed(function, wish.command)
                self._set(draft, "send", name, _due(wish, now), data)
            case Done():
                if not instance.is_compensating:
                    draft.status = "done"
                self._stop(instance, draft, "deadline")
            case Pivot():
                draft.pivot = True
            case Compensate():
                if not instance.is_compensating:
                    self._go_back(instance, draft, wish.reason)
            case _:
                raise TypeError(f"{function.__qualname__} yielded {wish!r}, which is nothing to be done")

    def _allowed(self, function: Callable[..., Any], command: Command) -> tuple[str, dict[str, Any]]:
        if type(command) not in self.definition.sends[function]:
            raise TypeError(f"{function.__qualname__} yielded {command!r}, which its annotation does not name")
        data = to_builtins(command)
        convert(data, type(command))  # else it could never be sent
        return type(command).__message_name__, data

    def _issue(self, draft: _Draft, name: str, data: dict[str, Any], undoes: str | None = None) -> None:
        command_id = derived_id(draft.event_id, str(len(draft.commands)))
        draft.commands.append(Issued(command_id=command_id, step=command_id, name=name, data=data, undoes=undoes))

    def _again(self, draft: _Draft, step: Step) -> None:
        """The same command under the same id; under a new one if it was refused, as that answer stands."""
        old = step.issued
        rejected = step.state == "rejected"
        command_id = derived_id(draft.event_id, str(len(draft.commands))) if rejected else old.command_id
        draft.commands.append(
            Issued(command_id=command_id, step=step.id, name=old.name, data=old.data, undoes=old.undoes)
        )
        draft.states[step.id] = "sent"

    def _set(self, draft: _Draft, kind: Any, name: str, due: datetime, data: dict[str, Any] | None = None) -> None:
        timer_id = derived_id(draft.event_id, f"timer:{len(draft.timers)}")
        draft.timers.append(SetTimer(timer_id=timer_id, kind=kind, name=name, due=to_text(due), data=data))

    def _stop(self, instance: Instance, draft: _Draft, kind: str, name: str | None = None) -> None:
        draft.ended += [t.timer_id for t in instance.timers.values() if t.kind == kind and name in (None, t.name)]
        # one that was set in this very step stays in the list, so that ids go on: it is ended at once
        draft.ended += [t.timer_id for t in draft.timers if t.kind == kind and name in (None, t.name)]

    def _later(self, instance: Instance, draft: _Draft, step: Step, now: datetime) -> None:
        failures = step.failures + 1
        if failures >= self.definition.attempts:
            draft.given_up = True
            draft.stuck = f"{step.issued.name} was tried {failures} times: {draft.reason}"
            return
        pause = min(_LONGEST_PAUSE, 0.5 * 2**failures)
        self._set(draft, "retry", step.id, now + timedelta(seconds=pause))

    # -- back -----------------------------------------------------------------------------------------------------

    def _go_back(self, instance: Instance, draft: _Draft, reason: str) -> None:
        if instance.passed_pivot or draft.pivot:
            raise PastPivot(
                f"{instance.stream} would compensate after its pivot: {reason}",
                why="its handlers said by `Pivot()` that from there it only goes forward",
                do="yield the commands that lead forward, or take the pivot out",
                stream=instance.stream,
            )
        draft.status, draft.back = "compensating", reason
        self._stop(instance, draft, "deadline")
        self._stop(instance, draft, "send")
        self._stop(instance, draft, "retry")

    def _undo(self, instance: Instance, draft: _Draft) -> None:
        """Issues what undoes the last step that is not undone; one at a time, so that the order holds."""
        if any(
            step.issued.undoes is not None and draft.state(step) not in ("done", "undone")
            for step in instance.steps.values()
        ):
            return
        steps = list(instance.steps.values())
        for step in reversed(steps[: instance.forward]):
            if step.issued.undoes is not None or draft.state(step) != "done":
                continue
            command = self.command(step.issued)
            function = self.definition.undoings.get(type(command))
            if function is None or step.id in draft.undone:
                continue
            process = self.definition.thaw(instance.key, *self._fields_of(instance, draft))
            process.status = draft.status
            undo = function(process, command)
            if undo is not None:
                self._issue(draft, *self._allowed(function, undo), undoes=step.id)
                return
            draft.undone.append(step.id)

    def _fields_of(self, instance: Instance, draft: _Draft) -> tuple[dict[str, Any], int]:
        if draft.fields is not None:
            return draft.fields, self.definition.version
        return instance.fields, instance.fields_version or self.definition.version

    def _back(self, instance: Instance, draft: _Draft) -> None:
        """Goes on undoing; if nothing is left to undo or to wait for, that is the end."""
        try:
            if not (draft.trigger == "hand" and draft.name == "nudge"):
                self._undo(instance, draft)
        except Exception as error:  # noqa: BLE001 - the user's code: told, and tried again when somebody says so
            draft.stuck = f"undoing raised {type(error).__name__}: {error}"
        ended = {*draft.ended}
        waits = [t for t in [*instance.timers.values(), *draft.timers] if t.kind == "retry" and t.timer_id not in ended]
        if draft.commands or waits or draft.stuck is not None:
            return
        if not any(draft.state(step) == "sent" for step in instance.steps.values()):
            draft.status = "compensated"

    def _close(self, instance: Instance, draft: _Draft, cause: Cause) -> Change:
        if draft.status == "compensating":
            self._back(instance, draft)
        definition = self.definition
        moved = ProcessMoved(
            process=definition.category,
            key=instance.key,
            version=definition.version,
            trigger=draft.trigger,
            cause=draft.about,
            name=draft.name,
            status=draft.status,
            fields=draft.fields,
            commands=tuple(draft.commands),
            timers=tuple(t for t in draft.timers if t.timer_id not in draft.ended),
            ended=tuple(i for i in draft.ended if i in instance.timers),
            undone=tuple(draft.undone),
            pivot=draft.pivot,
            reason=draft.reason,
            back=draft.back,
            stuck=draft.stuck,
            given_up=draft.given_up,
        )
        instance.apply(moved, draft.event_id, cause.correlation_id, cause.actor, cause.tenant, to_text(cause.now))
        return Change(draft.event_id, moved, cause)

    @staticmethod
    def _context(event_id: str, cause: Cause) -> Context:
        return Context(
            now=cause.now,
            command_id=event_id,
            correlation_id=cause.correlation_id,
            actor=cause.actor,
            tenant=cause.tenant,
        )

    def _no_method(self, name: str) -> Callable[..., Any]:
        def refuse(_: object) -> None:
            raise self._unknown(name)

        return refuse

    def _unknown(self, name: str) -> UnknownDeadline:
        return UnknownDeadline(
            f"{self.definition.cls.__name__} has no method for the deadline {name!r}",
            why=f"it has them for {', '.join(sorted(self.definition.deadlines)) or 'none'}",
            do=f'mark a method with `@deadline("{name}")`, or mend the name',
            deadline=name,
        )


def _due(wish: Deadline | Schedule, now: datetime) -> datetime:
    if wish.at is not None:
        return wish.at
    return now + (wish.after or timedelta())


def _cause_of(record: RecordedEvent[Any], now: datetime) -> Cause:
    return Cause(
        now=now,
        event_id=record.event_id,
        correlation_id=record.correlation_id,
        actor=record.actor,
        tenant=record.tenant,
        hops=int(record.metadata.get("hops", "0")),
    )
