"""Between the write side and the read side."""

from typing import Any

from daicho.core.errors.root import DaichoError

__all__ = [
    "CannotTry",
    "FlowError",
    "LostLease",
    "MissingMigration",
    "NotParked",
    "NotRunning",
    "OutcomeTimeout",
    "PastPivot",
    "ProcessError",
    "ProjectionFailed",
    "TooManyHops",
    "UnknownDeadline",
    "Unsettled",
]


class FlowError(DaichoError):
    """Something between the write side and the read side stopped."""

    code = "D400"


class ProjectionFailed(FlowError):
    """An inline projection raised. It shares the append's transaction, so the append was not written either."""

    code = "D401"


class Unsettled(FlowError):
    """What was waited for cannot settle: at least one event it caused was parked. `letters` holds them."""

    code = "D402"

    def __init__(self, what: str, *, letters: tuple[Any, ...]) -> None:
        super().__init__(
            what,
            why="a handler raised, so the event and its followers of the same key were parked",
            do="`daicho dlq list`, mend the handler, `daicho dlq retry --all`",
            letters=letters,
        )
        self.letters = letters


class TooManyHops(FlowError):
    """A command-event-command chain went through more steps than the limit (64): most likely a circle."""

    code = "D403"


class LostLease(FlowError):
    """Another process took over this processor; this one stopped before writing anything."""

    code = "D404"


class NotParked(FlowError):
    """There is no dead letter with that number, or it has been dealt with."""

    code = "D405"


class NotRunning(FlowError):
    """The App is not running: use it inside `async with app:` or `with app.sync() as app:`."""

    code = "D406"


class CannotTry(FlowError):
    """A dead letter cannot be tried without doing it: its handler has side effects, or is no part of this App."""

    code = "D407"


class OutcomeTimeout(FlowError):
    """What became of a command was not known in time. It is not lost: it stays in the command log until it is.

    `outcome` is what is known: that it is pending, or None if nobody has heard of it.
    """

    code = "D616"

    def __init__(self, what: str, *, outcome: Any, **data: Any) -> None:
        super().__init__(
            what,
            why="whoever handles it has not answered: it is slow, away, or not there",
            do="ask again later, with `status` or `outcome`; `daicho bus status` shows what waits on the bus",
            outcome=outcome,
            **data,
        )
        self.outcome = outcome


class ProcessError(FlowError):
    """A process manager did what it may not. The message it was about is parked; nothing of the step was done."""

    code = "D630"


class UnknownDeadline(ProcessError):
    """A process manager set a deadline of a name that no `@deadline` method of it is for."""

    code = "D631"


class PastPivot(ProcessError):
    """A process manager would compensate after its pivot: there is no way back from there, only forward."""

    code = "D632"


class MissingMigration(ProcessError):
    """An instance of a process manager is of a version that this code cannot read."""

    code = "D633"
