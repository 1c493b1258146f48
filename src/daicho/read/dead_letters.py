"""Parked events, for people: look, retry, give up with a reason."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from daicho.core.errors import InvalidMessage, NotParked, StoreError
from daicho.ports.dead_letter_store import DeadLetter, DeadLetterStore
from daicho.read.processor import Processor

__all__ = ["DeadLetters"]

_log = logging.getLogger("daicho")
_LOOK_EVERY = 0.5


class DeadLetters:
    """What every processor parked. Retries run in the process that owns the processor, in order within a key."""

    def __init__(self, letters: DeadLetterStore, processors: Callable[[], Sequence[Processor[Any]]]) -> None:
        self._letters, self._processors = letters, processors
        self._watch: asyncio.Task[None] | None = None

    async def list(self, processor: str | None = None, *, everything: bool = False) -> Sequence[DeadLetter]:
        """Parked letters, oldest first; with `everything`, also those retried or skipped."""
        states = ("parked", "retry", "retried", "skipped") if everything else ("parked", "retry")
        found = await self._letters.letters(None, states=states)
        return [x for x in found if processor is None or processor in (x.processor, _short(x.processor))]

    async def show(self, number: int) -> DeadLetter:
        """Raises NotParked if there is no letter of that number."""
        for letter in await self.list(everything=True):
            if letter.number == number:
                return letter
        raise NotParked(f"there is no dead letter {number}", do="`daicho dlq list` shows those there are")

    async def retry(self, number: int | None = None, *, processor: str | None = None) -> int:
        """Asks for a retry of one letter's key, of one processor's letters, or of all. Returns how many letters."""
        if number is not None:
            letter = await self.show(number)
            asked = await self._letters.ask_retry(letter.processor, number=number)
        elif processor is not None:
            names = {x.processor for x in await self.list(processor)}
            asked = sum([await self._letters.ask_retry(name) for name in sorted(names)])
        else:
            asked = await self._letters.ask_retry()
        self._wake()
        return asked

    async def skip(self, number: int, reason: str) -> None:
        """Gives one letter up. The reason stays on record; the event stays in the log."""
        if not reason.strip():
            raise InvalidMessage("a skipped event needs a reason", do="say why it may be left out", path="reason")
        await self._letters.skip(number, reason)

    async def retried(self, within: float = 10.0) -> None:
        """Waits until no asked-for retry is outstanding."""
        async with asyncio.timeout(within):
            while await self._letters.letters(states=("retry",), limit=1):  # noqa: ASYNC110 - another process may do it
                await asyncio.sleep(0.005)

    def _wake(self) -> None:
        for processor in self._processors():
            processor.retry_asked = True
            processor.nudge()

    def start(self) -> None:
        self._watch = asyncio.create_task(self._look(), name="daicho-retries")

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None

    async def _look(self) -> None:
        """Other processes (the CLI) ask for retries through the store."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                if await self._letters.letters(states=("retry",), limit=1):
                    self._wake()
            except StoreError as error:
                _log.warning("could not look for asked retries: %s", error)


def _short(processor: str) -> str:
    """`projection:orders@1` -> `orders`."""
    return processor.partition(":")[2].partition("@")[0]
