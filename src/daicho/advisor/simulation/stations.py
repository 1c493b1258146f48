"""Queues, simulated customer by customer.

Each station stands for one of its instances: arrivals are a share of all, Poisson, or every n-th of a Poisson stream if
a balancer deals them out in turn. So it takes no longer to simulate a thousand machines than one.
"""

import heapq
import math
from bisect import bisect
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import NamedTuple

__all__ = ["Mixture", "Served", "Service", "arrivals", "gathering", "least", "queue"]


class Service(NamedTuple):
    """How long one request keeps a server busy: gamma distributed."""

    seconds: float
    variation: float = 1.0
    """Standard deviation over mean: 0 always the same, 1 exponential."""

    def sampler(self, chance: Random) -> Callable[[], float]:
        mean, variation = self
        if not variation or not mean:
            return lambda: mean
        if variation == 1:
            return lambda: -math.log(1.0 - chance.random()) * mean
        shape = variation**-2
        return lambda: chance.gammavariate(shape, mean / shape)


class Mixture(NamedTuple):
    """Several kinds of request at one station."""

    kinds: tuple[tuple[float, Service], ...]
    """Of each kind its share, and its service. Shares are 1 together."""

    @property
    def seconds(self) -> float:
        return sum(share * service.seconds for share, service in self.kinds)

    def sampler(self, chance: Random) -> Callable[[], float]:
        samplers = [service.sampler(chance) for _, service in self.kinds]
        bounds = list(accumulate(share for share, _ in self.kinds))
        return lambda: samplers[min(bisect(bounds, chance.random()), len(samplers) - 1)]()


class Served(NamedTuple):
    """What became of the customers."""

    waits: list[float]
    """Seconds from coming to being served, in order of coming. Empty where more come than can be served."""
    stays: list[float]
    """Seconds from coming to going."""
    utilisation: float
    """Of each server, as offered; 1 and above: never stable."""
    batch: float = 1.0
    """How many were served at once, on average."""


_WARM_UP = 0.1
"""Share of customers who come to an emptier place than it will be, and do not count."""


def arrivals(rate: float, chance: Random, *, dealt: int = 1) -> Callable[[], float]:
    """Seconds to the next arrival. `dealt`: how many instances a balancer deals a Poisson stream out to, in turn."""
    if dealt == 1:
        return lambda: -math.log(1.0 - chance.random()) / rate
    return lambda: chance.gammavariate(dealt, 1 / (rate * dealt))


def queue(
    rate: float, service: Service | Mixture, servers: int, count: int, chance: Random, *, dealt: int = 1
) -> Served:
    """First come, first served, by `servers` alike (Kiefer and Wolfowitz). `rate`: arrivals a second at this one."""
    utilisation = rate * service.seconds / servers
    if rate <= 0:
        return Served([0.0], [service.seconds], 0.0)
    if utilisation >= 1:
        return Served([], [], utilisation)
    coming, serving = arrivals(rate, chance, dealt=dealt), service.sampler(chance)
    free = [0.0] * servers
    now = 0.0
    waits: list[float] = []
    stays: list[float] = []
    for _ in range(count):
        now += coming()
        start = max(now, free[0])
        end = start + serving()
        heapq.heapreplace(free, end)
        waits.append(start - now)
        stays.append(end - now)
    warm = int(count * _WARM_UP)
    return Served(waits[warm:], stays[warm:], utilisation)


_APART = 16
"""Up to so many instances are simulated one by one; more are as good as one queue for all."""


def least(rate: float, service: Service | Mixture, instances: int, count: int, chance: Random) -> Served:
    """`instances` that do one thing at a time, behind a balancer that sends each to the one with the fewest requests
    (join the shortest queue). `rate`: arrivals a second at all of them."""
    if instances == 1 or instances > _APART or rate <= 0 or rate * service.seconds >= instances:
        return queue(rate, service, instances, count, chance)
    coming, serving = arrivals(rate, chance), service.sampler(chance)
    ends = [deque[float]() for _ in range(instances)]  # of those who are there, in order
    now = 0.0
    waits: list[float] = []
    stays: list[float] = []
    for turn in range(count):
        now += coming()
        for line in ends:
            while line and line[0] <= now:
                line.popleft()
        # of those that have equally few, the next in turn
        chosen = min((ends[(turn + n) % instances] for n in range(instances)), key=len)
        start = chosen[-1] if chosen else now
        end = start + serving()
        chosen.append(end)
        waits.append(start - now)
        stays.append(end - now)
    warm = int(count * _WARM_UP)
    return Served(waits[warm:], stays[warm:], rate * service.seconds / instances)


def gathering(rate: float, fixed: Service, each: float, count: int, chance: Random, *, most: int = 1_000_000) -> Served:
    """One server that takes all who wait at once, as group commit, replication and projections do: a turn lasts
    `fixed`, and `each` more for everyone in it. At most `most` in a turn.

    The utilisation is that of the part which grows with the load: as long as it is below 1 the place is stable, for
    turns grow longer and fewer.
    """
    utilisation = rate * (each + fixed.seconds / most)
    if rate <= 0:
        return Served([0.0], [fixed.seconds + each], 0.0)
    if utilisation >= 1:
        return Served([], [], utilisation)
    coming, lasting = arrivals(rate, chance), fixed.sampler(chance)
    waits: list[float] = []
    stays: list[float] = []
    turns = 0
    now = next_one = coming()
    while len(stays) < count:
        taken: list[float] = []
        now = max(now, next_one)
        while next_one <= now and len(taken) < most:
            taken.append(next_one)
            next_one += coming()
        waits += [now - came for came in taken]
        now += lasting() + each * len(taken)
        turns += 1
        stays += [now - came for came in taken]
    warm = int(count * _WARM_UP)
    return Served(waits[warm:], stays[warm:], utilisation, len(stays) / turns)
