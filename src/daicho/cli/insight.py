"""`daicho insight`: the business, out of its history."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import click

from daicho.cli.filters import Filters, filter_options, selected
from daicho.cli.group import Family
from daicho.cli.moments import moment
from daicho.cli.opening import Look, looking
from daicho.cli.output import Rows, envelope, output_option
from daicho.core.errors import NotFound
from daicho.core.plain import plain
from daicho.insight import cohorts as count_cohorts
from daicho.insight import funnel as count_funnel
from daicho.insight import happenings, process_map
from daicho.insight.drawing import mermaid_of_map, short_time
from daicho.insight.happenings import Happening
from daicho.settings import Settings

__all__ = ["insight"]

_BY = click.option(
    "--by",
    default="stream",
    show_default=True,
    metavar="KEY",
    help="What makes a history: stream, correlation, actor, or a field of the events, e.g. order_id.",
)


@click.group(cls=Family)
def insight() -> None:
    """The process as it really ran, how many got how far, who came back: out of history."""


@insight.command("map")
@_BY
@filter_options
@click.option("--mermaid", is_flag=True, help="Print a flowchart for Mermaid.")
@click.option("--variants", is_flag=True, help="Print the ways that cases took, the most frequent first.")
@output_option
@click.pass_obj
def map_(settings: Settings, by: str, wanted: Filters, mermaid: bool, variants: bool, output: str) -> None:
    """Which event directly followed which, how often, and after how long: in each stream of --category, in each flow
    (--by correlation), or wherever the same order_id turns up (--by order_id)."""

    async def run() -> None:
        async with looking(settings) as look:
            found = await process_map(_happenings(look, wanted, by))
        if not found.events:
            raise _nothing(by)
        if mermaid:
            click.echo(mermaid_of_map(found))
        elif output == "json":
            envelope(plain(found))
        elif variants:
            rows = Rows(output, ("cases", "steps", "example"))
            for way in found.variants:
                rows.add({"cases": way.cases, "steps": " > ".join(way.steps), "example": way.example})
            rows.end()
        else:
            rows = Rows(output, ("before", "after", "count", "median", "p90"))
            for edge in found.edges:
                rows.add(
                    {
                        "before": edge.before,
                        "after": edge.after,
                        "count": edge.count,
                        "median": short_time(edge.took.median),
                        "p90": short_time(edge.took.p90),
                        "median_seconds": edge.took.median,
                        "p90_seconds": edge.took.p90,
                    }
                )
            rows.end("every case has one event")

    asyncio.run(run())


@insight.command()
@click.argument("steps", nargs=-1, required=True, metavar="TYPE TYPE...")
@_BY
@filter_options
@click.option("--within", metavar="TIME", help="Count only who is through in 90s, 10m, 2h, 3d.")
@output_option
@click.pass_obj
def funnel(
    settings: Settings, steps: tuple[str, ...], by: str, wanted: Filters, within: str | None, output: str
) -> None:
    """How many came to each of these types of events, in this order, and how long it took them."""
    most = datetime.now(UTC) - moment(within) if within else None

    async def run() -> None:
        async with looking(settings) as look:
            found = await count_funnel(_happenings(look, wanted, by, steps), steps, by=by, within=most)
        if not found.steps[0].reached:
            raise _nothing(by)
        if output == "json":
            envelope(plain(found))
            return
        rows = Rows(output, ("type", "reached", "of_first", "of_previous", "median", "stopped", "examples"))
        for step in found.steps:
            row: dict[str, Any] = plain(step)
            shares = {name: f"{row[name]:.1%}" for name in ("of_first", "of_previous")}
            rows.add({**row, **shares, "median": short_time(step.took.median) if step.took else None})
        rows.end()

    asyncio.run(run())


@insight.command()
@click.argument("first")
@click.argument("again")
@click.option("--every", type=click.Choice(["day", "week", "month"]), default="month", show_default=True)
@_BY
@filter_options
@output_option
@click.pass_obj
def cohorts(settings: Settings, first: str, again: str, every: Any, by: str, wanted: Filters, output: str) -> None:
    """Keys by the period in which FIRST happened to them, and how many were seen doing AGAIN in each later one."""

    async def run() -> None:
        async with looking(settings) as look:
            found = await count_cohorts(_happenings(look, wanted, by, (first, again)), first, again, every=every)
        if not found:
            raise _nothing(by)
        widest = max(len(cohort.again) for cohort in found)
        rows = Rows(output, ("begins", "keys", *(f"+{n}" for n in range(widest))))
        for cohort in found:
            counts = {f"+{n}": count for n, count in enumerate(cohort.again)}
            rows.add({"begins": cohort.begins.isoformat(), "keys": cohort.keys, **counts})
        rows.end()

    asyncio.run(run())


def _happenings(look: Look, wanted: Filters, by: str, types: tuple[str, ...] = ()) -> AsyncIterator[Happening]:
    return happenings(selected(look, wanted), by=by, types=types)


def _nothing(by: str) -> NotFound:
    return NotFound(
        "no event that was asked for has such a history",
        why=f"of those selected, none has {by!r}" if by not in ("stream", "correlation") else "none was selected",
        do="check --by, --category and the types: `daicho get types` lists those that there are",
    )
