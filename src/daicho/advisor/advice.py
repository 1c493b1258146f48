"""What the advisor answers, as data: what the command line prints and the console draws."""

from typing import Literal

import msgspec

from daicho.advisor.answers import Answers, UseCase
from daicho.advisor.rules import Approach, Band, Events, Topology
from daicho.advisor.sizing import Sizing
from daicho.advisor.words import Language

__all__ = ["Advice", "EntityAdvice", "Reason"]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why: one criterion, the figure that it was judged by, and what it speaks for."""

    criterion: str
    """In the words of the language: `read/write ratio`, `views`, `audit`, ..."""
    figure: str
    """`100:1`, `several`, `50 ms`, ... Empty where nothing is known."""
    speaks_for: Literal["CQRS", "no CQRS", "events", "no events", ""]
    """Not translated."""
    text: str


class EntityAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """For one entity."""

    entity: str
    answers: Answers
    """What was known, with what was guessed."""
    ratio: float | None
    """Reads per write. None: not known, or never written."""
    band: Band
    """Which row of the Look-to-Book rule; `below` and `between` are its gaps."""
    approach: Approach
    approach_name: str
    """In the words of the language: `full CQRS`, ..."""
    must: bool
    """The ratio leaves no choice: 100:1 and above."""
    topology: Topology
    """`daicho up --topology` takes it."""
    event_sourcing: Events
    event_sourcing_name: str
    use_case: UseCase | None
    use_case_guessed: bool
    do: tuple[str, ...]
    """What to write in the code."""
    reasons: tuple[Reason, ...]
    sizing: Sizing | None
    """None if reads and writes a minute are not known."""
    would_change: tuple[str, ...]
    """What would change this answer, and to what."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """For all entities, and the whole that they make together."""

    entities: tuple[EntityAdvice, ...]
    reads: float | None
    """Per minute, of all together."""
    writes: float | None
    ratio: float | None
    approach: Approach
    """Of the whole: what its ratio asks for, and no less than an entity with a tenth of all reads."""
    approach_name: str
    must: bool
    topology: Topology
    topology_name: str
    sizing: Sizing | None
    start_with: Topology | None
    """The plainest topology that carries the present load. None if that is not known."""
    notes: tuple[str, ...]
    """What was assumed."""
    source: str
    """Where the figures came from."""
    language: Language
