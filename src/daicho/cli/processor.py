"""`daicho processor`: the durable readers at work."""

import asyncio
from collections.abc import Awaitable, Callable

import click

from daicho.cli.get import projections as list_readers
from daicho.cli.group import Family
from daicho.cli.opening import looking
from daicho.cli.output import output_option, print_done
from daicho.read.processors import Processors
from daicho.settings import Settings

__all__ = ["processor"]


@click.group(cls=Family)
def processor() -> None:
    """Projections and event handlers at work: see, pause, resume, rewind."""


processor.add_command(list_readers, "list")


def _steer(settings: Settings, act: Callable[[Processors], Awaitable[None]]) -> None:
    async def run() -> None:
        async with looking(settings) as look:
            await act(Processors(look.storage))

    asyncio.run(run())


@processor.command()
@click.argument("name")
@output_option
@click.pass_obj
def pause(settings: Settings, name: str, output: str) -> None:
    """Stops NAME in all processes, until it is resumed. Nothing is lost: it goes on where it was."""
    _steer(settings, lambda processors: processors.pause(name))
    print_done(output, f"paused {name}: `daicho processor resume {name}` lets it go on", {"paused": name})


@processor.command()
@click.argument("name")
@output_option
@click.pass_obj
def resume(settings: Settings, name: str, output: str) -> None:
    """Lets NAME go on where it was paused."""
    _steer(settings, lambda processors: processors.resume(name))
    print_done(output, f"resumed {name}", {"resumed": name})


@processor.command()
@click.argument("name")
@click.option("--to", "position", type=int, required=True, help="The position behind which it begins again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@click.pass_obj
def rewind(settings: Settings, name: str, position: int, yes: bool, output: str) -> None:
    """Hands the event handler NAME everything behind a position once more.

    Commands that it sent are not carried out again; side effects happen again. For a projection: `projection rebuild`.
    """
    if not yes:
        question = f"{name} will see all events behind position {position} again. Rewind it?"
        click.confirm(question, abort=True, err=True)
    _steer(settings, lambda processors: processors.rewind(name, position))
    print_done(output, f"{name} begins again behind position {position}", {"rewound": name, "to": position})
