"""How figures come about: the sides do the same work in turn, and medians of what they said are told."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, NamedTuple, Protocol, Self, TypeAlias

import msgspec


class Sample(NamedTuple):
    """What one round of one side came to."""

    value: float
    """Per second; or, of a workload that waits, the median in milliseconds."""
    p99: float = 0.0
    """Milliseconds; 0: not asked."""


Work: TypeAlias = Callable[[], Sample]
"""Does it once. What it takes to get there, a filled store for one, was made with it and is not measured."""


class Store(Protocol):
    """Where a bench has its databases."""

    title: str

    def fresh(self) -> str:
        """URL of a new, empty database."""
        ...

    def clear(self) -> None:
        """Removes the databases that were made so far."""
        ...

    def cpu(self) -> float:
        """Seconds of CPU time that its server has used; 0 where there is none."""
        ...

    def close(self) -> None: ...


class Pace(msgspec.Struct, frozen=True):
    """How much work a round is."""

    seconds: float = 1.0
    """Of what has no end."""
    scale: float = 1.0
    """Of what has."""

    def events(self, n: int) -> int:
        return max(100, int(n * self.scale))


class Result(msgspec.Struct, kw_only=True):
    """One line of the table."""

    workload: str
    unit: str
    must: float | None
    stretch: float | None
    rounds: dict[str, list[Sample]]

    def median(self, side: str) -> float:
        return statistics.median(sample.value for sample in self.rounds[side])

    def p99(self, side: str) -> float:
        return statistics.median(sample.p99 for sample in self.rounds[side])

    def ratios(self, side: str, to: str) -> list[float]:
        """Of each round: above 1, `side` is the faster one of what is counted per second, the slower one of waits."""
        pairs = zip(self.rounds[side], self.rounds[to], strict=True)
        return [one.value / other.value for one, other in pairs]

    def is_met(self, ratio: float) -> bool:
        return self.must is None or (ratio <= self.must if self.unit == "ms" else ratio >= self.must)


class Watch:
    """Around what is measured, and around nothing else."""

    around: ClassVar[Callable[[], AbstractContextManager[object]]] = nullcontext
    """A profiler comes in here."""

    def __enter__(self) -> Self:
        gc.collect()
        self._inside = Watch.around()
        self._inside.__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._end = time.perf_counter()
        self._inside.__exit__(None, None, None)

    @property
    def seconds(self) -> float:
        return self._end - self._start

    def rate(self, n: int) -> Sample:
        return Sample(n / self.seconds)


def timed(n: int, work: Callable[[], object]) -> Sample:
    """The rate of work that does `n` of something."""
    with Watch() as watch:
        work()
    return watch.rate(n)


def waits(seconds: Sequence[float]) -> Sample:
    ordered = sorted(seconds)
    return Sample(statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3)


def rounds(works: Mapping[str, Work], count: int) -> dict[str, list[Sample]]:
    """One after the other, each time beginning with another one, so that drift hits all."""
    names = list(works)
    found: dict[str, list[Sample]] = {name: [] for name in names}
    for n in range(count):
        turn = n % len(names)
        for name in (*names[turn:], *names[:turn]):
            gc.collect()
            found[name].append(works[name]())
    return found
