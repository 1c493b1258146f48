"""Whole topologies under load: reads and writes a second, how long they take, and whether an answer was ever too old.

python -m bench topologies [--quick]

Each is started as `daicho up` starts it, filled, and driven by `daicho bench`'s callers from a process of their own:
first as fast as answers come, at the ratio that the topology is for; then the shop of SPEC section 3, 100,000 looks and
1,000 purchases a minute. All of it shares the machine with the load, so reads/s of several query services tell of more
machines only as far as there are cores for them.
"""

import asyncio
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measure import Pace
from daicho.core.errors import DaichoError
from daicho.load import SHOP, Figures, Plan
from daicho.load.driving import drive
from daicho.load.plan import Ratio
from daicho.topologies import Topology, shape
from daicho.topologies.local import Up
from daicho.topologies.local.watching import cached

__all__ = ["topologies"]

LOOKS, PURCHASES = 100_000, 1_000
"""A minute."""
LIMIT = 100.0
"""Milliseconds that 99 of 100 reads must be under."""


def topologies(pace: Pace, console: Console) -> list[dict[str, Any]]:
    """Measures all of them, and prints the table."""
    table = Table(title="Topologies, all of it on this machine", title_justify="left")
    for column in (
        *("topology", "query services", "load", "reads/s", "p50 ms", "p99 ms", "writes/s", "p99 ms"),
        *("with token", "stale", "failed", "from the edge", "keys purged"),
    ):
        table.add_column(column, justify="left" if column in ("topology", "load") else "right")
    found: list[dict[str, Any]] = []
    for topology in _shapes():
        try:
            for load, figures, purged in asyncio.run(_measured(topology, max(2.0, 8 * pace.seconds))):
                queries = len(topology.of("query")) or len(topology.of("all"))
                table.add_row(*_row(topology.ratio, queries, load, figures, purged))
                found.append(
                    {"topology": topology.ratio, "query_services": queries, "load": load, "keys_purged": purged}
                    | figures.told()
                )
                if figures.errors:
                    console.print(f"{topology.ratio}, {queries} query services, {load}: failed {figures.errors}")
        except DaichoError as error:
            console.print(f"without {topology.ratio}: {error.what}; {error.why or error.do}")
    console.print(table)
    console.print(f"Reads are to be under {LIMIT:.0f} ms at the 99th of 100, and none may be stale.")
    return found


def _shapes() -> list[Topology]:
    many = [shape("10:1", query_services=count) for count in (1, 2, 3)]
    edged = [shape("100:1", query_services=count, search=False) for count in (1, 2)]
    return [shape("1:1", app_servers=2), *many, *edged]


async def _measured(topology: Topology, seconds: float) -> list[tuple[str, Figures, int | None]]:
    found: list[tuple[str, Figures, int | None]] = []
    plan = Plan(reads=SHOP.reads, writes=SHOP.writes, counts=SHOP.counts, keys=300)
    async with Up(topology) as up:
        for load, ratio, rate in (
            (f"{topology.ratio}, as fast as it goes", topology.ratio, None),
            ("the shop of the SPEC", f"{LOOKS}:{PURCHASES}", (LOOKS + PURCHASES) / 60),
        ):
            figures = await drive(
                up.url, plan, Ratio.of(ratio), seconds=seconds, connections=16 if rate is None else 64, rate=rate,
                fill=not found,
            )  # fmt: skip
            edge = await cached(up)
            found.append((load, figures, edge.purged if edge else None))
    return found


def _row(ratio: str, queries: int, load: str, figures: Figures, purged: int | None) -> list[str]:
    good = figures.read_p99 < LIMIT
    return [
        ratio,
        str(queries),
        load,
        f"{figures.reads_per_second:,.0f}",
        f"{figures.read_p50:.1f}",
        f"[{'green' if good else 'yellow'}]{figures.read_p99:.1f}[/]",
        f"{figures.writes_per_second:,.0f}",
        f"{figures.write_p99:.1f}",
        f"{figures.with_token:,}",
        str(figures.stale),
        str(figures.failed),
        f"{figures.hit_rate:.1%}" if purged is not None else "",
        "" if purged is None else f"{purged:,}",
    ]
