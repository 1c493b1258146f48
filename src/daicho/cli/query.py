"""`daicho query`: a question to the read side."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import click
import msgspec

from daicho.app import App
from daicho.cli.group import Verb
from daicho.cli.moments import point
from daicho.cli.opening import running
from daicho.cli.output import Rows, envelope, output_option, print_record, text_of
from daicho.cli.typed import message_from, message_options
from daicho.core.counting import many
from daicho.core.errors import UnknownMessage
from daicho.core.messages import Query
from daicho.core.plain import plain
from daicho.settings import Settings

__all__ = ["query"]


@click.command(cls=Verb)
@click.argument("name")
@message_options
@click.option("--wait", is_flag=True, help="First run the app until every projection has caught up.")
@click.option("--as-of", type=point, help="Of views as they were at this position, or as far as things had occurred.")
@output_option
@click.pass_obj
def query(
    settings: Settings,
    name: str,
    data: str | None,
    settings_: tuple[str, ...],
    wait: bool,
    as_of: int | datetime | None,
    output: str,
) -> None:
    """Asks the query NAME of the app and prints the answer."""
    if wait and as_of is not None:
        raise click.UsageError("give --wait or --as-of, not both: the past does not depend on how far projections are")

    async def run() -> None:
        async with running(settings, processors=wait) as app:
            question = message_from(_query_named(app, name), data, settings_)
            if wait:
                await app.settle()
            answer = await app.ask(question, as_of=as_of)
            _print(output, answer)
            if as_of is None:
                await _say_if_behind(app)

    asyncio.run(run())


def _query_named(app: App, name: str) -> type[Query[Any]]:
    message = app.model.message(name)
    found = next((query for query in app.model.queries if query is message), None)
    if found is None:
        raise UnknownMessage(
            f"{name} is a command", why="`query` takes queries", do=f"daicho send {name}", message=name
        )
    return found


def _print(output: str, answer: Any) -> None:
    shown = plain(answer)
    if isinstance(answer, msgspec.Struct | dict):
        print_record(output, cast("dict[str, Any]", shown))
    elif isinstance(shown, list):
        items: list[dict[str, Any]] = [
            cast("dict[str, Any]", item) if isinstance(item, dict) else {"answer": item}
            for item in cast("Sequence[Any]", shown)
        ]
        rows = Rows(output, tuple(dict.fromkeys(key for item in items for key in item)))
        for item in items:
            rows.add(item)
        rows.end("an empty answer")
    elif output == "table":
        click.echo(text_of(shown))
    else:
        envelope(shown)


async def _say_if_behind(app: App) -> None:
    behind = [lag for lag in await app.lag() if lag.processor.startswith("projection:") and lag.events_behind]
    if behind:
        most = max(lag.events_behind for lag in behind)
        names = ", ".join(lag.processor.removeprefix("projection:") for lag in behind)
        click.echo(f"note: {names} up to {many(most, 'event')} behind; --wait catches up first", err=True)
