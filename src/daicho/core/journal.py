"""What passed through this process lately: each command with what came of it, how long each query took."""

from collections import Counter, deque
from typing import Literal, TypeAlias, TypeVar

import msgspec

from daicho.core.messages import Command, Query

__all__ = ["BEAT", "BUDGET", "CommandNote", "Journal", "Outcome", "QueryTimes"]

K = TypeVar("K")
Outcome: TypeAlias = Literal["accepted", "nothing", "duplicate", "rejected", "conflict", "failed"]
"""accepted: it recorded events; nothing: it had no effect; duplicate: it had been handled before, and the first outcome
was given again; conflict: others were faster too often; failed: it raised."""
BUDGET = 0.1
"""Seconds that a query may take."""
BEAT = 10
"""Seconds."""
_BEATS = 30
_MOST_COMMANDS = 500
_MOST_TIMES = 1000
_SLOT = 15 * 60
_SLOTS = 24 * 4


class CommandNote(msgspec.Struct, frozen=True, kw_only=True):
    """One command that was handled."""

    command: Command
    command_id: str
    correlation_id: str
    name: str
    actor: str | None
    tenant: str | None
    handler: str | None
    """The event handler that sent it; None from outside."""
    at: float
    """When it came; seconds since 1970."""
    seconds: float
    outcome: Outcome
    retries: int
    """How often it was decided again, because somebody else was faster."""
    stream: str = ""
    events: int = 0
    reason: str = ""


class QueryTimes:
    """How long one query took, lately."""

    def __init__(self) -> None:
        self.count = 0
        self.over = 0
        """Answers that took longer than the BUDGET."""
        self.failed = 0
        self.recent: deque[float] = deque(maxlen=_MOST_TIMES)
        """Seconds, the newest last."""
        self.last: Query[object] | None = None

    def percentile(self, share: float) -> float | None:
        """Of the recent ones, in seconds: no more than `share` of them took longer."""
        if not self.recent:
            return None
        times = sorted(self.recent)
        return times[min(len(times) - 1, int(share * len(times)))]


class Journal:
    """Bounded, in memory, of this process alone; while it is closed, nothing is noted and nothing is paid."""

    def __init__(self) -> None:
        self.is_open = False
        self.since: float | None = None
        self.commands: deque[CommandNote] = deque(maxlen=_MOST_COMMANDS)
        """The newest last."""
        self.outcomes: Counter[tuple[str, Outcome]] = Counter()
        """By command."""
        self.retries: Counter[str] = Counter()
        """By command."""
        self.queries: dict[str, QueryTimes] = {}
        self.beats: dict[int, Counter[Outcome]] = {}
        """By ten seconds since 1970: what became of how many commands; of the last five minutes."""
        self.slots: dict[int, Counter[tuple[str, str]]] = {}
        """By quarter of an hour since 1970: how many `("command" or "query", name)`; of a day."""
        self._conflicts: dict[str, int] = {}

    def open(self, now: float) -> None:
        """Begins to take notes."""
        self.is_open, self.since = True, self.since or now

    def conflicted(self, command_id: str) -> None:
        """Somebody else was faster; it is tried again."""
        if self.is_open:
            self._conflicts[command_id] = self._conflicts.get(command_id, 0) + 1

    def retries_of(self, command_id: str) -> int:
        """How often that has happened; asked once, when it is over."""
        return self._conflicts.pop(command_id, 0)

    def handled(self, note: CommandNote) -> None:
        self.commands.append(note)
        self.outcomes[note.name, note.outcome] += 1
        self.retries[note.name] += note.retries
        self._slot(note.at)["command", note.name] += 1
        _part(self.beats, int(note.at // BEAT), _BEATS)[note.outcome] += 1

    def answered(self, query: Query[object], at: float, seconds: float, *, failed: bool = False) -> None:
        name = type(query).__message_name__
        times = self.queries.setdefault(name, QueryTimes())
        times.count += 1
        times.over += seconds > BUDGET
        times.failed += failed
        times.recent.append(seconds)
        times.last = query
        self._slot(at)["query", name] += 1

    def _slot(self, at: float) -> Counter[tuple[str, str]]:
        return _part(self.slots, int(at // _SLOT), _SLOTS)


def _part(parts: dict[int, Counter[K]], number: int, most: int) -> Counter[K]:
    """The counts of a part of time; begins it, and lets those go that are `most` parts older."""
    found = parts.get(number)
    if found is None:
        found = parts[number] = Counter()
        for old in [each for each in parts if each <= number - most]:
            del parts[old]
    return found
