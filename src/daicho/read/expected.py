"""What a flow still waits for: commands of process managers without an answer, and timers that have not come up."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from daicho.core.process_events import Issued, ProcessMoved, SetTimer

__all__ = ["Expected", "expected"]

_ANSWERS = ("done", "rejected", "failed")


class Expected(msgspec.Struct, kw_only=True):
    """One thing that was to come of a step, and has not, or has without leaving a trace of its own."""

    after: str
    """Id of the record of the step."""
    kind: str
    """`command` or `timer`."""
    id: str
    name: str
    handler: str
    outcome: str
    """`pending`; of a command without events also `done`, `rejected` or `failed`."""
    reason: str | None


def expected(moved: Iterable[tuple[str, Any]], whole: Iterable[Any], is_known: Callable[[str], bool]) -> list[Expected]:
    """
    moved     the steps of the flow: id of the record, and what it holds, as builtins
    whole     what all records of the instances hold, of this flow and of others, in order
    is_known  whether a command of that id has left a trace
    """
    ended, answers = set[str](), dict[str, ProcessMoved]()
    for content in whole:
        step = _step(content)
        if step is None:
            continue
        ended.update(step.ended)
        if step.trigger in _ANSWERS:
            answers[step.cause] = step
    found: list[Expected] = []
    for event_id, content in moved:
        step = _step(content)
        if step is None:
            continue
        handler = f"process:{step.process}"
        found += [_command(event_id, handler, each, answers) for each in step.commands if not is_known(each.command_id)]
        found += [_timer(event_id, handler, each) for each in step.timers if each.timer_id not in ended]
    return found


def _step(content: Any) -> ProcessMoved | None:
    """None for a record that cannot be read: it stands in the story as it is, and tells nothing of what is to come."""
    try:
        return msgspec.convert(content, ProcessMoved)
    except msgspec.ValidationError:
        return None


def _command(event_id: str, handler: str, issued: Issued, answers: dict[str, ProcessMoved]) -> Expected:
    answer = answers.get(issued.command_id)
    return Expected(
        after=event_id,
        kind="command",
        id=issued.command_id,
        name=issued.name,
        handler=handler,
        outcome="pending" if answer is None else answer.trigger,
        reason="no answer yet" if answer is None else answer.reason,
    )


def _timer(event_id: str, handler: str, timer: SetTimer) -> Expected:
    names = {"deadline": f"deadline {timer.name}", "send": f"time to send {timer.name}", "retry": "time to try again"}
    return Expected(
        after=event_id,
        kind="timer",
        id=timer.timer_id,
        name=names[timer.kind],
        handler=handler,
        outcome="pending",
        reason=f"expected at {timer.due}",
    )
