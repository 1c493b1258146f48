"""Long work that says how far it is: a bar on a terminal, a line every few seconds elsewhere. On stderr."""

import importlib
import sys
import time
from types import TracebackType
from typing import Any

import click

__all__ = ["Progress"]

_EVERY = 5.0


class Progress:
    """`done` of `total` of anything; `count` is what the rate is about."""

    def __init__(self, what: str, total: int | None = None, *, unit: str = "events") -> None:
        self._what, self._unit = what, unit
        self._started = self._said = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            self._bar = importlib.import_module("daicho.cli.terminal").Bar(what, total)

    def show(self, done: int, total: int | None, count: int) -> None:
        now = time.monotonic()
        seconds = now - self._started
        note = f"{count:,} {self._unit}, {count / seconds if seconds > 0 else 0:,.0f}/s"
        if self._bar is not None:
            self._bar.show(done, total, note)
        elif now - self._said >= _EVERY:
            self._said = now
            left = f", {100 * done / total:.0f}%, ETA {seconds * (total - done) / done:.0f} s" if total and done else ""
            click.echo(f"{self._what}: {note}{left}", err=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
