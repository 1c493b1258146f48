"""What an instance of a process manager records, in a stream of its own: each step it took, and why."""

from typing import Any, Literal, TypeAlias

import msgspec

from daicho.core.messages import Event

__all__ = ["Issued", "ProcessMoved", "SetTimer", "Trigger"]

Trigger: TypeAlias = Literal[
    "start", "event", "early", "passed", "deadline", "scheduled", "retry", "done", "rejected", "failed", "hand"
]
"""Why it moved. `start`, `event`: an event was handled; `early`: one came before the start, and waits for it; `passed`:
one came after the end, or a second start, and changed nothing. `deadline`, `scheduled`, `retry`: a timer. `done`,
`rejected`, `failed`: the answer to a command. `hand`: somebody said so."""


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is to be sent; it is sent after this was recorded, and once in effect."""

    command_id: str
    step: str
    """The command id it was issued under first."""
    name: str
    data: dict[str, Any]
    undoes: str | None = None
    """The step that it undoes."""


class SetTimer(msgspec.Struct, frozen=True, kw_only=True):
    timer_id: str
    kind: Literal["deadline", "send", "retry"]
    name: str
    """Of the deadline, of the command to send, or the step to try again."""
    due: str
    """ISO 8601, UTC."""
    data: dict[str, Any] | None = None
    """The command to send."""


class ProcessMoved(Event, name="daicho.process.moved"):
    """One step of one instance, with everything that follows from it: recorded before any of it is done."""

    process: str
    key: str
    version: int
    """Of the fields."""
    trigger: Trigger
    cause: str
    """Id of the event, timer or command it is about."""
    name: str
    """Type of the event, name of the deadline or the command."""
    status: str
    """After it: `waiting` (for the start), `running`, `compensating`, `compensated` or `done`."""
    fields: dict[str, Any] | None = None
    """The fields after it; None if nothing but the engine touched it."""
    commands: tuple[Issued, ...] = ()
    timers: tuple[SetTimer, ...] = ()
    ended: tuple[str, ...] = ()
    """Timers that will not fire any more: they have, or were cancelled."""
    undone: tuple[str, ...] = ()
    """Steps for which there was nothing to undo."""
    pivot: bool = False
    """Whether it passed its pivot in this step."""
    reason: str | None = None
    """Why the command was refused or failed."""
    back: str | None = None
    """Why compensation began in this step."""
    stuck: str | None = None
    """Why it cannot go on without help."""
    given_up: bool = False
    """Whether the command it is about will not be sent again without help."""
