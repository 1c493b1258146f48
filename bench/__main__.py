"""Prints a table for each store, and writes build/bench.json.

python -m bench [--store sqlite|postgresql] [--rounds N] [--quick] [--only TEXT] [--without-rival]
python -m bench profile [--store ...] [--only TEXT]      where Daicho's time goes
python -m bench growth [--store ...] [--events N]        whether it stays as fast as it was when empty
python -m bench http [--store ...] [--quick]             requests per second beside Starlette and FastAPI by hand
python -m bench views [--quick] [--only TEXT]            the read side on every store whose name holds the text
python -m bench buses [--quick] [--only TEXT]            messages over every broker whose name holds the text
python -m bench topologies [--quick]                     load against whole topologies, as `daicho up` runs them
python -m bench services [--quick] [--only TEXT]         events and orders between two services over every broker
"""

import argparse
import asyncio
import importlib
import platform
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import buses, growth, ours, profiling, services, views
from bench.http import http as over_http
from bench.measure import Pace, Result, Sample, Store, Work, rounds
from bench.topologies import topologies as over_topologies
from bench.workloads import WORKLOADS, Workload

STORES = ("sqlite", "postgresql")
console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "what",
        nargs="?",
        default="compare",
        choices=("compare", "profile", "growth", "views", "buses", "services", "http", "topologies"),
    )
    options.add_argument("--store", choices=STORES, help="instead of all of them")
    options.add_argument("--rounds", type=int)
    options.add_argument("--quick", action="store_true", help="one short round: to see that it runs")
    options.add_argument(
        "--only", default="", help="workloads whose name holds one of these texts, with commas between"
    )
    options.add_argument("--without-rival", action="store_true")
    options.add_argument("--events", type=int, default=200_000, help="how far to grow")
    options.add_argument("--json", type=Path, default=Path("build/bench.json"))
    chosen = options.parse_args()
    long = Pace(seconds=5, scale=3) if chosen.what == "profile" else Pace()
    pace = Pace(seconds=0.1, scale=0.02) if chosen.quick else long
    found: dict[str, Any] = {}
    for name in (
        [chosen.store]
        if chosen.store
        else STORES
        if chosen.what not in {"views", "buses", "services", "topologies"}
        else ()
    ):
        store = _open(name)
        if store is None:
            continue
        try:
            wanted = chosen.only.split(",")
            workloads = [
                each for each in WORKLOADS if name in each.targets and any(text in each.name for text in wanted)
            ]
            if chosen.what == "http":
                found[name] = over_http(name, store, pace, console, with_rival=not chosen.without_rival)
            elif chosen.what == "growth":
                found[name] = growth.growth(store, pace, 2000 if chosen.quick else chosen.events, console)
            elif chosen.what == "profile":
                profiling.profile(store, ours.Daicho(store, pace), workloads, console)
            else:
                sides = _sides(name, store, pace, with_rival=not chosen.without_rival)
                found[name] = _compare(name, store, sides, workloads, chosen.rounds or (1 if chosen.quick else 5))
        finally:
            store.close()
    if chosen.what == "compare":
        micros = asyncio.run(ours.dispatch(2_000 if chosen.quick else 20_000))
        console.print(f"middleware per command, no store: {micros:.1f} us (must: under 5)")
    if chosen.what == "views" or (chosen.what == "compare" and not chosen.store and not chosen.only):
        count = chosen.rounds or (1 if chosen.quick else 3)
        found["views"] = views.views(pace, chosen.only.split(","), count, console, _absent())
    if chosen.what == "buses":
        count = chosen.rounds or (1 if chosen.quick else 3)
        found["buses"] = buses.buses(pace, chosen.only.split(","), count, console, _absent())
    if chosen.what == "services":
        found["services"] = services.services(pace, chosen.only.split(","), console, _absent())
    if chosen.what == "topologies":
        found["topologies"] = over_topologies(pace, console)
    if found:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))


