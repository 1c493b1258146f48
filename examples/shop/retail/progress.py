"""How far the import has come: a bar for people, plain lines for logs. Always on stderr, so that stdout stays clean."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from examples.shop.retail.feeding import Fed

__all__ = ["shown"]

EVERY = 5.0
"""Seconds between two plain lines."""


class Reporter(Protocol):
    """Is told how many bytes of the file have been read."""

    def __call__(self, read: int) -> None: ...


class Rate(ProgressColumn):
    """Lines a second, of those that this run has sent."""

    def __init__(self, fed: Fed) -> None:
        super().__init__()
        self._fed = fed

    def render(self, task: Task) -> Text:
        return Text(f"{self._fed.lines:,} lines, {self._fed.lines / max(task.elapsed or 0, 1e-9):,.0f}/s")


@contextmanager
def shown(path: Path, fed: Fed) -> Generator[Reporter]:
    size = path.stat().st_size
    if not sys.stderr.isatty():
        yield PlainLines(size, fed)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), Rate(fed), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Bar(bar, size)


class Bar:
    def __init__(self, bar: Progress, size: int) -> None:
        self._bar, self._task = bar, bar.add_task("importing", total=size)

    def __call__(self, read: int) -> None:
        self._bar.update(self._task, completed=read)


class PlainLines:
    def __init__(self, size: int, fed: Fed) -> None:
        self._size, self._fed = size, fed
        self._start = self._last = time.monotonic()

    def __call__(self, read: int) -> None:
        now = time.monotonic()
        if now - self._last < EVERY:
            return
        self._last = now
        elapsed, fraction = now - self._start, read / self._size
        left = elapsed / fraction - elapsed if fraction else 0
        print(
            f"{fraction:4.0%}  {self._fed.lines:,} lines, {self._fed.lines / elapsed:,.0f}/s, {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )
