"""How many reads an edge cache answers, from how often each thing is read and changed.

A thing that is read `reads` times and changed `writes` times a second, by Poisson, is fetched, and then kept until it
is purged or its time is over: for `min(ttl, Exp(writes))`, on average `(1 - exp(-writes * ttl)) / writes` seconds. Each
cycle is one miss and the hits that fall into that time.
"""

import math
from collections.abc import Iterator

__all__ = ["groups_of", "hit_ratio", "hit_ratio_of_one", "ttl_for"]

_ALONE = 100
"""So many of the most read things are counted one by one, the others in groups of like ones."""
_TIMES = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)


def hit_ratio_of_one(reads: float, writes: float, ttl: float, *, purged: bool = True) -> float:
    """Of one thing. Without purges it is kept for `ttl` whatever happens to it."""
    if reads <= 0 or ttl <= 0:
        return 0.0
    kept = ttl if not purged or writes <= 0 else -math.expm1(-writes * ttl) / writes
    hits = reads * kept
    return 1.0 if math.isinf(hits) else hits / (1 + hits)


def hit_ratio(reads: float, writes: float, ttl: float, *, keys: int, zipf: float, purged: bool = True) -> float:
    """Of all: `reads` and `writes` a second over `keys` things. What is read often is changed often, too."""
    return sum(
        share * count * hit_ratio_of_one(reads * share, writes * share, ttl, purged=purged)
        for share, count in groups_of(keys, zipf)
    )


def groups_of(keys: int, zipf: float) -> list[tuple[float, int]]:
    """`(share of all reads of one thing, how many such things)`, shares times counts being 1 together."""
    groups = list(_ranks(keys))
    weights = [(_weight(first, count, zipf) / count, count) for first, count in groups]
    whole = sum(weight * count for weight, count in weights)
    return [(weight / whole, count) for weight, count in weights]


def _ranks(keys: int) -> Iterator[tuple[int, int]]:
    """`(first rank, how many)`: the first ones alone, then groups that grow by a fifth."""
    rank = 1
    while rank <= keys:
        count = 1 if rank <= _ALONE else min(rank // 5, keys - rank + 1)
        yield rank, count
        rank += count


def _weight(first: int, count: int, zipf: float) -> float:
    """Sum of rank^-zipf, as the integral from half a rank before to half a rank behind."""
    if count == 1:
        return math.pow(first, -zipf)
    low, high = first - 0.5, first + count - 0.5
    return math.log(high / low) if zipf == 1 else (high ** (1 - zipf) - low ** (1 - zipf)) / (1 - zipf)


def ttl_for(reads: float, writes: float, *, keys: int, zipf: float, most: float = 86400) -> float:
    """The shortest time, of those that people use, that leaves at most a tenth more misses than to keep things until
    they are purged."""
    misses = 1 - hit_ratio(reads, writes, most, keys=keys, zipf=zipf)
    for ttl in _TIMES:
        if ttl >= most or 1 - hit_ratio(reads, writes, ttl, keys=keys, zipf=zipf) <= misses * 1.1:
            return float(min(ttl, most))
    return most
