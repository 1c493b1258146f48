"""Named moments of the engine, for tests that crash it there."""

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["POINTS", "PROCESS_POINTS", "SERVICE_POINTS", "Probe", "silent"]

Probe: TypeAlias = Callable[[str], None]
"""Called with a name from POINTS, PROCESS_POINTS or SERVICE_POINTS then. Whatever it raises ends the work in hand."""

POINTS: dict[str, str] = {
    "append.before": "a command was decided, nothing is written",
    "append.after": "its events are durable, nobody has been told",
    "reaction.before": "an event handler is about to run",
    "reaction.after": "its commands have been handled, the checkpoint has not moved",
    "projection.before": "rows are folded, neither they nor the checkpoint are written",
    "projection.after": "rows and checkpoint are written",
    "post.before": "a posted command is about to be handled",
}

PROCESS_POINTS: dict[str, str] = {
    "process.decided": "an instance of a process manager was moved in memory, nothing is written",
    "process.moved": "its step is durable, nothing of it is done",
    "process.fed": "a page of events has been dealt with, the checkpoint has not moved",
    "courier.timed": "timers are set and dropped, no command is sent",
    "courier.before": "a command of an instance is about to be handled",
    "courier.sent": "it was handled, its answer is not recorded",
    "courier.answered": "its answer is recorded",
    "courier.after": "the commands of a page are sent, the checkpoint has not moved",
    "timer.fired": "what a timer leads to is recorded, the timer is still there",
}
"""Those that only process managers pass."""

SERVICE_POINTS: dict[str, str] = {
    "relay.before": "events of others' interest are about to be published",
    "relay.published": "the broker has confirmed them, the checkpoint has not moved",
    "inbox.before": "events of another service have come, nothing is written",
    "inbox.recorded": "they are recorded, the checkpoint has not moved",
    "inbox.noted": "the checkpoint has moved, the broker has not been told",
    "remote.before": "commands for another service are about to be sent",
    "remote.sent": "the broker has confirmed them",
    "replies.before": "answers have come, nothing is written",
    "replies.noted": "they stand in the command log, the broker has not been told",
    "owned.before": "a command of another service is about to be handled",
    "owned.handled": "it was handled, its sender has not been told",
    "owned.answered": "the answer is sent, the broker has not been told that the command was handled",
}
"""Those that only services on a bus pass."""


def silent(_: str) -> None:
    """The probe of everyday life."""
