"""`daicho eject`: everything as plain tables, for a life without Daicho."""

import asyncio
from pathlib import Path

import click

from daicho.cli.group import Verb
from daicho.cli.opening import looking, running
from daicho.cli.output import Rows, output_option
from daicho.cli.progress import Progress
from daicho.leaving import Ejected
from daicho.leaving import eject as eject_into
from daicho.settings import Settings

__all__ = ["eject"]


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@output_option
@click.pass_obj
def eject(settings: Settings, file: Path, force: bool, output: str) -> None:
    """Writes everything into FILE as plain tables, which need no Daicho: a SQLite database, or SQL for PostgreSQL and
    others if FILE ends in .sql. The store is not changed.

    `events` holds the register. With an app there are also event_TYPE with a column for each field, state_CATEGORY with
    the present state of each stream, and each view under its name. What was written is compared with what was read.
    Personal data stands in it in plain text, as far as its keys are there.
    """
    if file.exists() and not force:
        raise click.BadParameter(f"{file} exists; --force replaces it", param_hint="FILE")

    async def run() -> Ejected:
        with Progress(f"writing {file}", unit="rows") as progress:

            def told(_table: str, rows: int) -> None:
                progress.show(rows, None, rows)

            if settings.get("app"):
                async with running(settings) as app:
                    return await eject_into(app.storage, app, file, told)
            async with looking(settings) as look:
                return await eject_into(look.storage, None, file, told)

    ejected = asyncio.run(run())
    rows = Rows(output, ("table", "rows"))
    for table, count in ejected.tables.items():
        rows.add({"table": table, "rows": count})
    rows.end()
    click.echo(f"{file}: everything up to position {ejected.head}, compared with the store", err=True)
    for view in ejected.behind:
        click.echo(f"{view} had not come so far: eject again when `daicho top` shows nobody behind", err=True)
