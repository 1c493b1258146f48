"""`daicho schema`: released shapes of events, and whether this code still reads them."""

import asyncio
from pathlib import Path

import click

from daicho.cli.findings import print_findings
from daicho.cli.group import Family
from daicho.cli.opening import load_app, looking
from daicho.cli.output import output_option, print_done
from daicho.cli.progress import Progress
from daicho.schemas import LOCK, VersionRead, examined, locked, read_lock, verified, write_lock
from daicho.settings import Settings

__all__ = ["lock_of", "schema"]

file_option = click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The lock. [the setting schema-lock, or {LOCK}]",
)


def lock_of(settings: Settings) -> Path:
    """Where the lock is, unless `--file` says otherwise."""
    return Path(settings.get("schema-lock") or LOCK)


@click.group(cls=Family)
def schema() -> None:
    """Keep the shapes of events that were released, and hold each release to them."""


@schema.command()
@file_option
@click.option("--force", is_flag=True, help="Also what breaks a released version: for one that nobody has stored.")
@output_option
@click.pass_context
def lock(context: click.Context, file: Path | None, force: bool, output: str) -> None:
    """Writes the shape of each event of the app into the lock, to be committed with the code. Earlier versions stay.

    Refuses to change a released version in a way in which what was stored could not be read.
    """
    app, file = load_app(context.obj), file or lock_of(context.obj)
    before = read_lock(file) if file.exists() else None
    wrong = [found for found in examined(app, before) if not found.ok] if before else []
    broken = [found for found in wrong if found.do != "daicho schema lock"]
    if broken and not force:
        print_findings(broken, output)
        context.exit(1)
    after = locked(app, before)
    is_new = before is None or bool(wrong)
    if is_new:
        write_lock(file, after)
    types, versions = len(after.events), sum(map(len, after.events.values()))
    sentence = f"{file}: {types} event types, {versions} versions" if is_new else f"{file}: nothing has changed"
    print_done(output, sentence, {"file": str(file), "types": types, "versions": versions, "changed": is_new})


@schema.command()
@file_option
@output_option
@click.pass_context
def check(context: click.Context, file: Path | None, output: str) -> None:
    """Tells whether the app still reads every released version, without a store: for CI. Exit code 1 if not, or if
    the lock is behind the code."""
    findings = examined(load_app(context.obj), read_lock(file or lock_of(context.obj)))
    if not print_findings(findings, output):
        context.exit(1)


@schema.command()
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="The newest N of each version. [all]")
@output_option
@click.pass_context
def verify(context: click.Context, sample: int | None, output: str) -> None:
    """Reads what is stored with the code of the app, before it is deployed: every event, or a sample of each version.
    Exit code 1 if one cannot be read. Nothing is changed."""
    app, settings = load_app(context.obj), context.obj

    async def run() -> list[VersionRead]:
        async with looking(settings) as look:
            with Progress("reading") as progress:
                return await verified(look.storage, app.registry, sample=sample, told=progress.show)

    if not print_findings([each.finding for each in asyncio.run(run())], output):
        context.exit(1)
