"""Parked events, in the order they were parked."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from daicho.adapters.stores.memory.checkpoints import move_checkpoint
from daicho.adapters.stores.memory.contents import Contents, Shelf
from daicho.core.errors import NotParked
from daicho.core.messages import replace
from daicho.ports.checkpoint_store import Advance
from daicho.ports.dead_letter_store import DeadLetter, ParkedEvent

__all__ = ["MemoryDeadLetters", "park_all", "went_through"]

_OPEN = ("parked", "retry")


def park_all(contents: Contents, processor: str, events: Sequence[ParkedEvent], at: str) -> None:
    """The same event parked once more, after a rewind, is the letter it was before."""
    for event in events:
        same = (processor, event.key, event.position)
        known = next((n for n, each in contents.letters.items() if _place(each) == same), None)
        if known is None:
            contents.letters_ever += 1
            number, before = contents.letters_ever, 0
        else:
            number, before = known, contents.letters[known].attempts
        parked = msgspec.structs.asdict(replace(event, attempts=before + event.attempts))
        contents.letters[number] = DeadLetter(
            number=number, processor=processor, parked_at=at, state="parked", reason=None, **parked
        )


def _place(letter: DeadLetter) -> tuple[str, str, int]:
    return (letter.processor, letter.key, letter.position)


def went_through(contents: Contents, numbers: Iterable[int]) -> None:
    for number in numbers:
        if letter := contents.letters.get(number):
            contents.letters[number] = replace(letter, state="retried")


class MemoryDeadLetters(Shelf):
    async def park(self, processor: str, token: int, old: int, new: int, events: Sequence[ParkedEvent]) -> None:
        async with self._critical() as contents:
            move_checkpoint(contents, Advance(processor=processor, token=token, old=old, new=new), self._time())
            park_all(contents, processor, events, self._time())

    async def letters(
        self, processor: str | None = None, *, states: Sequence[str] = _OPEN, limit: int = 1000
    ) -> Sequence[DeadLetter]:
        async with self._critical() as contents:
            found = [
                letter
                for letter in contents.letters.values()
                if letter.state in states and processor in (None, letter.processor)
            ]
            return found[:limit]

    async def parked_keys(self, processor: str) -> set[str]:
        return {letter.key for letter in await self.letters(processor)}

    async def ask_retry(self, processor: str | None = None, *, number: int | None = None) -> int:
        async with self._critical() as contents:
            chosen = contents.letters.get(number) if number is not None else None
            asked = [
                letter
                for letter in contents.letters.values()
                if letter.state == "parked"
                and processor in (None, letter.processor)
                and (number is None or (chosen and (chosen.processor, chosen.key) == (letter.processor, letter.key)))
            ]
            for letter in asked:
                contents.letters[letter.number] = replace(letter, state="retry", reason=None)
            return len(asked)

    async def ask_retry_by(self, processor: str, code: str, reason: str) -> int:
        async with self._critical() as contents:
            still = [x for x in contents.letters.values() if x.state in _OPEN and x.processor == processor]
            first = {letter.key: letter for letter in reversed(still)}
            asked = [x for x in still if x.state == "parked" and first[x.key].code != code]
            for letter in asked:
                contents.letters[letter.number] = replace(letter, state="retry", reason=reason)
            return len(asked)

    async def retried(
        self, processor: str, numbers: Sequence[int], *, error: str | None = None, code: str | None = None
    ) -> None:
        async with self._critical() as contents:
            meant = [n for n in numbers if n in contents.letters and contents.letters[n].processor == processor]
            if error is None:
                went_through(contents, meant)
                return
            for number in meant:
                letter = contents.letters[number]
                if letter.state not in _OPEN:
                    continue
                contents.letters[number] = replace(
                    letter, state="parked", error=error, attempts=letter.attempts + 1, reason=None, code=code
                )

    async def skip(self, number: int, reason: str) -> None:
        async with self._critical() as contents:
            letter = contents.letters.get(number)
            if letter is None or letter.state not in _OPEN:
                raise NotParked(
                    f"there is no parked event number {number}",
                    why="it never was there, it went through, or it was skipped",
                    do="`daicho dlq list` shows what is parked now",
                    number=number,
                )
            contents.letters[number] = replace(letter, state="skipped", reason=reason)

    async def parked_counts(self) -> dict[str, int]:
        async with self._critical() as contents:
            return dict(Counter(x.processor for x in contents.letters.values() if x.state in _OPEN))

    async def purge(self, before: str, states: Sequence[str]) -> int:
        async with self._critical() as contents:
            kept = {
                number: letter
                for number, letter in contents.letters.items()
                if letter.state in _OPEN or letter.state not in states or letter.parked_at >= before
            }
            purged = len(contents.letters) - len(kept)
            contents.letters = kept
            return purged
