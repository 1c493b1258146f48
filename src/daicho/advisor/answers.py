"""What is known of an entity: how often it is read and written, and the answers to the questions."""

from typing import Literal, TypeAlias

import msgspec

from daicho.core.errors import BadAnswers

__all__ = ["AUDITS", "CRITERIA", "DOMAINS", "PERFORMANCES", "SCALABILITIES", "TOLERANCES", "USE_CASES", "VIEWS"]
__all__ += ["Answers", "UseCase"]

UseCase: TypeAlias = Literal["financial", "orders", "inventory", "authentication", "master data"]

VIEWS = ("several", "one")
SCALABILITIES = ("separate", "uniform")
PERFORMANCES = ("under 100 ms", "ordinary")
TOLERANCES = ("eventual", "immediate")
DOMAINS = ("complex", "simple")
AUDITS = ("history", "current state")
USE_CASES: tuple[UseCase, ...] = ("financial", "orders", "inventory", "authentication", "master data")

CRITERIA = {
    "views": VIEWS,
    "scalability": SCALABILITIES,
    "performance": PERFORMANCES,
    "tolerance": TOLERANCES,
    "domain": DOMAINS,
    "audit": AUDITS,
}
"""Six of the seven criteria, and what can be answered: first what speaks for CQRS, then what does not. The seventh is
the ratio of reads to writes."""


class Answers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entity. What is not known stays None, and is left out of the judgement."""

    reads: float | None = None
    """Per minute."""
    writes: float | None = None
    """Per minute."""
    ratio: float | None = None
    """Reads per write, if it is known without the two."""
    views: Literal["several", "one"] | int | None = None
    scalability: Literal["separate", "uniform"] | None = None
    performance: Literal["under 100 ms", "ordinary"] | int | None = None
    """As a number: milliseconds in which reads must answer."""
    tolerance: Literal["eventual", "immediate"] | None = None
    domain: Literal["complex", "simple"] | None = None
    audit: Literal["history", "current state"] | None = None
    use_case: UseCase | None = None
    peak: float = 1.0
    """How many times busier the busiest minute is than `reads` and `writes` say. Instances are counted for that one."""
    keys: int | None = None
    """How many different things are read: products, orders."""

    def __post_init__(self) -> None:
        for name in ("reads", "writes", "ratio", "keys", "peak"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise BadAnswers(f"`{name}` is {value}", do="give 0 or more", field=name)

    @property
    def reads_per_write(self) -> float | None:
        """None: not known. Infinite: it is read and never written."""
        if self.ratio is not None:
            return self.ratio
        if self.reads is None or self.writes is None or (not self.reads and not self.writes):
            return None
        return self.reads / self.writes if self.writes else float("inf")
