"""How long each part of a topology is busy with a read and with a write, and how near the simulation comes.

    python -m bench.simulated [--topology 10:1|100:1] [--query-services 2] [--seconds 5]

The processor time of each part is read from /proc before and after a load of reads, and one of reads and writes: so it
matters little who else is on the machine. With these times the topology is simulated at other rates, and compared.
"""

import argparse
import asyncio
import os
from collections import defaultdict
from pathlib import Path

import msgspec

from daicho.advisor.simulation import MEASURED_TIMES, Counts, Load, Times, predict
from daicho.load import SHOP, Figures
from daicho.load.driving import drive
from daicho.load.plan import Ratio
from daicho.topologies import shape
from daicho.topologies.local.up import Up

_TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds(root: int) -> float:
    """Of a process and all that it began."""
    children: dict[int, list[int]] = defaultdict(list)
    spent: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children[int(fields[1])].append(int(path.name))
        spent[int(path.name)] = (int(fields[11]) + int(fields[12])) / _TICK
    found, left = 0.0, [root]
    while left:
        process = left.pop()
        found += spent.get(process, 0.0)
        left += children[process]
    return found


def spent_by(up: Up) -> dict[str, float]:
    """Processor seconds of each kind of part, so far."""
    found: dict[str, float] = defaultdict(float)
    for server in up.servers.values():
        if server.process.pid:
            found[server.part.kind] += processor_seconds(server.process.pid)
    return found


async def resting(up: Up, seconds: float) -> dict[str, float]:
    """What each kind of part takes in a second while nobody asks."""
    before = spent_by(up)
    await asyncio.sleep(seconds)
    return {kind: (now - before[kind]) / seconds for kind, now in spent_by(up).items()}


async def loaded(up: Up, ratio: str, seconds: float, rate: float) -> tuple[Figures, dict[str, float]]:
    """What was answered, and the processor seconds of each kind of part."""
    before = spent_by(up)
    figures = await drive(
        up.url, SHOP, Ratio.of(ratio), seconds=seconds, connections=16, rate=rate, warm=0.0, fill=False
    )
    return figures, {kind: now - before[kind] for kind, now in spent_by(up).items()}


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--topology", choices=["10:1", "100:1"], default="10:1")
    options.add_argument("--query-services", type=int, default=2)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--rate", type=float, default=200.0)
    told = options.parse_args()
    topology = shape(told.topology, query_services=told.query_services, search=False)
    async with Up(topology) as up:
        await drive(up.url, SHOP, Ratio.of("1:1"), seconds=1, connections=4, rate=100)  # fills, and warms up
        idle = await resting(up, told.seconds)
        reads, reading = await loaded(up, "100000:1", told.seconds, told.rate)
        mixed, writing = await loaded(up, "1:1", told.seconds, told.rate)
        for spent, figures in ((reading, reads), (writing, mixed)):
            for kind in spent:
                spent[kind] = max(0.0, spent[kind] - idle[kind] * figures.seconds)
        print(f"load {os.getloadavg()[0]:.1f}; processor microseconds by part, and idle share of a processor:")
        per_read = {kind: seconds / max(1, reads.reads) for kind, seconds in reading.items()}
        per_write = {
            kind: max(0.0, seconds - per_read[kind] * mixed.reads) / max(1, mixed.writes)
            for kind, seconds in writing.items()
        }
        for kind in per_read:
            write, rests = per_write[kind] * 1e6, idle[kind]
            print(f"  {kind:10} a read {per_read[kind] * 1e6:7.0f}   a write {write:7.0f}   {rests:6.1%}")
        times = with_measured(per_read, per_write, reads.hit_rate)
        for ratio, rate in (("100:1", told.rate * 2), ("10:1", told.rate * 2), ("10:1", told.rate * 4)):
            figures, _ = await loaded(up, ratio, told.seconds, rate)
            compare(figures, times, told.topology, told.query_services, f"{ratio} at {rate:g}/s")


def with_measured(per_read: dict[str, float], per_write: dict[str, float], hits: float) -> Times:
    """Microseconds of the parts that were seen at work."""
    missed = max(0.02, 1 - hits)
    known = {
        "query": per_read["query"] / missed,
        "command": per_write["command"],
        "balancer": per_read["haproxy"] / missed,
        "view": (per_read.get("replica") or per_read.get("redis") or 0.0) / missed,
        "edge": per_read.get("varnish", MEASURED_TIMES.edge / 1e6),
    }
    measured = {name: round(seconds * 1e6, 1) for name, seconds in known.items() if seconds}
    return msgspec.structs.replace(MEASURED_TIMES, network=20, **measured)


def compare(figures: Figures, times: Times, topology: str, services: int, name: str) -> None:
    load = Load(reads=figures.reads_per_second * 60, writes=figures.writes_per_second * 60, keys=1000, zipf=0.8)
    counts = Counts(edges=1, query_services=services, replicas=services, view_stores=1, command_services=1)
    found = predict("100:1" if topology == "100:1" else "10:1", load, times=times, counts=counts)
    print(
        f"{name}: {figures.reads_per_second:.0f} reads/s, {figures.writes_per_second:.0f} writes/s; "
        f"measured and predicted ms: read p50 {figures.read_p50:.1f} {found.read_p50_ms:.1f}, "
        f"p99 {figures.read_p99:.1f} {found.read_p99_ms:.1f}, "
        f"write p50 {figures.write_p50:.1f} {found.write_p50_ms:.1f}, "
        f"p99 {figures.write_p99:.1f} {found.write_p99_ms:.1f}; "
        f"hits {figures.hit_rate:.1%} {found.hit_ratio or 0:.1%}; busiest {found.bottleneck} {found.utilisation:.0%}"
    )


if __name__ == "__main__":
    asyncio.run(main())
