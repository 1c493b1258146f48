"""`daicho schema`: released shapes of events, and whether this code still reads them."""

import asyncio
from collections import Counter
from pathlib import Path

import click

from daicho.cli.findings import print_findings
from daicho.cli.group import Family
from daicho.cli.opening import Look, load_app, looking
from daicho.cli.output import output_option
from daicho.cli.progress import Progress
from daicho.core.errors import HistoryError
from daicho.core.registry import Registry
from daicho.ports.event_store import Selection, StoredEvent
from daicho.ports.storage import Finding
from daicho.schemas import examined, locked, read_lock, write_lock

__all__ = ["LOCK", "schema"]

LOCK = "events.lock.json"
_PAGE = 1000

file_option = click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), default=LOCK, show_default=True, help="The lock."
)


@click.group(cls=Family)
def schema() -> None:
    """Keep the shapes of events that were released, and hold each release to them."""


@schema.command()
@file_option
@click.option("--force", is_flag=True, help="Also what breaks a released version: for one that nobody has stored.")
@click.pass_context
def lock(context: click.Context, file: Path, force: bool) -> None:
    """Writes the shape of each event of the app into the lock, to be committed with the code. Earlier versions stay.

    Refuses to change a released version in a way in which what was stored could not be read.
    """
    app = load_app(context.obj)
    before = read_lock(file) if file.exists() else None
    wrong = [found for found in examined(app, before) if not found.ok] if before else []
    broken = [found for found in wrong if found.do != "daicho schema lock"]
    if broken and not force:
        print_findings(broken, "table")
        context.exit(1)
    after = locked(app, before)
    if before is not None and not wrong:
        click.echo(f"{file}: nothing has changed")
        return
    write_lock(file, after)
    versions = sum(map(len, after.events.values()))
    click.echo(f"{file}: {len(after.events)} event types, {versions} versions")


@schema.command()
@file_option
@output_option
@click.pass_context
def check(context: click.Context, file: Path, output: str) -> None:
    """Tells whether the app still reads every released version, without a store: for CI. Exit code 1 if not, or if
    the lock is behind the code."""
    findings = examined(load_app(context.obj), read_lock(file))
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

    async def run() -> list[Finding]:
        reading = _Reading(app.registry)
        async with looking(settings) as look:
            with Progress("reading") as progress:
                if sample is None:
                    await _every(look, reading, progress)
                else:
                    await _newest(look, reading, sample)
        return reading.findings()

    findings = asyncio.run(run())
    if not print_findings(findings, output):
        context.exit(1)


async def _every(look: Look, reading: "_Reading", progress: Progress) -> None:
    head, position = await look.storage.head(), 0
    while page := await look.storage.read(Selection(after=position, up_to=head), limit=_PAGE):
        for event in page:
            reading.take(event)
        position = page[-1].position
        progress.show(position, head, reading.count)


async def _newest(look: Look, reading: "_Reading", sample: int) -> None:
    for (name, version), _ in sorted((await look.storage.counts()).items()):
        left, up_to = sample, await look.storage.head()
        while left:
            page = await look.storage.read(Selection(types=(name,), up_to=up_to, newest_first=True), limit=_PAGE)
            for event in page:
                if left and event.schema_version == version:
                    reading.take(event)
                    left -= 1
            if len(page) < _PAGE:
                break
            up_to = page[-1].position - 1


class _Reading:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._read: Counter[tuple[str, int]] = Counter()
        self._failed: Counter[tuple[str, int]] = Counter()
        self._first: dict[tuple[str, int], HistoryError] = {}
        self.count = 0

    def take(self, event: StoredEvent) -> None:
        shape = (event.type, event.schema_version)
        self.count += 1
        self._read[shape] += 1
        try:
            self._registry.decode(*shape, event.data, event.position)
        except HistoryError as error:
            self._failed[shape] += 1
            self._first.setdefault(shape, error)

    def findings(self) -> list[Finding]:
        found: list[Finding] = []
        for (name, version), count in sorted(self._read.items()):
            what, failed = f"{name} version {version}", self._failed[name, version]
            if failed:
                error = self._first[name, version]
                detail = f"{failed:,} of {count:,} cannot be read; the first: {error.what}"
                found.append(Finding(what=what, ok=False, detail=detail, do=error.do))
            else:
                found.append(Finding(what=what, ok=True, detail=f"{count:,} read"))
        return found
