"""`daicho adopt`: rows of another system become events."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

import click

from daicho.app import App
from daicho.cli.group import Verb
from daicho.cli.opening import load_app, opened
from daicho.cli.output import Rows, output_option
from daicho.cli.progress import Progress
from daicho.core.counting import many
from daicho.core.errors import ConfigurationError
from daicho.core.plain import json_text
from daicho.leaving import Adopted, Adoption, Source, proposals, source_of
from daicho.leaving.foreign import ForeignTable
from daicho.settings import Settings

__all__ = ["adopt"]

_SHOWN = 5


@click.command(cls=Verb)
@click.argument("source", metavar="URL|FILE.csv")
@click.argument("table", required=False)
@click.option("--event", metavar="TYPE", help="The stored name of the event that each row becomes.")
@click.option("--key", metavar="COLUMN", help="Whose value names the stream. [that of the aggregate's key]")
@click.option("--set", "fields", multiple=True, metavar="FIELD=COLUMN", help="Where their names differ.")
@click.option("--at", metavar="COLUMN", help="When it happened; without a zone: UTC. [now]")
@click.option("--category", metavar="NAME", help="Of the streams, if several record such events.")
@click.option("--dry-run", is_flag=True, help="Show the first events, check all rows, and append nothing.")
@output_option
@click.pass_context
def adopt(
    context: click.Context,
    source: str,
    table: str | None,
    event: str | None,
    key: str | None,
    fields: tuple[str, ...],
    at: str | None,
    category: str | None,
    dry_run: bool,
    output: str,
) -> None:
    """Makes each row of TABLE in another database (SQLite, PostgreSQL, or a CSV file) the first event of a stream.

    Without TABLE, tells what there is, and which events each table could become. The source is only read. Adopting
    again takes in what is new, and nothing else; exit code 4 if streams begin with something else. Event handlers take
    adopted events up like any others: adopt before the app first runs, if none shall.
    """
    settings: Settings = context.obj
    app = load_app(settings)
    with source_of(source) as foreign:
        if table is None:
            _propose(app, foreign, output)
            return
        if event is None:
            raise click.UsageError("--event says what each row becomes; without TABLE, daicho adopt proposes")
        described = foreign.table(table)
        given = dict(_pair(each) for each in fields)
        adoption = Adoption(app, described, event, key=key, category=category, fields=given, at=at)
        if dry_run:
            _try(adoption, foreign, described, output)
            return
        if app.url.startswith("memory:"):
            raise ConfigurationError("no lasting store was named", do="daicho --store sqlite:///shop.db adopt ...")
        with Progress(f"adopting {table}", described.rows, unit="rows") as progress:
            adopted = asyncio.run(
                _adopt(app, adoption, foreign, described, lambda done: progress.show(done, described.rows, done))
            )
    click.echo(f"{adopted.new:,} new, {adopted.there:,} were there already", err=True)
    if adopted.taken:
        names = ", ".join(adopted.taken[:_SHOWN])
        click.echo(f"{len(adopted.taken):,} left out, whose streams begin with something else: {names}", err=True)
        context.exit(4)


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not FIELD=COLUMN", param_hint="--set")
    return name, column


async def _adopt(
    app: App, adoption: Adoption, source: Source, table: ForeignTable, told: Callable[[int], None]
) -> Adopted:
    async with opened(app.url, app) as storage:
        return await adoption.run(storage, source.rows(table), told)


def _propose(app: App, source: Source, output: str) -> None:
    rows = Rows(output, ("table", "rows", "key", "columns", "events"))
    for found in proposals(app, source):
        rows.add(
            {
                "table": found.table,
                "rows": found.rows,
                "key": found.key,
                "columns": list(found.columns),
                "events": list(found.events),
            }
        )
    rows.end("no tables")


def _try(adoption: Adoption, source: Source, table: ForeignTable, output: str) -> None:
    placed = adoption.placed(source.rows(table))
    rows = Rows(output, ("stream", "occurred_at", "type", "data"))
    for stream, new, event in islice(placed, _SHOWN):
        data: Any = json_text(event)
        rows.add({"stream": stream, "occurred_at": new.occurred_at, "type": new.type, "data": data})
    count = rows.count + sum(1 for _ in placed)
    rows.end("no rows")
    click.echo(f"{many(count, 'row')} can be adopted; nothing was appended", err=True)
