"""What is to be done later."""

from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.writer import Transaction
from daicho.core.codec import encode_json
from daicho.ports.scheduler import Timer

__all__ = ["SqliteScheduler"]

_SET, _DROP_ALL, _DROP = statement("set_timer"), statement("drop_timers"), statement("drop_timer")
_DUE, _NEXT, _ONE, _SOME = statement("due_timers"), statement("next_due"), statement("timer"), statement("timers")


def _timer(row: tuple[Any, ...]) -> Timer:
    return Timer(**dict(zip(Timer.__struct_fields__, row, strict=True)))


def _json(texts: Sequence[str]) -> str:
    return encode_json(texts).decode()


class SqliteScheduler(Part):
    async def set_timers(self, timers: Sequence[Timer]) -> None:
        def work(transaction: Transaction) -> None:
            for timer in timers:
                transaction.connection.execute(_SET, msgspec.structs.astuple(timer))

        await self._write(work)

    async def drop_timers(self, timer_ids: Sequence[str]) -> int:
        def work(transaction: Transaction) -> int:
            transaction.connection.execute(_DROP_ALL, (_json(timer_ids),))
            return transaction.connection.changes()

        return await self._write(work)

    async def due_timers(self, now: str, groups: Sequence[str], *, limit: int) -> Sequence[Timer]:
        bound = (_json(groups), now, limit)
        return [_timer(row) for row in await self._here(lambda connection: connection.execute(_DUE, bound))]

    async def next_due(self, groups: Sequence[str]) -> str | None:
        rows = await self._here(lambda connection: connection.execute(_NEXT, (_json(groups),)))
        return rows[0][0] if rows else None

    async def move_timer(self, old: Timer, new: Timer | None) -> bool:
        def work(transaction: Transaction) -> bool:
            transaction.connection.execute(_DROP, (old.timer_id, old.due, old.number))
            if not transaction.connection.changes():
                return False
            if new is not None:
                transaction.connection.execute(_SET, msgspec.structs.astuple(new))
            return True

        return await self._write(work)

    async def timer(self, timer_id: str) -> Timer | None:
        rows = await self._here(lambda connection: connection.execute(_ONE, (timer_id,)))
        return _timer(rows[0]) if rows else None

    async def timers(self, group: str, *, name: str | None = None, limit: int = 1000) -> Sequence[Timer]:
        bound = (group, name, name, limit)
        return [_timer(row) for row in await self._here(lambda connection: connection.execute(_SOME, bound))]
