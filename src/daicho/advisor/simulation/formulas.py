"""What is known exactly of queues, to hold the simulation against.

Kleinrock, *Queueing Systems*, volume 1, 1975: M/M/1 and M/M/c in chapter 3, Pollaczek and Khinchine's formula in 5.
Rates are per second, times in seconds.
"""

import math

__all__ = ["erlang_c", "mg1_wait", "mm1_percentile", "mmc_percentile_of_wait", "mmc_wait"]


def mg1_wait(rate: float, service: float, variation: float) -> float:
    """Mean wait in M/G/1, by Pollaczek and Khinchine; `variation` is the service time's coefficient of variation: 0 is
    M/D/1, 1 is M/M/1."""
    busy = rate * service
    return busy * service * (1 + variation**2) / (2 * (1 - busy))


def mm1_percentile(rate: float, service: float, share: float) -> float:
    """The time in the system, wait and service, that is not exceeded by a share of all; it is exponential."""
    return -math.log(1 - share) / (1 / service - rate)


def erlang_c(rate: float, service: float, servers: int) -> float:
    """The probability of having to wait in M/M/c."""
    offered = rate * service
    blocked = 1.0  # Erlang B, by recursion over the servers
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    busy = offered / servers
    return blocked / (1 - busy * (1 - blocked))


def mmc_wait(rate: float, service: float, servers: int) -> float:
    """Mean wait in M/M/c."""
    return erlang_c(rate, service, servers) / (servers / service - rate)


def mmc_percentile_of_wait(rate: float, service: float, servers: int, share: float) -> float:
    """The wait that is not exceeded by a share of all: 0 for all who need not wait, exponential for the others."""
    waiting = erlang_c(rate, service, servers)
    return max(0.0, math.log(waiting / (1 - share)) / (servers / service - rate))
