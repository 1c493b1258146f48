"""A dead letter tried without any effect: what a retry would do, shown instead of done."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from daicho.core.messages import Command, Event, Row
from daicho.ports.dead_letter_store import DeadLetter
from daicho.read.join_projector import JoinProjector
from daicho.read.projector import Projector
from daicho.read.set_projector import SetProjector

__all__ = ["CommandTrial", "RowChange", "Shown", "Trial", "TrialStep", "told", "try_acceptance", "try_rows"]

Shown: TypeAlias = Literal["rows", "commands", "acceptance"]


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """One row before and after an event; None: there is no such row."""

    key: str
    before: Row | None
    after: Row | None

    @property
    def fields(self) -> Mapping[str, tuple[Any, Any]]:
        """What differs, by field: before and after."""
        present = self.before if self.after is None else self.after
        names = () if present is None else present.__struct_fields__
        pairs = {name: (getattr(self.before, name, None), getattr(self.after, name, None)) for name in names}
        whole = self.before is None or self.after is None
        return {name: pair for name, pair in pairs.items() if whole or pair[0] != pair[1]}


class CommandTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A command that would be sent, and what would come of it."""

    command: Command
    stream: str = ""
    events: Sequence[Event] = ()
    """What its aggregate would record."""
    refused: str | None = None
    """Why the business would refuse it. That is an answer: the letter goes through."""
    duplicate: bool = False
    """Whether it was handled before, and would not be again."""
    error: str | None = None


class TrialStep(msgspec.Struct, frozen=True, kw_only=True):
    """One letter. With an error, the last one: those behind it would not be tried."""

    number: int
    type: str
    position: int
    event: Event | None = None
    rows: Sequence[RowChange] = ()
    commands: Sequence[CommandTrial] = ()
    error: str | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What a retry would do, of one key, in order."""

    processor: str
    key: str
    shows: Shown
    """`rows` before and after; `commands` and what would come of them; or, of a join and of a projection that is
    SQL, only `acceptance`: whether they would be taken."""
    steps: Sequence[TrialStep]
    error: str | None
    """Why it would stay parked; None: all of it would go through."""


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


async def try_rows(projector: Projector, letters: Sequence[DeadLetter]) -> Trial:
    """`projector`: one of its own, so that the running one is left alone."""
    done, failure = await projector.refold(letters)
    steps = [
        TrialStep(
            number=each.letter.number,
            type=each.letter.type,
            position=each.letter.position,
            event=each.record.event,
            rows=[RowChange(key=key, before=row, after=each.after[key]) for key, row in each.before.items()],
        )
        for each in done
    ]
    return trial_of(letters, "rows", steps, failure)


async def try_acceptance(projector: SetProjector | JoinProjector, letters: Sequence[DeadLetter]) -> Trial:
    done, refusal = await projector.rehearse(letters)
    steps = [TrialStep(number=x.number, type=x.type, position=x.position) for x in letters[:done]]
    return trial_of(letters, "acceptance", steps, refusal)


def trial_of(
    letters: Sequence[DeadLetter], shows: Shown, steps: Sequence[TrialStep], failure: Exception | None
) -> Trial:
    """`steps` are those that went through; `failure` is of the next letter."""
    error = None if failure is None else told(failure)
    if error is not None:
        last = letters[len(steps)]
        steps = [*steps, TrialStep(number=last.number, type=last.type, position=last.position, error=error)]
    return Trial(processor=letters[0].processor, key=letters[0].key, shows=shows, steps=steps, error=error)
