"""Where the time of a workload goes: a look at the stack every so many microseconds of this process's own CPU time.

A profiler that hooks into every call makes small functions look large; looking from outside does not.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from bench.measure import Sample, Store, Watch, Work
from bench.workloads import Workload

EVERY = 0.001
"""Seconds of CPU time between two looks."""

_SOURCE = str(Path(__file__).parent.parent / "src" / "daicho") + "/"


class Looks:
    """Samples of the stack, innermost first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.count = 0
        self.layers: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        """By the innermost function of Daicho's, or of the driver's."""
        self.within: Counter[str] = Counter()
        """By every function of Daicho's that is on the stack."""
        self.cpu = self.wall = self.server = 0.0

    def look(self, _: int, frame: FrameType | None) -> None:
        self.count += 1
        innermost, seen = "", set[str]()
        first = None
        while frame is not None:
            layer, name = _place(frame)
            first = first or layer
            if layer and not innermost:
                innermost = f"{layer}: {name}"
                self.layers[layer] += 1
            if frame.f_code.co_filename.startswith(_SOURCE) and name not in seen:
                seen.add(name)
            frame = frame.f_back
        if not innermost:
            self.layers["other"] += 1
        self.functions[innermost or "other"] += 1
        self.within.update(seen)

    @contextmanager
    def taken(self) -> Iterator[None]:
        before = signal.signal(signal.SIGPROF, self.look)
        signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
        server = self._store.cpu()
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.cpu, self.wall = self.cpu + time.process_time() - cpu, self.wall + time.perf_counter() - wall
            self.server += self._store.cpu() - server
            signal.signal(signal.SIGPROF, before)


def _place(frame: FrameType) -> tuple[str, str]:
    """Layer and function; no layer for what only serves others."""
    code = frame.f_code
    path = code.co_filename
    if path.startswith(_SOURCE):
        inside = path.removeprefix(_SOURCE)
        layer = "/".join(inside.split("/")[: 3 if inside.startswith("adapters/") else 1]).removesuffix(".py")
        return layer, f"{inside.removesuffix('.py').rpartition('/')[2]}.{code.co_qualname}"
    for driver in ("psycopg", "apsw", "eventsourcing", "asyncio", "selectors"):
        if f"/{driver}" in path:
            return ("asyncio" if driver == "selectors" else driver), f"{Path(path).stem}.{code.co_qualname}"
    if "/bench/" in path:
        return "bench", code.co_qualname
    return "", ""


def profile(store: Store, side: Any, workloads: Iterable[Workload], console: Console) -> None:
    """Prints, for each workload, CPU time of client and server for each thing done, and the client's by layer, by
    innermost function, and by function with all it calls."""
    for workload in workloads:
        if workload.method == "append_processes":
            continue  # their stacks are elsewhere
        work: Work = getattr(side, workload.method)(**workload.options)
        looks = Looks(store)
        Watch.around = looks.taken
        try:
            sample = work()
        finally:
            Watch.around = nullcontext
        _tell(workload, sample, looks, console)


def _tell(workload: Workload, sample: Sample, looks: Looks, console: Console) -> None:
    done = looks.wall * (1000 / sample.value if workload.unit == "ms" else sample.value)
    each = 1e6 / done

    def share(counted: Counter[str], most: int) -> str:
        return ", ".join(
            f"{name} {count / looks.count * looks.cpu * each:.1f}" for name, count in counted.most_common(most)
        )

    console.print(
        f"[bold]{workload.name}[/]: {looks.wall * each:.1f} us each; "
        f"client CPU {looks.cpu * each:.1f}, server CPU {looks.server * each:.1f} ({looks.count} looks)\n"
        f"  by layer: {share(looks.layers, 8)}\n"
        f"  innermost: {share(looks.functions, 16)}\n"
        f"  with all it calls: {share(looks.within, 24)}\n"
    )
