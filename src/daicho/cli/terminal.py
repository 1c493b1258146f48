"""What needs rich; imported only when a person looks on."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from daicho.cli.output import text_of

__all__ = ["Bar", "Screen", "print_table"]


_LEAST = 20
"""Columns that the widest cell needs to be folded in a readable way."""


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Only the widest column folds, so that ids and names stay whole. False, and nothing printed, if the terminal is
    too narrow for that."""
    console = Console(highlight=False)
    widths = [max(map(len, cells)) for cells in zip(heads, *rows, strict=True)]
    widest = widths.index(max(widths))
    if sum(widths) - widths[widest] + min(widths[widest], _LEAST) + 3 * len(widths) > console.width:
        return False
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for n, head in enumerate(heads):
        numbers = all(row[n].replace(".", "", 1).isdigit() for row in rows if row[n])
        table.add_column(head, overflow="fold", no_wrap=n != widest, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    return True


class Bar:
    """A progress bar on stderr."""

    def __init__(self, what: str, total: int | None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
        )
        self._task: TaskID = self._progress.add_task(what, total=total, note="")
        self._progress.start()

    def show(self, done: int, total: int | None, note: str) -> None:
        self._progress.update(self._task, completed=done, total=total, note=note)

    def close(self) -> None:
        self._progress.stop()


class Screen:
    """A table that is drawn anew in its place."""

    def __init__(self) -> None:
        self._live = Live(console=Console(highlight=False), screen=True, auto_refresh=False)
        self._live.start()

    def show(self, told: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=told, title_justify="left")
        for column in columns:
            table.add_column(column.replace("_", " "))
        for row in rows:
            late = "red" if row.get("parked") else "yellow" if row.get("events_behind") else ""
            table.add_row(*(Text(text_of(row.get(column)), style=late) for column in columns))
        self._live.update(table, refresh=True)

    def close(self) -> None:
        self._live.stop()
