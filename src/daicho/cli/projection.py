"""`daicho projection`: how they stand, and building one again."""

import asyncio

import click

from daicho.cli.get import projections as list_projections
from daicho.cli.group import Family
from daicho.cli.opening import running
from daicho.cli.output import output_option, plain, print_record
from daicho.cli.progress import Progress
from daicho.cli.settings import Settings
from daicho.core.errors import NotFound
from daicho.read.rebuild import RebuildStep

__all__ = ["projection"]


@click.group(cls=Family)
def projection() -> None:
    """See how projections stand; build them again."""


projection.add_command(list_projections, "list")


@projection.command()
@click.argument("name")
@output_option
@click.pass_obj
def rebuild(settings: Settings, name: str, output: str) -> None:
    """Builds the projection NAME again beside the live rows, then switches readers to it.

    Readers get the old rows until the switch. Interrupted, run it again: it goes on where it was.
    """
    last: RebuildStep | None = None

    async def run() -> float:
        nonlocal last
        async with running(settings) as app:
            with Progress(f"rebuilding {name}") as progress:
                async for step in app.rebuild(name):
                    last = step
                    progress.show(step.position, step.head, step.events)
                return progress.seconds

    try:
        seconds = asyncio.run(run())
    except KeyboardInterrupt:
        where = f" at position {last.position} of {last.head}" if last else ""
        click.echo(
            f"interrupted{where}: readers still get the old rows, and what was built is kept.\n"
            f"`daicho projection rebuild {name}` goes on from there.",
            err=True,
        )
        raise
    if last is None or not last.switched:
        raise NotFound(f"the rebuild of {name} ended without a switch", do="run it again")
    record = plain(last)
    rate = last.events / seconds if seconds else 0.0
    print_record(output, {"projection": name, **record, "seconds": round(seconds, 3), "events_per_second": round(rate)})
