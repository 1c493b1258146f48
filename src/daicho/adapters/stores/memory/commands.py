"""What became of commands."""

from collections.abc import Iterable, Sequence

from daicho.adapters.stores.memory.contents import Contents, Shelf
from daicho.ports.event_store import CommandOutcome

__all__ = ["MemoryCommandLog", "keep"]


def keep(contents: Contents, outcome: CommandOutcome) -> None:
    contents.outcomes[outcome.command_id] = outcome


class MemoryCommandLog(Shelf):
    async def record(self, outcome: CommandOutcome, *, replace: bool = True) -> CommandOutcome:
        async with self._critical() as contents:
            if replace or outcome.command_id not in contents.outcomes:
                keep(contents, outcome)
            return contents.outcomes[outcome.command_id]

    async def note(self, outcome: CommandOutcome) -> None:
        async with self._critical() as contents:
            keep(contents, outcome)

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        async with self._critical() as contents:
            return contents.outcomes.get(command_id)

    async def pending(self, *, limit: int, names: Sequence[str] | None = None) -> Sequence[CommandOutcome]:
        async with self._critical() as contents:
            waiting = (o for o in contents.outcomes.values() if o.state == "pending")
            return _by_age(o for o in waiting if names is None or o.name in names)[:limit]

    async def outcomes(
        self, *, state: str | None = None, correlation_id: str | None = None, limit: int = 100
    ) -> Sequence[CommandOutcome]:
        async with self._critical() as contents:
            found = _by_age(
                o
                for o in contents.outcomes.values()
                if state in (None, o.state) and correlation_id in (None, o.correlation_id)
            )
        return (found[::-1] if correlation_id is None else found)[:limit]


def _by_age(outcomes: Iterable[CommandOutcome]) -> list[CommandOutcome]:
    return sorted(outcomes, key=lambda outcome: outcome.received_at)
