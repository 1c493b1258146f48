"""`daicho sql`: questions that nobody thought of before."""

import asyncio
import importlib
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import click

from daicho.cli.group import Verb
from daicho.cli.opening import looking, running
from daicho.cli.output import Rows, output_option
from daicho.core.errors import MissingExtra
from daicho.settings import Settings

__all__ = ["sql"]


@click.command(cls=Verb)
@click.argument("statement", required=False)
@click.option("--tables", is_flag=True, help="Show the tables that there are, and their columns.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many rows.")
@click.option("--within", type=float, default=10.0, show_default=True, help="Seconds that the statement may take.")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="POSITION", help="Only events behind it.")
@output_option
@click.pass_obj
def sql(
    settings: Settings, statement: str | None, tables: bool, limit: int, within: float, after: int, output: str
) -> None:
    """Runs one STATEMENT of SQL that reads, in the dialect of DuckDB; `-` takes it from standard input.

    The tables are `events`, `commands`, `checkpoints` and `dead_letters`, and with an app all of its views. It runs on
    a copy in memory: nothing that is written here can reach the store. `data->>'$.sku'` takes a field out of an event.
    """
    if statement is None and not tables:
        raise click.UsageError("give a statement, or --tables")
    text = sys.stdin.read() if statement == "-" else statement or ""

    async def run() -> None:
        async with _workbench(settings, after) as bench:
            rows = Rows(output, ("table", "column", "type"))
            if tables:
                for table, columns in bench.tables.items():
                    for column, type_ in columns.items():
                        rows.add({"table": table, "column": column, "type": type_})
                rows.end()
                return
            answer = await bench.ask(text, limit=limit, within=within)
            names = _told_apart([column.name for column in answer.columns])
            rows = Rows(output, names)
            for row in answer.rows:
                rows.add(dict(zip(names, row, strict=True)))
            rows.end("no rows")
            if answer.more:
                click.echo(f"the first {limit} rows; more with --limit", err=True)

    asyncio.run(run())


@asynccontextmanager
async def _workbench(settings: Settings, after: int) -> AsyncGenerator[Any, None]:
    try:
        workbench = importlib.import_module("daicho.insight.workbench").Workbench
    except ImportError as error:
        raise MissingExtra(
            "SQL needs an extra", why=str(error), do='pip install "daicho[insight]"', extra="insight"
        ) from error
    if settings.get("app"):
        async with running(settings) as app:
            bench = workbench.of(app, after=after)
            try:
                yield bench
            finally:
                await bench.close()
        return
    async with looking(settings) as look:
        bench = workbench(look.storage, after=after)
        try:
            yield bench
        finally:
            await bench.close()


def _told_apart(names: list[str]) -> list[str]:
    """Columns may share a name; fields of a row may not."""
    found: list[str] = []
    for name in names:
        new, n = name, 2
        while new in found:
            new, n = f"{name}_{n}", n + 1
        found.append(new)
    return found
