"""How many get how far: keys that went through types of events in an order."""

from array import array
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import msgspec

from daicho.core.errors import InvalidMessage
from daicho.insight.happenings import Happening
from daicho.insight.spread import Spread, spread_of

__all__ = ["Funnel", "FunnelStep", "funnel"]

_EXAMPLES = 5


class FunnelStep(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    reached: int
    """Keys that came so far."""
    of_first: float
    """Share of those that began; 0 if none did."""
    of_previous: float
    took: Spread | None
    """Seconds since the step before; None for the first, and where none came."""
    stopped: int
    """Keys that came so far and no further, until now."""
    examples: list[str]
    """Some of those, the latest first; none for the last step."""


class Funnel(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    steps: list[FunnelStep]
    took: Spread | None
    """Seconds from the first step to the last."""


class _Way:
    """How far one key has come."""

    __slots__ = ("began", "far", "since")

    def __init__(self, at: datetime) -> None:
        self.far, self.began, self.since = 1, at, at


async def funnel(
    found: AsyncIterator[Happening], steps: Sequence[str], *, by: str = "stream", within: timedelta | None = None
) -> Funnel:
    """Each key is followed from the first time that the first step happens to it: to the first `steps[1]` after that,
    the first `steps[2]` after that, and so on; what happens in between does not matter. `within`: later than this after
    the beginning, nothing counts. Raises InvalidMessage for less than two steps.
    """
    if len(steps) < 2:
        raise InvalidMessage("a funnel has two steps or more", do="name two types of events, in order", path="steps")
    ways: dict[str, _Way] = {}
    took: list[array[float]] = [array("d") for _ in steps]
    whole = array("d")
    async for key, type_, at in found:
        way = ways.get(key)
        if way is None:
            if type_ == steps[0]:
                ways[key] = _Way(at)
            continue
        if way.far == len(steps) or type_ != steps[way.far] or (within is not None and at - way.began > within):
            continue
        took[way.far].append((at - way.since).total_seconds())
        way.far, way.since = way.far + 1, at
        if way.far == len(steps):
            whole.append((at - way.began).total_seconds())
    return Funnel(by=by, steps=_steps(steps, ways, took), took=spread_of(whole) if whole else None)


def _steps(names: Sequence[str], ways: dict[str, _Way], took: "list[array[float]]") -> list[FunnelStep]:
    ended = Counter(way.far for way in ways.values())
    reached = [sum(count for far, count in ended.items() if far > n) for n in range(len(names))]
    examples: dict[int, list[str]] = {n: [] for n in range(1, len(names))}
    for key, way in reversed(ways.items()):
        if way.far in examples and len(examples[way.far]) < _EXAMPLES:
            examples[way.far].append(key)
    return [
        FunnelStep(
            type=name,
            reached=reached[n],
            of_first=reached[n] / reached[0] if reached[0] else 0.0,
            of_previous=reached[n] / reached[n - 1] if n and reached[n - 1] else float(bool(reached[0] and not n)),
            took=spread_of(took[n]) if took[n] else None,
            stopped=ended[n + 1] if n + 1 < len(names) else 0,
            examples=examples.get(n + 1, []),
        )
        for n, name in enumerate(names)
    ]
