"""Dead letters as rows."""

from collections.abc import Sequence
from typing import Any

from daicho.core.errors import NotParked
from daicho.core.plain import plain
from daicho.core.segments import root_of
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.storage import Storage
from daicho.read.generations import former_builds

__all__ = ["LETTER_COLUMNS", "letter_numbered", "letter_row", "letters_of"]

LETTER_COLUMNS = ("number", "processor", "key", "type", "position", "state", "attempts", "parked_at", "error", "reason")
_PARKED, _ALL = ("parked", "retry"), ("parked", "retry", "retried", "skipped")


async def letters_of(store: Storage, processor: str | None = None, *, everything: bool = False) -> Sequence[DeadLetter]:
    """Oldest first; `processor` may be the short name: `orders` for `projection:orders@1`. Without those of builds that
    were live once."""
    former = former_builds(await store.checkpoints())
    found = await store.letters(states=_ALL if everything else _PARKED, limit=2**31)
    found = [x for x in found if root_of(x.processor) not in former]
    return [x for x in found if processor in (None, x.processor, x.processor.partition(":")[2].partition("@")[0])]


async def letter_numbered(store: Storage, number: int) -> DeadLetter:
    """Raises NotParked."""
    for letter in await letters_of(store, everything=True):
        if letter.number == number:
            return letter
    raise NotParked(f"there is no dead letter {number}", do="`daicho dlq list` shows those there are", number=number)


def letter_row(letter: DeadLetter) -> dict[str, Any]:
    row: dict[str, Any] = plain(letter)
    del row["trace"]
    row["error"] = row["error"] or "behind another of its key"
    return row
