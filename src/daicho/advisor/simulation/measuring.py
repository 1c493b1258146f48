"""Service times of a running system, from outside: one caller alone, and as many as it can take."""

import msgspec

from daicho.advisor.simulation.times import MEASURED_TIMES, Times
from daicho.core.errors import MeterUnavailable
from daicho.load.driving import drive
from daicho.load.figures import Figures
from daicho.load.plan import Plan, Ratio

__all__ = ["measure", "times_from"]

_READ_HOPS, _WRITE_HOPS = 6, 6


async def measure(url: str, plan: Plan, *, seconds: float = 3.0, services: int = 1) -> Times:
    """Drives load against a topology without an edge cache, three times for so long. `services`: how many services
    answer queries there. It writes: not for a system that is in use. Raises MeterUnavailable."""
    lone = await drive(url, plan, Ratio.of("20:1"), seconds=seconds, connections=1)
    reading = await drive(url, plan, Ratio.of("1000:1"), seconds=seconds, connections=16, fill=False)
    mixed = await drive(url, plan, Ratio.of("1:1"), seconds=seconds, connections=16, fill=False)
    return times_from(lone, reading, mixed, services=services, source=url)


def times_from(lone: Figures, reading: Figures, mixed: Figures, *, services: int, source: str) -> Times:
    """The most that the services answered tells how long they are busy with one query; what a mixture takes more, with
    one command; and what a lone caller waits beyond both is on the way. Raises MeterUnavailable."""
    for figures in (lone, reading, mixed):
        if figures.failed or not figures.reads:
            why = ", ".join(f"{count} times {name}" for name, count in figures.errors.items()) or "no read was answered"
            raise MeterUnavailable(f"{source} cannot be measured", why=why, do="see that it serves the plan's requests")
        if figures.hit_rate:
            do = "measure the topology behind the cache: 10:1, or the balancer's own address"
            raise MeterUnavailable(f"{source} is behind an edge cache", why=f"hits: {figures.hit_rate:.0%}", do=do)
    query = 1e6 * services / reading.reads_per_second
    left = max(0.0, 1 - mixed.reads_per_second * query / 1e6 / services)
    command = 1e6 * left / mixed.writes_per_second if mixed.writes_per_second and left else query
    known = MEASURED_TIMES
    read_way = (lone.read_p50 * 1000 - query - known.view - known.balancer) / _READ_HOPS
    write_way = lone.write_p50 * 1000 - command - known.balancer - max(0.0, read_way) * _WRITE_HOPS
    return msgspec.structs.replace(
        known,
        query=round(query, 1),
        command=round(command, 1),
        network=round(max(0.0, read_way), 1),
        commit=round(max(known.event, write_way - known.event), 1),
        source=source,
    )
