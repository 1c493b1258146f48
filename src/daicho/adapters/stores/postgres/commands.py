"""What became of commands."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.riders import Riders
from daicho.adapters.stores.postgres.texts import storable
from daicho.adapters.stores.postgres.together import json_text
from daicho.ports.event_store import CommandOutcome

__all__ = ["PostgresCommandLog"]


def _outcome(row: tuple[Any, ...]) -> CommandOutcome:
    return CommandOutcome(**dict(zip(CommandOutcome.__struct_fields__, row, strict=True)))


class PostgresCommandLog(Part):
    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._notes = Riders(self._write_outcomes, what="command outcomes")

    async def record(self, outcome: CommandOutcome, *, replace: bool = True) -> CommandOutcome:
        await self._notes.settle()  # an earlier one must not come later
        kept = msgspec.structs.replace(outcome, reason=storable(outcome.reason))
        if replace:
            await self._write_outcomes([kept])
            return kept
        rows = await self._rows(self._queries["keep_first_command"], msgspec.structs.astuple(kept))
        return _outcome(rows[0])

    async def note(self, outcome: CommandOutcome) -> None:
        self._opened()
        kept = msgspec.structs.replace(outcome, reason=storable(outcome.reason))
        await self._notes.add(outcome.command_id, kept)

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        await self._notes.settle()
        rows = await self._read(self._queries["command"], (command_id,))
        return _outcome(rows[0]) if rows else None

    async def pending(self, *, limit: int, names: Sequence[str] | None = None) -> Sequence[CommandOutcome]:
        await self._notes.settle()
        wanted = None if names is None else list(names)
        return [_outcome(row) for row in await self._read(self._queries["pending_commands"], (wanted, wanted, limit))]

    async def outcomes(
        self, *, state: str | None = None, correlation_id: str | None = None, limit: int = 100
    ) -> Sequence[CommandOutcome]:
        await self._notes.settle()
        if correlation_id is None:
            rows = await self._read(self._queries["commands"], (state, limit))
        else:
            rows = await self._read(self._queries["commands_of_flow"], (correlation_id, state, limit))
        return [_outcome(row) for row in rows]

    async def _write_outcomes(self, outcomes: Sequence[CommandOutcome]) -> None:
        await self._changed(self._queries["record_commands"], (json_text(outcomes),))
