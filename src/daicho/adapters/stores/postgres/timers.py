"""What is to be done later."""

from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.together import json_text
from daicho.ports.scheduler import Timer

__all__ = ["PostgresScheduler"]


def _timer(row: tuple[Any, ...]) -> Timer:
    return Timer(**dict(zip(Timer.__struct_fields__, row, strict=True)))


class PostgresScheduler(Part):
    async def set_timers(self, timers: Sequence[Timer]) -> None:
        different = {timer.timer_id: timer for timer in timers}
        await self._changed(self._queries["set_timers"], (json_text(list(different.values())),))

    async def drop_timers(self, timer_ids: Sequence[str]) -> int:
        return await self._changed(self._queries["drop_timers"], (list(timer_ids),))

    async def due_timers(self, now: str, groups: Sequence[str], *, limit: int) -> Sequence[Timer]:
        return [_timer(row) for row in await self._read(self._queries["due_timers"], (list(groups), now, limit))]

    async def next_due(self, groups: Sequence[str]) -> str | None:
        [(due,)] = await self._read(self._queries["next_due"], (list(groups),))
        return due  # type: ignore[no-any-return]

    async def move_timer(self, old: Timer, new: Timer | None) -> bool:
        which = (old.timer_id, old.due, old.number)
        if new is None:
            return await self._changed(self._queries["drop_timer"], which) > 0
        values = msgspec.structs.astuple(new)[1:]
        return await self._changed(self._queries["move_timer"], (*values, *which)) > 0

    async def timer(self, timer_id: str) -> Timer | None:
        rows = await self._read(self._queries["timer"], (timer_id,))
        return _timer(rows[0]) if rows else None

    async def timers(self, group: str, *, name: str | None = None, limit: int = 1000) -> Sequence[Timer]:
        return [_timer(row) for row in await self._read(self._queries["timers"], (group, name, limit))]
