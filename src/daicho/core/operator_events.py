"""What an operator did, recorded in the register itself: readable by whatever reads events."""

from typing import Literal

from daicho.core.messages import Event

__all__ = ["OPERATOR", "OperatorActed"]

OPERATOR = "daicho.operator"
"""The category: one stream for each operator."""


class OperatorActed(Event, name="daicho.operator.acted"):
    """Recorded before an action is begun, and again with what became of it."""

    action_id: str
    """The same in both."""
    action: str
    """`parked.retry`, `command.resend`, ..."""
    target: str
    """What it is done to."""
    verb: str
    """The line of `daicho` that does the same."""
    outcome: Literal["begun", "done", "failed"]
    role: str
    reason: str = ""
    """Why, in the operator's words."""
    detail: str = ""
    """What came of it, or went wrong."""
