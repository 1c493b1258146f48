"""What is to be done later."""

from collections.abc import Iterable, Sequence

from daicho.adapters.stores.memory.contents import Shelf
from daicho.ports.scheduler import Timer

__all__ = ["MemoryScheduler"]


class MemoryScheduler(Shelf):
    async def set_timers(self, timers: Sequence[Timer]) -> None:
        async with self._critical() as contents:
            contents.timers.update((timer.timer_id, timer) for timer in timers)

    async def drop_timers(self, timer_ids: Sequence[str]) -> int:
        async with self._critical() as contents:
            return sum(contents.timers.pop(timer_id, None) is not None for timer_id in timer_ids)

    async def due_timers(self, now: str, groups: Sequence[str], *, limit: int) -> Sequence[Timer]:
        async with self._critical() as contents:
            return _in_order(t for t in contents.timers.values() if t.due <= now and t.group in groups)[:limit]

    async def next_due(self, groups: Sequence[str]) -> str | None:
        async with self._critical() as contents:
            return min((t.due for t in contents.timers.values() if t.group in groups), default=None)

    async def move_timer(self, old: Timer, new: Timer | None) -> bool:
        async with self._critical() as contents:
            present = contents.timers.get(old.timer_id)
            if present is None or (present.due, present.number) != (old.due, old.number):
                return False
            if new is None:
                del contents.timers[old.timer_id]
            else:
                contents.timers[old.timer_id] = new
            return True

    async def timer(self, timer_id: str) -> Timer | None:
        async with self._critical() as contents:
            return contents.timers.get(timer_id)

    async def timers(self, group: str, *, name: str | None = None, limit: int = 1000) -> Sequence[Timer]:
        async with self._critical() as contents:
            return _in_order(t for t in contents.timers.values() if t.group == group and name in (None, t.name))[:limit]


def _in_order(timers: Iterable[Timer]) -> list[Timer]:
    return sorted(timers, key=lambda timer: (timer.due, timer.timer_id))
