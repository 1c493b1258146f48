"""Parked events, for people: look, try, retry, give up with a reason."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from daicho.core.errors import InvalidMessage, NotParked, StoreError
from daicho.core.segments import root_of
from daicho.core.times import to_text
from daicho.ports.clock import Clock
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.storage import Storage
from daicho.read.generations import former_builds
from daicho.read.processor import Processor
from daicho.read.trial import Trial

__all__ = ["DeadLetters"]

_log = logging.getLogger("daicho")
_LOOK_EVERY = 0.5
_OPEN, _ALL = ("parked", "retry"), 2**31


class DeadLetters:
    """What every processor parked. Retries run in the process that owns the processor, in order within a key."""

    def __init__(
        self,
        letters: Storage,
        processors: Callable[[], Sequence[Processor[Any]]],
        trials: Callable[[Sequence[DeadLetter]], Awaitable[Trial]],
        clock: Clock,
    ) -> None:
        self._letters, self._processors, self._trials, self._clock = letters, processors, trials, clock
        self._watch: asyncio.Task[None] | None = None

    async def list(self, processor: str | None = None, *, everything: bool = False) -> Sequence[DeadLetter]:
        """Parked letters, oldest first; with `everything`, also those retried or skipped."""
        states = (*_OPEN, "retried", "skipped") if everything else _OPEN
        found = await self._letters.letters(None, states=states, limit=_ALL)
        former = former_builds(await self._letters.checkpoints()) if found else set[str]()
        found = [x for x in found if root_of(x.processor) not in former]
        return [x for x in found if processor is None or processor in (x.processor, _short(x.processor))]

    async def show(self, number: int) -> DeadLetter:
        """Raises NotParked if there is no letter of that number."""
        for letter in await self.list(everything=True):
            if letter.number == number:
                return letter
        raise NotParked(f"there is no dead letter {number}", do="`daicho dlq list` shows those there are")

    async def try_(self, number: int, *, whole_key: bool = True) -> Trial:
        """What a retry of the letter's key would do, letter by letter, without doing any of it; with
        `whole_key=False`, of this letter alone.

        Raises NotParked, and CannotTry for a handler with side effects.
        """
        letter = await self.show(number)
        if letter.state not in _OPEN:
            raise NotParked(f"dead letter {number} is {letter.state}", do="`daicho dlq list` shows what is parked now")
        if not whole_key:
            return await self._trials([letter])
        letters = await self._letters.letters(letter.processor, states=_OPEN, limit=_ALL)
        return await self._trials([each for each in letters if each.key == letter.key])

    async def retry(self, number: int | None = None, *, processor: str | None = None) -> int:
        """Asks for a retry of one letter's key, of one processor's letters, or of all. Returns how many letters."""
        if number is not None:
            letter = await self.show(number)
            asked = await self._letters.ask_retry(letter.processor, number=number)
        else:
            names = {x.processor for x in await self.list(processor)}
            asked = sum([await self._letters.ask_retry(name) for name in sorted(names)])
        self._wake()
        return asked

    async def skip(self, number: int, reason: str) -> None:
        """Gives one letter up. The reason stays on record; the event stays in the log."""
        if not reason.strip():
            raise InvalidMessage("a skipped event needs a reason", do="say why it may be left out", path="reason")
        await self._letters.skip(number, reason)

    async def purge(self, older_than: timedelta, states: Sequence[str] = ("retried", "skipped")) -> int:
        """Removes letters that were dealt with, if they were parked longer ago than that. Returns how many.

        What is still parked stays, always: raises InvalidMessage if `states` names anything else.
        """
        if strange := [state for state in states if state not in ("retried", "skipped")]:
            raise InvalidMessage(
                f"letters that are {strange[0]!r} are not purged",
                why="what is parked waits for somebody",
                do="purge `retried` and `skipped`; retry or skip the others first",
                path="states",
            )
        return await self._letters.purge(to_text(self._clock.now() - older_than), states)

    async def retried(self, within: float = 10.0) -> None:
        """Waits until no asked-for retry is outstanding."""
        async with asyncio.timeout(within):
            while any(x.state == "retry" for x in await self.list()):  # noqa: ASYNC110 - another process may do it
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
