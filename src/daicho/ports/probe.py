"""Named moments of the engine, for tests that crash it there."""

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["POINTS", "Probe", "silent"]

Probe: TypeAlias = Callable[[str], None]
"""Called with a name from POINTS at that moment. Whatever it raises ends the work in hand."""

POINTS: dict[str, str] = {
    "append.before": "a command was decided, nothing is written",
    "append.after": "its events are durable, nobody has been told",
    "reaction.before": "an event handler is about to run",
    "reaction.after": "its commands have been handled, the checkpoint has not moved",
    "projection.before": "rows are folded, neither they nor the checkpoint are written",
    "projection.after": "rows and checkpoint are written",
    "post.before": "a posted command is about to be handled",
}


def silent(_: str) -> None:
    """The probe of everyday life."""
