"""`daicho health`: one answer for a probe."""

import asyncio
from datetime import UTC, datetime

import click

from daicho.cli.group import Verb
from daicho.cli.opening import Look, looking
from daicho.cli.output import Rows, envelope, output_option, paint
from daicho.cli.replica import replica_problems
from daicho.core.errors import StoreError
from daicho.core.plain import plain
from daicho.flow.among import gap_problems
from daicho.read.health import LATE, Health, examine, unreachable
from daicho.settings import Settings

__all__ = ["health", "health_of"]

_COLOURS = {"ok": "green", "degraded": "yellow", "down": "red"}
_EXIT = {"ok": 0, "degraded": 1, "down": 2}


@click.command(cls=Verb)
@click.option("--late", default=LATE, show_default=True, help="Seconds that a reader may be behind.")
@click.option("--within", default=5.0, show_default=True, help="Seconds in which the store has to answer.")
@output_option
@click.pass_context
def health(context: click.Context, late: float, within: float, output: str) -> None:
    """Whether all is well, and what to do if not. Exit code 0 ok, 1 degraded, 2 down: fit for a container's probe.

    Never ok while anything is parked. Looks at the store alone, and changes nothing in it. With an app, its readers
    are asked about, and no others.
    """
    found = asyncio.run(_health(context.obj, late, within))
    if output == "json":
        envelope(plain(found))
    elif output == "table":
        click.echo(paint(found.status, fg=_COLOURS[found.status]))
        for problem in found.problems:
            click.echo(f"{problem.what}: {problem.detail}\n  do: {problem.do}")
    else:
        rows = Rows(output, ())
        for problem in found.problems:
            rows.add({"status": found.status, **plain(problem)})
    context.exit(_EXIT[found.status])


async def _health(settings: Settings, late: float, within: float) -> Health:
    try:
        async with asyncio.timeout(within), looking(settings) as look:
            found = await health_of(look, late, within)
            replicas = await replica_problems(look, settings)
            return Health(status="degraded", problems=(*found.problems, *replicas)) if replicas else found
    except TimeoutError:
        return unreachable(f"it did not answer within {within:g} s")
    except StoreError as error:
        return unreachable(error.what)


async def health_of(look: Look, late: float, within: float = 60.0) -> Health:
    """The same for every verb that tells it."""
    now = look.app.clock.now() if look.app else datetime.now(UTC)
    if look.app is None:
        return await examine(look.storage, now, late=late, within=within)
    among, readers = look.app.among, look.app.model.readers
    if among is not None and among.published:
        readers |= {f"relay:{among.name}"}
    found = await examine(look.storage, now, late=late, within=within, readers=readers)
    gaps = await gap_problems(among, look.storage) if among is not None and found.status != "down" else []
    return Health(status="degraded", problems=(*found.problems, *gaps)) if gaps else found
