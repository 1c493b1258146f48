"""`daicho process`: instances of process managers."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import click

from daicho.cli.group import Family
from daicho.cli.moments import moment
from daicho.cli.opening import load_app, looking
from daicho.cli.output import Rows, output_option, print_done, print_record
from daicho.core.plain import plain
from daicho.flow.process_admin import InstanceLine, Processes
from daicho.settings import Settings

__all__ = ["process"]

_COUNTS = ("process", "waiting", "running", "compensating", "compensated", "done", "stuck")
_LINES = ("process", "key", "status", "moved_at", "stuck")
_STATUSES = ("waiting", "running", "compensating", "compensated", "done")


@click.group(cls=Family)
def process() -> None:
    """Process managers: see how they stand, find what is stuck, nudge it, or turn it back."""


@asynccontextmanager
async def _processes(settings: Settings) -> AsyncGenerator[Processes, None]:
    """Over the store alone; of the app only its model. Raises ConfigurationError if no app was named."""
    app = load_app(settings)
    async with looking(settings) as look:
        yield Processes.beside(app.model.processes, look.storage, app.registry, app.clock)


@process.command("list")
@click.argument("name", required=False)
@click.option("--status", type=click.Choice(_STATUSES), help="Only instances that stand so.")
@click.option("--limit", default=50, show_default=True, help="At most so many instances; 0: all.")
@output_option
@click.pass_obj
def list_(settings: Settings, name: str | None, status: str | None, limit: int, output: str) -> None:
    """How many instances of each process manager stand how; or, with NAME, its instances, the last moved first."""

    async def run() -> None:
        async with _processes(settings) as processes:
            if name is None:
                rows = Rows(output, _COUNTS)
                for count in await processes.list():
                    rows.add(plain(count))
                rows.end("this app has no process managers")
                return
            rows = Rows(output, _LINES, limit=limit)
            for line in await processes.instances(name, status=status, limit=limit + 1 if limit else 10**9):
                if not rows.add(_row(line)):
                    break
            rows.end("no instances")

    asyncio.run(run())


@process.command()
@click.argument("name")
@click.argument("key")
@output_option
@click.pass_obj
def show(settings: Settings, name: str, key: str, output: str) -> None:
    """Instance KEY of NAME: its fields, each step it took, its deadlines, its commands with what became of them, and
    what it waits for."""

    async def run() -> None:
        async with _processes(settings) as processes:
            print_record(output, plain(await processes.show(name, key)))

    asyncio.run(run())


@process.command()
@click.option(
    "--older", default="1h", show_default=True, metavar="AGE", help="Not moved for so long: 90s, 10m, 2h, 3d."
)
@output_option
@click.pass_context
def stuck(context: click.Context, older: str, output: str) -> None:
    """Instances that cannot go on without help, and those that have not ended and not moved for a while. Exit code 1
    if there are any."""
    settings: Settings = context.obj

    async def run() -> int:
        async with _processes(settings) as processes:
            rows = Rows(output, _LINES)
            for line in await processes.stuck(older=datetime.now(UTC) - moment(older)):
                rows.add(_row(line))
            rows.end("nothing is stuck")
            return rows.count

    if asyncio.run(run()):
        context.exit(1)


@process.command()
@click.argument("name")
@click.argument("key")
@output_option
@click.pass_obj
def nudge(settings: Settings, name: str, key: str, output: str) -> None:
    """Has instance KEY of NAME send again what has no answer and try again what was given up.

    What was done is not done twice. The process that runs the app does it.
    """

    async def run() -> bool:
        async with _processes(settings) as processes:
            return await processes.nudge(name, key)

    nudged = asyncio.run(run())
    sentence = f"nudged {name} {key}" if nudged else f"{name} {key} waits for nothing that could be nudged"
    print_done(output, sentence, {"process": name, "key": key, "nudged": nudged})


@process.command()
@click.argument("name")
@click.argument("key")
@click.option("--reason", required=True, help="Why; it stays on record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@click.pass_obj
def compensate(settings: Settings, name: str, key: str, reason: str, yes: bool, output: str) -> None:
    """Has instance KEY of NAME undo what it did, the last step first. The process that runs the app does it."""
    if not yes:
        question = f"Everything that {name} {key} did and that can be undone will be. Go back?"
        click.confirm(question, abort=True, err=True)

    async def run() -> bool:
        async with _processes(settings) as processes:
            return await processes.compensate(name, key, reason)

    goes_back = asyncio.run(run())
    sentence = f"{name} {key} goes back" if goes_back else f"{name} {key} goes back already, or never began"
    print_done(output, sentence, {"process": name, "key": key, "goes_back": goes_back, "reason": reason})


def _row(line: InstanceLine) -> Mapping[str, Any]:
    row: dict[str, Any] = plain(line)
    return {**row, "moved_at": line.moved_at.isoformat(timespec="microseconds")}
