"""The process as it really ran: which event directly followed which, how often, and after how long.

A directly-follows graph, as process mining has it (van der Aalst, Process Mining, 2nd ed., section 7.2), from nothing
but history.
"""

from array import array
from collections import Counter
from collections.abc import AsyncIterator

import msgspec

from daicho.insight.happenings import Happening
from daicho.insight.spread import Spread, spread_of

__all__ = ["Edge", "ProcessMap", "Variant", "process_map"]

_LONGEST = 50
"""Steps of a case that are told as its variant."""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """One type of event that directly followed another within a case."""

    before: str
    after: str
    count: int
    took: Spread


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way through the process."""

    steps: tuple[str, ...]
    """The first 50."""
    cases: int
    example: str
    """The key of a case that went this way."""


class ProcessMap(msgspec.Struct, frozen=True, kw_only=True):
    cases: int
    events: int
    types: dict[str, int]
    """How often each type happened, the most frequent first."""
    starts: dict[str, int]
    """With which type so many cases began."""
    ends: dict[str, int]
    """Which type is the last of so many cases until now."""
    edges: list[Edge]
    """The most frequent first."""
    variants: list[Variant]
    """The most frequent first."""
    ways: int
    """How many variants there are in all."""


async def process_map(found: AsyncIterator[Happening], *, variants: int = 20) -> ProcessMap:
    """The map of what is told, in that order: cases are told apart by key. `variants`: so many ways are listed.

    Remembers 8 bytes for each event, and the way of each case.
    """
    numbers: dict[str, int] = {}
    ways: dict[str, array[int]] = {}
    last: dict[str, tuple[str, float]] = {}
    types, starts = Counter[str](), Counter[str]()
    took: dict[tuple[str, str], array[float]] = {}
    async for key, type_, at in found:
        moment, before = at.timestamp(), last.get(key)
        types[type_] += 1
        if before is None:
            starts[type_] += 1
            ways[key] = array("H")
        else:
            took.setdefault((before[0], type_), array("d")).append(moment - before[1])
        last[key] = (type_, moment)
        if len(way := ways[key]) < _LONGEST:
            way.append(numbers.setdefault(type_, len(numbers)))
    return ProcessMap(
        cases=len(last),
        events=types.total(),
        types=dict(types.most_common()),
        starts=dict(starts.most_common()),
        ends=dict(Counter(type_ for type_, _ in last.values()).most_common()),
        edges=sorted(
            (Edge(before=a, after=b, count=len(each), took=spread_of(each)) for (a, b), each in took.items()),
            key=lambda edge: (-edge.count, edge.before, edge.after),
        ),
        variants=_variants(ways, list(numbers), variants),
        ways=len({way.tobytes() for way in ways.values()}),
    )


def _variants(ways: "dict[str, array[int]]", names: list[str], most: int) -> list[Variant]:
    counted, example = Counter[bytes](), dict[bytes, str]()
    for key, way in ways.items():
        counted[way.tobytes()] += 1
        example.setdefault(way.tobytes(), key)
    return [
        Variant(steps=tuple(names[n] for n in array("H", way)), cases=cases, example=example[way])
        for way, cases in counted.most_common(most)
    ]
