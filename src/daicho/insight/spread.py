"""How long something took, over many cases."""

from array import array
from collections.abc import Sequence
from itertools import pairwise

import msgspec

__all__ = ["Spread", "buckets", "spread_of"]

_BOUNDS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0, 2592000.0, 31536000.0)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. They are below 0 where events were recorded after others that they had come before."""

    count: int
    median: float
    p90: float
    """Nine of ten took no longer."""
    least: float
    most: float
    total: float


def spread_of(seconds: "Sequence[float] | array[float]") -> Spread:
    """Raises ValueError for none."""
    if not seconds:
        raise ValueError("nothing was measured")
    ordered = sorted(seconds)
    middle = len(ordered) // 2
    return Spread(
        count=len(ordered),
        median=ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2,
        p90=ordered[-(-9 * len(ordered) // 10) - 1],
        least=ordered[0],
        most=ordered[-1],
        total=sum(ordered),
    )


def buckets(seconds: "Sequence[float] | array[float]") -> list[tuple[float, float, int]]:
    """How many took how long: from (inclusive), to (exclusive), count; each bucket much longer than the one before.
    Empty ones at either end are left out."""
    edges = (float("-inf"), *_BOUNDS, float("inf"))
    found = [(low, high, 0) for low, high in pairwise(edges)]
    for each in seconds:
        n = sum(each >= bound for bound in _BOUNDS)
        low, high, count = found[n]
        found[n] = low, high, count + 1
    while found and not found[0][2]:
        del found[0]
    while found and not found[-1][2]:
        del found[-1]
    return found
