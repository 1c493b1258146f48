"""Parked events, in the order they were parked."""

from collections.abc import Sequence

from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.texts import storable
from daicho.adapters.stores.postgres.together import Together, json_text
from daicho.core.errors import NotParked
from daicho.ports.checkpoint_store import Advance
from daicho.ports.dead_letter_store import DeadLetter, ParkedEvent

__all__ = ["PostgresDeadLetters"]


class PostgresDeadLetters(Part):
    async def park(self, processor: str, token: int, old: int, new: int, events: Sequence[ParkedEvent]) -> None:
        move = Advance(processor=processor, token=token, old=old, new=new)
        together = Together(self._queries, self._time(), move)
        together.park(processor, events)
        together.check(await self._rows(together.text, together.values))
        self._committed_lazily()

    async def letters(
        self, processor: str | None = None, *, states: Sequence[str] = ("parked", "retry"), limit: int = 1000
    ) -> Sequence[DeadLetter]:
        rows = await self._read(self._queries["letters"], (processor, json_text(list(states)), limit))
        return [DeadLetter(**dict(zip(DeadLetter.__struct_fields__, row, strict=True))) for row in rows]

    async def parked_keys(self, processor: str) -> set[str]:
        return {key for (key,) in await self._read(self._queries["parked_keys"], (processor,))}

    async def ask_retry(self, processor: str | None = None, *, number: int | None = None) -> int:
        if number is None:
            return await self._changed(self._queries["ask_retry_all"], (processor,))
        return await self._changed(self._queries["ask_retry_key"], (number, processor))

    async def ask_retry_by(self, processor: str, code: str, reason: str) -> int:
        return await self._changed(self._queries["ask_retry_by"], (reason, processor, processor, code))

    async def retried(
        self, processor: str, numbers: Sequence[int], *, error: str | None = None, code: str | None = None
    ) -> None:
        which = json_text(list(numbers))
        if error is None:
            await self._changed(self._queries["retried"], (which, processor))
        else:
            await self._changed(self._queries["failed_again"], (storable(error), code, which, processor))

    async def skip(self, number: int, reason: str) -> None:
        if not await self._changed(self._queries["skip"], (storable(reason), number)):
            raise NotParked(
                f"there is no parked event number {number}",
                why="it never was there, it went through, or it was skipped",
                do="`daicho dlq list` shows what is parked now",
                number=number,
            )

    async def parked_counts(self) -> dict[str, int]:
        return dict(await self._read(self._queries["parked_counts"]))

    async def purge(self, before: str, states: Sequence[str]) -> int:
        return await self._changed(self._queries["purge"], (before, json_text(list(states))))
