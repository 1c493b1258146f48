"""`daicho show`: time travel."""

import asyncio
from datetime import datetime
from typing import Any

import click

from daicho.cli.events import EVENT_COLUMNS, event_row
from daicho.cli.filters import no_such_stream
from daicho.cli.group import Verb
from daicho.cli.moments import point
from daicho.cli.opening import Look, looking
from daicho.cli.output import Rows, envelope, output_option, paint, print_record, text_of
from daicho.core.errors import ConfigurationError, NotFound
from daicho.core.plain import json_text
from daicho.core.state_fields import changes, state_fields
from daicho.core.streams import category_of
from daicho.core.times import to_text
from daicho.ports.event_store import Selection
from daicho.settings import Settings

__all__ = ["show"]

Moment = int | datetime | None


@click.command(cls=Verb)
@click.argument("stream")
@click.option("--at", type=point, help="After this version, or as far as it had occurred at this time.")
@click.option("--diff", metavar="A..B", help="What changed between two versions or times; an empty B is now.")
@output_option
@click.pass_obj
def show(settings: Settings, stream: str, at: Moment, diff: str | None, output: str) -> None:
    """The state of the aggregate behind STREAM (order-o1), now or then. Without an app: its events."""
    if at is not None and diff is not None:
        raise click.UsageError("give --at or --diff, not both")

    async def run() -> None:
        async with looking(settings) as look:
            version = await look.storage.stream_version(stream)
            if not version:
                raise await no_such_stream(look, stream)
            if diff is not None:
                await _diff(look, stream, version, diff, output)
            elif look.app is None:
                await _events(look, stream, version, at, output)
            else:
                state = await _state(look, stream, version, at)
                record = {"stream": stream, "at": _named(at, version), "versions": version, "state": state}
                print_record(output, record if output != "csv" else state)

    asyncio.run(run())


async def _events(look: Look, stream: str, version: int, at: Moment, output: str) -> None:
    _check(stream, version, at)
    selection = Selection(
        stream=stream,
        up_to_version=at if isinstance(at, int) else None,
        until=to_text(at) if isinstance(at, datetime) else None,
    )
    rows = Rows(output, EVENT_COLUMNS)
    async for event in look.history.stored(selection):
        rows.add(event_row(event, None))
    rows.end("no events by then")
    if output == "table":
        click.echo("these are its events; with --app, its state is shown", err=True)


async def _state(look: Look, stream: str, version: int, at: Moment) -> dict[str, Any]:
    _check(stream, version, at)
    state = await look.state(stream, at)
    if state is None:
        known = ", ".join(sorted(look.app.model.categories)) if look.app else ""
        raise ConfigurationError(
            f"no part of the app handles the category {category_of(stream)!r}",
            why=f"it handles {known}" if known else "a state is folded by the code of an app",
            do="name the app that does with --app; `daicho get events --stream` shows the events",
        )
    return state_fields(state)


def _check(stream: str, version: int, at: Moment) -> None:
    if isinstance(at, int) and at > version:
        raise NotFound(f"{stream} has {version} versions, not {at}", do=f"give --at 0 to {version}, or a time")


def _named(at: Moment, version: int) -> Any:
    return version if at is None else to_text(at) if isinstance(at, datetime) else at


async def _diff(look: Look, stream: str, version: int, text: str, output: str) -> None:
    start, dots, end = text.partition("..")
    if not dots or not start:
        raise click.BadParameter("write --diff 3..7, --diff 3.. or two times", param_hint="--diff")
    before_at: Moment = point(start)
    after_at: Moment = point(end) if end else None
    before = await _state(look, stream, version, before_at)
    after = await _state(look, stream, version, after_at)
    found = changes(before, after)
    between = (_named(before_at, version), _named(after_at, version))
    if output == "json":
        envelope({"stream": stream, "from": between[0], "to": between[1], "changes": found})
        return
    if output != "table":
        rows = Rows(output, ())
        for change in found:
            rows.add(change)
        return
    click.echo(paint(f"{stream}  {text_of(between[0])} .. {text_of(between[1])}", bold=True))
    for change in found:
        field = change["field"]
        if change["before"] is not None:
            click.echo(paint(f"- {field}: {json_text(change['before'])}", fg="red"))
        if change["after"] is not None:
            click.echo(paint(f"+ {field}: {json_text(change['after'])}", fg="green"))
    if not found:
        click.echo("no difference")
