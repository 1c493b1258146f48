"""Parked events, in the order they were parked."""

from collections.abc import Sequence

import msgspec

from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.checkpoints import move_checkpoint
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.writer import Transaction
from daicho.core.errors import NotParked
from daicho.ports.checkpoint_store import Advance
from daicho.ports.dead_letter_store import DeadLetter, ParkedEvent

__all__ = ["SqliteDeadLetters", "park_all", "went_through"]

_PARK, _LETTERS, _KEYS = statement("park"), statement("letters"), statement("parked_keys")
_RETRY_ALL, _RETRY_KEY = statement("ask_retry_all"), statement("ask_retry_key")
_RETRIED, _FAILED_AGAIN, _SKIP = statement("retried"), statement("failed_again"), statement("skip")
_RETRY_BY, _COUNTS, _PURGE = statement("ask_retry_by"), statement("parked_counts"), statement("purge")


def park_all(transaction: Transaction, processor: str, events: Sequence[ParkedEvent]) -> None:
    if events:
        transaction.connection.executemany(
            _PARK,
            [
                (
                    processor,
                    event.key,
                    event.position,
                    event.event_id,
                    event.type,
                    event.stream,
                    event.correlation_id,
                    event.error,
                    event.trace,
                    event.attempts,
                    event.code,
                    transaction.now,
                )
                for event in events
            ],
        )


def went_through(transaction: Transaction, processor: str | None, numbers: Sequence[int]) -> None:
    if numbers:
        transaction.connection.executemany(_RETRIED, [(number, processor, processor) for number in numbers])


class SqliteDeadLetters(Part):
    async def park(self, processor: str, token: int, old: int, new: int, events: Sequence[ParkedEvent]) -> None:
        def work(transaction: Transaction) -> None:
            move_checkpoint(transaction, Advance(processor=processor, token=token, old=old, new=new))
            park_all(transaction, processor, events)

        await self._write(work)

    async def letters(
        self, processor: str | None = None, *, states: Sequence[str] = ("parked", "retry"), limit: int = 1000
    ) -> Sequence[DeadLetter]:
        bound = (processor, processor, msgspec.json.encode(list(states)).decode(), limit)
        rows = await self._aside(lambda connection: connection.execute(_LETTERS, bound))
        return [DeadLetter(**dict(zip(DeadLetter.__struct_fields__, row, strict=True))) for row in rows]

    async def parked_keys(self, processor: str) -> set[str]:
        return {key for (key,) in await self._here(lambda connection: connection.execute(_KEYS, (processor,)))}

    async def ask_retry(self, processor: str | None = None, *, number: int | None = None) -> int:
        def work(transaction: Transaction) -> int:
            if number is None:
                transaction.connection.execute(_RETRY_ALL, (processor, processor))
            else:
                transaction.connection.execute(_RETRY_KEY, (number, processor, processor))
            return transaction.connection.changes()

        return await self._write(work)

    async def ask_retry_by(self, processor: str, code: str, reason: str) -> int:
        def work(transaction: Transaction) -> int:
            transaction.connection.execute(_RETRY_BY, (reason, processor, processor, code))
            return transaction.connection.changes()

        return await self._write(work)

    async def retried(
        self, processor: str, numbers: Sequence[int], *, error: str | None = None, code: str | None = None
    ) -> None:
        def work(transaction: Transaction) -> None:
            if error is None:
                went_through(transaction, processor, numbers)
            else:
                failed = [(error, code, number, processor) for number in numbers]
                transaction.connection.executemany(_FAILED_AGAIN, failed)

        await self._write(work)

    async def skip(self, number: int, reason: str) -> None:
        def work(transaction: Transaction) -> None:
            transaction.connection.execute(_SKIP, (reason, number))
            if not transaction.connection.changes():
                raise NotParked(
                    f"there is no parked event number {number}",
                    why="it never was there, it went through, or it was skipped",
                    do="`daicho dlq list` shows what is parked now",
                    number=number,
                )

        await self._write(work)

    async def parked_counts(self) -> dict[str, int]:
        return dict(await self._here(lambda connection: connection.execute(_COUNTS)))

    async def purge(self, before: str, states: Sequence[str]) -> int:
        bound = (before, msgspec.json.encode(list(states)).decode())

        def work(transaction: Transaction) -> int:
            transaction.connection.execute(_PURGE, bound)
            return transaction.connection.changes()

        return await self._write(work)
