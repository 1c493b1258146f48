"""`daicho move` and `daicho prune`: how the streams of a category are kept, and how long their events are."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from daicho.cli.group import Verb
from daicho.cli.moments import moment
from daicho.cli.opening import Look, looking
from daicho.cli.output import output_option, print_record
from daicho.cli.progress import Progress
from daicho.core.behaviour import Behaviour
from daicho.core.decider import Persistence
from daicho.core.errors import ConfigurationError, NotFound
from daicho.core.plain import plain
from daicho.core.projection import Crud
from daicho.settings import Settings
from daicho.write.keeping import Keeping, MoveStep, moving
from daicho.write.pruning import Pruning
from daicho.write.repository import Repository

__all__ = ["move", "prune"]


@click.command(cls=Verb)
@click.argument("category")
@click.option("--to", type=click.Choice(["events", "state"]), required=True, help="How its streams are to be kept.")
@click.option("--rows", metavar="NAME", help="First found an aggregate on each row of the Crud part NAME.")
@output_option
@click.pass_obj
def move(settings: Settings, category: str, to: Persistence, rows: str | None, output: str) -> None:
    """Moves the streams of CATEGORY between persistence="state" and persistence="events".

    Others may go on reading and writing, with the old code or the new. Interrupted, run it again: it goes on where it
    was. The app may say either persistence; once it is done, start the one that says the new one.
    """

    async def run() -> MoveStep | None:
        last: MoveStep | None = None
        async with looking(settings) as look:
            behaviour, crud = _behaviour(look, category), _crud(look, rows)
            with Progress(f"moving {category} to {to}", unit="streams") as progress:
                async for step in moving(_keeping(look), behaviour, to, crud):
                    last = step
                    progress.show(step.streams, None, step.streams)
        return last

    try:
        last = asyncio.run(run())
    except KeyboardInterrupt:
        click.echo(f"interrupted; `daicho move {category} --to {to}` goes on from there.", err=True)
        raise
    print_record(output, plain(last) if last else {})


@click.command(cls=Verb)
@click.argument("category")
@click.option("--older-than", "before", type=moment, required=True, help="90d, 2w, or a time: recorded before that.")
@output_option
@click.pass_obj
def prune(settings: Settings, category: str, before: datetime, output: str) -> None:
    """Deletes old events of CATEGORY, whose aggregate has persistence="state".

    Never what a projection, event handler, process manager or relay has not seen yet, nor what a rule needs, nor the
    first and the last event of a stream. The present states do not depend on any of them.
    """
    if before > datetime.now(UTC) + timedelta(seconds=1):
        raise click.BadParameter("that is in the future", param_hint="--older-than")

    async def run() -> None:
        async with looking(settings) as look:
            behaviour = _behaviour(look, category)
            assert look.app is not None
            report = await Pruning(look.storage, look.app.registry, look.app.model.categories).prune(behaviour, before)
            print_record(output, plain(report))

    asyncio.run(run())


def _behaviour(look: Look, category: str) -> Behaviour:
    if look.app is None:
        raise ConfigurationError(
            "no app was named", why="a state is folded by the code of an app", do="daicho --app module:attribute ..."
        )
    behaviour = look.app.model.categories.get(category)
    if behaviour is None:
        known = ", ".join(sorted(look.app.model.categories))
        raise NotFound(f"the app has no category {category!r}", why=f"it has {known}", do="name one of them")
    return behaviour


def _crud(look: Look, name: str | None) -> Crud[Any] | None:
    if name is None:
        return None
    cruds = look.app.model.cruds if look.app else []
    for crud in cruds:
        if crud.name == name:
            return crud
    raise NotFound(f"the app has no Crud part {name!r}", do="keep it in the app until its rows have been moved")


def _keeping(look: Look) -> Keeping:
    assert look.app is not None
    app, storage = look.app, look.storage
    repository = Repository(storage, storage, app.registry, storage)
    return Keeping(storage, repository, app.model.categories, app.registry, app.clock)