def _open(name: str) -> Store | None:
    """None, and a word about it, if its server is missing."""
    try:
        opening: Callable[[], Store] = getattr(importlib.import_module(f"bench.{name}"), name.capitalize())
        return opening()
    except _absent() as missing:
        console.print(f"without {name}: {missing}")
        return None


def _absent() -> tuple[type[Exception], ...]:
    """What is raised where a server or its client is missing."""
    try:
        from tests.services.find import Unavailable
    except ImportError:
        return (ImportError,)
    return (ImportError, Unavailable)


def _sides(name: str, store: Store, pace: Pace, *, with_rival: bool) -> dict[str, Any]:
    sides = {"raw": importlib.import_module(f"bench.{name}").Raw(store, pace), "daicho": ours.Daicho(store, pace)}
    if name == "postgresql" and with_rival:
        try:
            sides["rival"] = importlib.import_module("bench.rival").Rival(store, pace)
        except ImportError as missing:
            console.print(f"without the rival: {missing} (pip install --group bench)")
    return sides


def _compare(
    name: str, store: Store, sides: dict[str, Any], workloads: list[Workload], count: int
) -> list[dict[str, Any]]:
    table = Table(title=f"Daicho on {store.title}", title_justify="left")
    for column in ("workload", "raw", "Daicho", "to raw", "min-max", "must", "stretch"):
        table.add_column(column, justify="left" if column == "workload" else "right", no_wrap=True)
    if "rival" in sides:
        table.add_column("eventsourcing", justify="right", no_wrap=True)
        table.add_column("to it", justify="right", no_wrap=True)
    results: list[Result] = []
    for workload in workloads:
        at = workload.targets[name]
        measured = _measured(sides, workload, count)
        if "rival" in sides:
            sides["rival"].close()
        store.clear()
        result = Result(workload=workload.name, unit=workload.unit, must=at.must, stretch=at.stretch, rounds=measured)
        results.append(result)
        table.add_row(*_row(result, "rival" in sides))
        if not sys.stdout.isatty():
            print(*_row(result, "rival" in sides), sep=" | ", file=sys.stderr, flush=True)
    console.print(table)
    console.print(
        f"Medians of {count} interleaved rounds; per second unless said otherwise, where less is better; "
        f"Python {platform.python_version()}, {platform.machine()}. Believe ratios beyond 1.3 only."
    )
    return [msgspec.to_builtins(result) for result in results]


def _measured(sides: dict[str, Any], workload: Workload, count: int) -> dict[str, list[Sample]]:
    """Of the sides that have the workload; a rival that fails is told and left out."""
    able = {side: works for side, works in sides.items() if hasattr(works, workload.method)}
    try:
        made: dict[str, Work] = {
            side: getattr(works, workload.method)(**workload.options) for side, works in able.items()
        }
        return rounds(made, count)
    except Exception as error:
        if "rival" not in able:
            raise
        console.print(f"{workload.name}: without the rival, after {type(error).__name__}: {error}")
        return _measured({side: works for side, works in sides.items() if side != "rival"}, workload, count)


def _row(result: Result, with_rival: bool) -> list[str]:
    def shown(side: str) -> str:
        if side not in result.rounds:
            return ""
        if result.unit == "ms":
            return f"{result.median(side):.2f} ({result.p99(side):.1f})"
        return f"{result.median(side):,.0f}"

    row = [result.workload, shown("raw"), shown("daicho"), "", ""]
    if "raw" in result.rounds:  # SQLite's has no processes, for one
        ratios = sorted(result.ratios("daicho", "raw"))
        middle = statistics.median(ratios)
        row[3] = f"[{'green' if result.is_met(middle) else 'yellow'}]{middle:.2f}[/]"
        row[4] = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
    row += ["" if at is None else f"{at:g}" for at in (result.must, result.stretch)]
    if with_rival:
        row += [
            shown("rival"),
            f"{result.median('daicho') / result.median('rival'):.2g}x" if "rival" in result.rounds else "",
        ]
    return row


if __name__ == "__main__":
    main()
