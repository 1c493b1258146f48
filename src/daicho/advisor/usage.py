"""What was counted: reads and writes of each entity, over how long."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from daicho.advisor.answers import Answers
from daicho.core.errors import NothingMeasured

__all__ = ["MOST_ENTITIES", "OTHER", "Tally", "Usage", "answers_of", "merged"]

MOST_ENTITIES = 200
"""Beyond so many they are counted together: whoever makes up addresses shall not fill the memory, or the page."""
MOST_KEYS = 100_000
OTHER = "other"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one source. A count of None: the source cannot tell it."""

    source: str
    reads: Mapping[str, int | None]
    writes: Mapping[str, int | None]
    seconds: float | None = None
    """How long was looked. None: not known, so there is a ratio and no rate."""
    peak: float = 1.0
    """How many times busier the busiest minute was than the average."""
    keys: Mapping[str, int] = {}
    """How many different things of it were read."""
    refused: int = 0
    """Requests that ended with an error, which are neither looked nor booked."""
    ignored: int = 0
    """What is no read and no write of an entity: pictures, probes, other methods."""
    unreadable: int = 0
    """Lines that could not be understood."""
    notes: tuple[str, ...] = ()

    @property
    def entities(self) -> list[str]:
        return sorted({*self.reads, *self.writes})


class Tally:
    """Counts one by one, in bounded memory."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.refused = self.ignored = self.unreadable = 0
        self._keys: dict[str, set[int]] = {}
        self._known: set[str] = set()
        self._minutes: Counter[int] = Counter()
        self._first: float | None = None
        self._last: float | None = None

    def count(self, entity: str, *, writes: bool, key: str = "", at: float | None = None) -> None:
        """One request. `at`: seconds since 1970."""
        name = self._bounded(entity)
        (self.writes if writes else self.reads)[name] += 1
        if not writes and key:
            keys = self._keys.setdefault(name, set())
            if len(keys) < MOST_KEYS:
                keys.add(hash(key))
        if at is not None:
            self._first = at if self._first is None else min(self._first, at)
            self._last = at if self._last is None else max(self._last, at)
            self._minutes[int(at // 60)] += 1

    def _bounded(self, entity: str) -> str:
        if entity in self._known:
            return entity
        if len(self._known) >= MOST_ENTITIES:
            return OTHER
        self._known.add(entity)
        return entity

    def usage(self, source: str) -> Usage:
        """Raises NothingMeasured."""
        if not self.reads and not self.writes:
            raise NothingMeasured(
                f"{source}: nothing could be counted",
                why=f"{self.unreadable} lines cannot be understood, {self.refused} requests ended with an error, "
                f"{self.ignored} are of no entity",
                do="name the format, or give rules that say which path belongs to which entity",
            )
        names = {*self.reads, *self.writes}
        seconds = None if self._first is None or self._last is None else self._last - self._first
        return Usage(
            source=source,
            reads={name: self.reads[name] for name in names},
            writes={name: self.writes[name] for name in names},
            seconds=seconds or None,
            peak=self._peak(seconds),
            keys={name: len(keys) for name, keys in self._keys.items()},
            refused=self.refused,
            ignored=self.ignored,
            unreadable=self.unreadable,
        )

    def _peak(self, seconds: float | None) -> float:
        if not seconds or seconds < 120:  # of less than two minutes none is the busiest
            return 1.0
        average = self._minutes.total() / (seconds / 60)
        return max(1.0, round(max(self._minutes.values()) / average, 3))


def answers_of(usages: Iterable[Usage], told: Mapping[str, Answers] | None = None) -> dict[str, Answers]:
    """What was counted, together with what was told of the same entities. What was told goes before."""
    found: dict[str, Answers] = dict(told or {})
    for usage in usages:
        for entity in usage.entities:
            found[entity] = merged(found.get(entity, Answers()), usage, entity)
    return found


def merged(answers: Answers, usage: Usage, entity: str) -> Answers:
    """A figure that the answers have stays, so sources that are asked first go before."""
    reads, writes = usage.reads.get(entity), usage.writes.get(entity)
    minutes = usage.seconds / 60 if usage.seconds else None
    more: dict[str, float | int | None] = {}
    if answers.reads is None and reads is not None and minutes:
        more["reads"] = reads / minutes
    if answers.writes is None and writes is not None and minutes:
        more["writes"] = writes / minutes
    if minutes is None and answers.reads_per_write is None and reads and writes:
        more["ratio"] = reads / writes
    if answers.keys is None and usage.keys.get(entity):
        more["keys"] = usage.keys[entity]
    if answers.peak == 1.0:
        more["peak"] = usage.peak
    return msgspec.structs.replace(answers, **more)
