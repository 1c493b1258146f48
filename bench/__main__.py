"""`python -m bench [--rounds N] [--quick]`: prints the table, and writes it to build/bench.json."""

import argparse
import asyncio
import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apsw
from rich.console import Console
from rich.table import Table

from bench import ours, raw
from bench.model import Order
from daicho import App

Work = Callable[[], float]
"""Does it once and returns a rate per second."""


def rate(n: int, work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return n / (time.perf_counter() - start)


class Bench:
    def __init__(self, folder: Path, scale: float) -> None:
        self.folder, self.scale, self._next = folder, scale, 0

    def path(self) -> Path:
        self._next += 1
        return self.folder / f"{self._next}.db"

    def size(self, n: int) -> int:
        return max(100, int(n * self.scale))

    # each returns (raw, ours)

    def append_single(self) -> tuple[Work, Work]:
        n = self.size(2000)
        return (
            lambda: raw.append_single(self.path(), n),
            lambda: asyncio.run(ours.append_single(self.path(), n)),
        )

    def append_concurrent(self) -> tuple[Work, Work]:
        n = self.size(4000)
        m = n * 5
        return (
            lambda: raw.append_threads(self.path(), n, 64),
            lambda: asyncio.run(ours.append_concurrent(self.path(), m, 64)),
        )

    def command_single(self, hot: int) -> tuple[Work, Work]:
        n, streams = self.size(1500), 100

        def by_hand() -> float:
            path = self.path()
            connection = raw.create(path)
            raw.fill(connection, streams * 10, streams)
            return rate(n, lambda: raw.cycle(path, connection, n, streams))

        def through() -> float:
            path = self.path()
            asyncio.run(ours.fill(path, streams * 10, streams))
            return asyncio.run(ours.cycle(path, n, streams, 1, hot))

        return by_hand, through

    def command_concurrent(self) -> tuple[Work, Work]:
        n, streams = self.size(10_000), 1000

        def by_hand() -> float:
            path, few = self.path(), self.size(1500)
            connection = raw.create(path)
            raw.fill(connection, streams * 10, streams)
            return rate(few, lambda: raw.cycle(path, connection, few, streams))

        def through() -> float:
            path = self.path()
            asyncio.run(ours.fill(path, streams * 10, streams))
            return asyncio.run(ours.cycle(path, n, streams, 64, 10_000))

        return by_hand, through

    def rehydrate(self) -> tuple[Work, Work]:
        n = self.size(10_000)
        hand, through = self.path(), self.path()
        connection = raw.create(hand)
        raw.fill(connection, n, 1)
        asyncio.run(ours.fill(through, n, 1))
        app = App(Order, store=ours.url(through))

        def load() -> float:
            async def go() -> float:
                async with app:
                    gc.collect()
                    start = time.perf_counter()
                    order = await app.load(Order, "0", at=n)
                    took = time.perf_counter() - start
                    assert order.lines == n
                    return n / took

            return asyncio.run(go())

        return lambda: rate(n, lambda: raw.rehydrate(connection, "order-0")), load

    def catch_up(self) -> tuple[Work, Work]:
        n = self.size(100_000)
        through = self.path()
        asyncio.run(ours.fill(through, n, 1000))
        app = App(Order, store=ours.url(through))

        def read() -> float:
            async def go() -> float:
                async with app:
                    gc.collect()
                    start, count = time.perf_counter(), 0
                    async for _ in app.events():
                        count += 1
                    assert count == n
                    return n / (time.perf_counter() - start)

            return asyncio.run(go())

        return lambda: rate(n, lambda: raw.catch_up(through)), read

    def project(self) -> tuple[Work, Work]:
        n = self.size(100_000)
        hand, through = self.path(), self.path()
        connection = raw.create(hand)
        raw.fill(connection, n, 1000)
        asyncio.run(ours.fill(through, n, 1000))

        def rebuild() -> float:
            async def go() -> float:
                async with ours.app(through, projecting=True) as app:
                    await app.settle()
                    gc.collect()
                    start = time.perf_counter()
                    async for _ in app.rebuild("customers"):
                        pass
                    return n / (time.perf_counter() - start)

            return asyncio.run(go())

        def by_hand() -> float:
            connection.execute("delete from customers")
            return rate(n, lambda: raw.project(connection))

        return by_hand, rebuild


ROWS: list[tuple[str, str, str, Callable[[Bench], tuple[Work, Work]]]] = [
    ("append, 1 caller", "0.75", "0.85", lambda b: b.append_single()),
    ("append, 64 callers (raw: 64 threads)", "2.5", "5", lambda b: b.append_concurrent()),
    ("command, 1 caller, state from disk", "", "", lambda b: b.command_single(0)),
    ("command, 1 caller, hot state", "", "", lambda b: b.command_single(10_000)),
    ("command, 64 callers (raw: 1 caller)", "1.1", "1.4", lambda b: b.command_concurrent()),
    ("rehydrate 10,000 events", "0.55", "0.8", lambda b: b.rehydrate()),
    ("catch-up read, typed, with envelope", "1.0", "1.3", lambda b: b.catch_up()),
    ("projection rebuild, exactly once", "0.9", "1.2", lambda b: b.project()),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    options.add_argument("--only", default="", help="rows whose name holds this text")
    chosen = options.parse_args()
    console = Console()
    table = Table(title="Daicho on SQLite (WAL, synchronous=FULL) beside raw apsw + msgspec", title_justify="left")
    for name in ("workload", "raw /s", "Daicho /s", "ratio", "min-max", "must", "stretch"):
        table.add_column(name, justify="left" if name == "workload" else "right")
    found = []
    with tempfile.TemporaryDirectory(prefix="daicho-bench-") as folder:
        bench = Bench(Path(folder), 0.1 if chosen.quick else 1.0)
        for name, must, stretch, prepare in ROWS:
            if chosen.only not in name:
                continue
            by_hand, through = prepare(bench)
            pairs = []
            for n in range(chosen.rounds):
                # one after the other, in changing order, so that drift hits both
                pair = (by_hand(), through()) if n % 2 == 0 else tuple(reversed((through(), by_hand())))
                pairs.append(pair)
            ratios = [b / a for a, b in pairs]
            row = {
                "workload": name,
                "raw": statistics.median(a for a, _ in pairs),
                "daicho": statistics.median(b for _, b in pairs),
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "must": must,
                "stretch": stretch,
            }
            found.append(row)
            met = not must or row["ratio"] >= float(must)
            table.add_row(
                name,
                f"{row['raw']:,.0f}",
                f"{row['daicho']:,.0f}",
                f"[{'green' if met else 'yellow'}]{row['ratio']:.2f}[/]",
                f"{row['lowest']:.2f}-{row['highest']:.2f}",
                must,
                stretch,
            )
    start = time.perf_counter()
    asyncio.run(ours.dispatch(20_000))
    micros = (time.perf_counter() - start) / 20_000 * 1e6
    console.print(table)
    console.print(f"middleware per command, no store: {micros:.1f} us (must: under 5)")
    console.print(
        f"medians of {chosen.rounds} interleaved rounds; Python {platform.python_version()}, "
        f"SQLite {apsw.sqlite_lib_version()}, {platform.machine()}; believe ratios beyond 1.3 only"
    )
    target = Path("build")
    target.mkdir(exist_ok=True)
    (target / "bench.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


main()
