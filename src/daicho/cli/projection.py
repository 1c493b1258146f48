"""`daicho projection`: how they stand, building them again beside the live rows, comparing, switching, going back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import click

from daicho.cli.get import projections as list_projections
from daicho.cli.group import Family
from daicho.cli.opening import running
from daicho.cli.output import output_option, print_record
from daicho.cli.progress import Progress
from daicho.core.errors import NotFound
from daicho.core.plain import plain
from daicho.read.diff import Diff
from daicho.read.projections import Projections
from daicho.read.rebuild import RebuildStep
from daicho.settings import Settings

__all__ = ["projection"]

F = TypeVar("F", bound=Callable[..., Any])


def at_most_option(function: F) -> F:
    return click.option(
        "--at-most",
        type=click.FloatRange(min=0, min_open=True),
        metavar="N",
        help="Events per second, to spare the database. Without it: as fast as it goes.",
    )(function)


def within_option(function: F) -> F:
    return click.option(
        "--within",
        type=click.FloatRange(min=0),
        default=10.0,
        show_default=True,
        help="Seconds that the live rows have to come as far as the built ones.",
    )(function)


@click.group(cls=Family)
def projection() -> None:
    """See how projections stand; build them beside the live rows, compare, switch, go back."""


projection.add_command(list_projections, "list")


@projection.command()
@click.argument("name")
@at_most_option
@output_option
@click.pass_obj
def rebuild(settings: Settings, name: str, at_most: float | None, output: str) -> None:
    """Builds the projection NAME again beside the live rows, then switches readers to it.

    Readers get the old rows until the switch. Interrupted, run it again: it goes on where it was.
    """
    _built("rebuild", settings, name, output, lambda all_: all_.rebuild(name, at_most=at_most))


@projection.command()
@click.argument("name")
@at_most_option
@output_option
@click.pass_obj
def deploy(settings: Settings, name: str, at_most: float | None, output: str) -> None:
    """Builds the projection NAME with the code of the app beside the live rows, and leaves those live.

    Then look at `daicho projection diff NAME`, and `daicho projection switch NAME`. Interrupted, run it again: it goes
    on where it was.
    """
    _built("deploy", settings, name, output, lambda all_: all_.deploy(name, at_most=at_most))


def _built(
    verb: str,
    settings: Settings,
    name: str,
    output: str,
    steps: Callable[[Projections], AsyncIterator[RebuildStep]],
) -> None:
    last: RebuildStep | None = None

    async def run() -> float:
        nonlocal last
        async with running(settings) as app:
            with Progress(f"{verb} {name}") as progress:
                async for step in steps(app.projections):
                    last = step
                    progress.show(step.position, step.head, step.events)
                return progress.seconds

    try:
        seconds = asyncio.run(run())
    except KeyboardInterrupt:
        where = f" at position {last.position} of {last.head}" if last else ""
        click.echo(
            f"interrupted{where}: readers still get the old rows, and what was built is kept.\n"
            f"`daicho projection {verb} {name}` goes on from there.",
            err=True,
        )
        raise
    if verb == "rebuild" and (last is None or not last.switched):
        raise NotFound(f"the rebuild of {name} ended without a switch", do="run it again")
    record: dict[str, Any] = {} if last is None else plain(last)
    rate = last.events / seconds if last and seconds else 0.0
    print_record(output, {"projection": name, **record, "seconds": round(seconds, 3), "events_per_second": round(rate)})


@projection.command()
@click.argument("name")
@within_option
@output_option
@click.pass_obj
def diff(settings: Settings, name: str, within: float, output: str) -> None:
    """Compares the rows of NAME that `deploy` built with the live ones, row by row.

    Rows that changed are grouped by the fields that differ, each group with its first five rows.
    """

    async def run() -> Diff:
        async with running(settings) as app:
            return await app.projections.diff(name, within=within)

    _print_diff(output, asyncio.run(run()))


@projection.command()
@click.argument("name")
@at_most_option
@within_option
@output_option
@click.pass_context
def verify(context: click.Context, name: str, at_most: float | None, within: float, output: str) -> None:
    """Tells whether the live rows of NAME are what the code of the app makes of history. Exit code 1 if not.

    Builds them once more, beside, compares, and drops them.
    """
    settings: Settings = context.obj

    async def run() -> Diff:
        async with running(settings) as app:
            with Progress(f"verify {name}") as progress:
                return await app.projections.verify(
                    name,
                    at_most=at_most,
                    within=within,
                    progress=lambda step: progress.show(step.position, step.head, step.events),
                )

    found = asyncio.run(run())
    _print_diff(output, found)
    if not found.same:
        context.exit(1)


def _print_diff(output: str, found: Diff) -> None:
    record = {**plain(found), "same": found.same}
    if found.live_position < found.built_position:
        click.echo(
            f"the live rows are at position {found.live_position}, the built ones at {found.built_position}: "
            "rows may differ for that alone. Is the app running?",
            err=True,
        )
    print_record(output, record)


@projection.command()
@click.argument("name")
@output_option
@click.pass_obj
def switch(settings: Settings, name: str, output: str) -> None:
    """Lets readers of NAME see the rows that `deploy` built, in one step. `rollback` goes back."""

    async def run() -> Any:
        async with running(settings) as app:
            return await app.projections.switch(name)

    print_record(output, {"projection": name, **plain(asyncio.run(run()))})


@projection.command()
@click.argument("name")
@output_option
@click.pass_obj
def rollback(settings: Settings, name: str, output: str) -> None:
    """Lets readers of NAME see the rows again that were live before the last switch, at once.

    They are as old as they were; the app brings them up to date, if it runs the code that built them.
    """

    async def run() -> Any:
        async with running(settings) as app:
            return await app.projections.rollback(name)

    print_record(output, {"projection": name, **plain(asyncio.run(run()))})
