"""Dead letters as rows."""

from typing import Any

from daicho.cli.opening import Look
from daicho.cli.output import plain
from daicho.ports.dead_letter_store import DeadLetter
from daicho.read.dead_letters import DeadLetters
from daicho.read.processor import Processor

__all__ = ["LETTER_COLUMNS", "letter_row", "letters_of"]

LETTER_COLUMNS = ("number", "processor", "key", "type", "position", "state", "attempts", "parked_at", "error", "reason")


def letters_of(look: Look) -> DeadLetters:
    """The letters of a store whose processors run elsewhere, or nowhere."""
    return DeadLetters(look.storage, _nobody)


def _nobody() -> list[Processor]:
    return []


def letter_row(letter: DeadLetter) -> dict[str, Any]:
    row: dict[str, Any] = plain(letter)
    del row["trace"]
    row["error"] = row["error"] or "behind another of its key"
    return row
