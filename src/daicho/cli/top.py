"""`daicho top`: how much happens, and how far everybody is, while one looks."""

import asyncio
import importlib
import time
from typing import Any

import click
import msgspec

from daicho.cli.group import Verb
from daicho.cli.opening import Look, looking
from daicho.cli.output import Rows, is_terminal, output_option
from daicho.cli.standing import Standing, standings
from daicho.core.plain import json_text, plain
from daicho.settings import Settings

__all__ = ["top"]

_COLUMNS = ("processor", "live", "state", "position", "events_behind", "seconds_behind", "events_per_second", "parked")


class _Shot(msgspec.Struct, frozen=True):
    at: float
    head: int
    readers: list[Standing]


@click.command(cls=Verb)
@click.option("--every", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds.")
@click.option("-n", "--times", type=click.IntRange(min=0), default=0, help="So many looks; 0: until Ctrl-C.")
@click.option("--once", is_flag=True, help="One look.")
@output_option
@click.pass_obj
def top(settings: Settings, every: float, times: int, once: bool, output: str) -> None:
    """The readers of the log, the furthest behind first, with what each takes in a second; and what is recorded. Looks
    again and again. With -o json, one look is one line."""

    async def run() -> None:
        async with looking(settings) as look:
            await _looks(look, every, 1 if once else times, output)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return


async def _looks(look: Look, every: float, times: int, output: str) -> None:
    screen: Any = None
    if output == "table" and is_terminal() and times != 1:
        screen = importlib.import_module("daicho.cli.terminal").Screen()
    before: _Shot | None = None
    seen = 0
    try:
        while True:
            shot = _Shot(time.monotonic(), await look.storage.head(), await standings(look))
            _show(shot, before, output, screen)
            before, seen = shot, seen + 1
            if seen == times:
                return
            await asyncio.sleep(every)
    finally:
        if screen is not None:
            screen.close()


def _show(shot: _Shot, before: _Shot | None, output: str, screen: Any) -> None:
    rows = _rows(shot, before)
    rate = _rate(shot.head, before.head, shot, before) if before else None
    if output in ("json", "jsonl"):
        click.echo(json_text({"head": shot.head, "events_per_second": rate, "processors": rows}))
        return
    told = f"head {shot.head:,}" + (f", {rate:,.1f} events/s" if rate is not None else "")
    if screen is not None:
        screen.show(told, _COLUMNS, rows)
        return
    if output == "table":
        click.echo(told)
    table = Rows(output, _COLUMNS)
    for row in rows:
        table.add(row)
    table.end("nobody reads the log")


def _rows(shot: _Shot, before: _Shot | None) -> list[dict[str, Any]]:
    were = {each.processor: each.position for each in before.readers} if before else {}
    found: list[dict[str, Any]] = []
    for each in sorted(shot.readers, key=lambda each: (-each.events_behind, each.processor)):
        known = before is not None and each.processor in were
        rate = _rate(each.position, were[each.processor], shot, before) if before and known else None
        found.append({**plain(each), "events_per_second": rate})
    return found


def _rate(now: int, then: int, shot: _Shot, before: _Shot) -> float:
    """Positions in a second. None are taken in where an epoch began anew, or a reader was sent back."""
    return round(max(0, now - then) / max(shot.at - before.at, 1e-6), 1)
