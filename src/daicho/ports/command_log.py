"""Commands that must be remembered: keyed, posted, refused."""

from collections.abc import Sequence
from typing import Protocol

from daicho.ports.event_store import CommandOutcome

__all__ = ["CommandLog"]


class CommandLog(Protocol):
    async def record(self, outcome: CommandOutcome, *, replace: bool = True) -> CommandOutcome:
        """Keeps the outcome durably and returns what stands now: with `replace=False`, the first one that came."""
        ...

    async def note(self, outcome: CommandOutcome) -> None:
        """Keeps the outcome soon, without making the caller wait for the disk."""
        ...

    async def outcome(self, command_id: str) -> CommandOutcome | None: ...

    async def pending(self, *, limit: int, names: Sequence[str] | None = None) -> Sequence[CommandOutcome]:
        """Posted commands that have not been handled, oldest first; those of these names, if any are given."""
        ...

    async def outcomes(
        self, *, state: str | None = None, correlation_id: str | None = None, limit: int = 100
    ) -> Sequence[CommandOutcome]:
        """Newest first; oldest first for one correlation."""
        ...
