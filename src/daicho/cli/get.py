"""`daicho get`: lists."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import click

from daicho.cli.events import EVENT_COLUMNS, event_row
from daicho.cli.filters import Filters, filter_options, selected
from daicho.cli.group import Family
from daicho.cli.letters import LETTER_COLUMNS, letter_row, letters_of
from daicho.cli.moments import moment
from daicho.cli.opening import looking
from daicho.cli.output import Rows, output_option
from daicho.cli.standing import STANDING_COLUMNS, standings
from daicho.core.plain import plain
from daicho.core.times import to_text
from daicho.ports.event_store import CommandOutcome
from daicho.settings import Settings

__all__ = ["get"]

F = TypeVar("F", bound=Callable[..., Any])


def limit_option(function: F) -> F:
    return click.option(
        "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="At most so many; 0: all."
    )(function)


@click.group(cls=Family)
def get() -> None:
    """List what is in the store."""


@get.command()
@click.option("--category", metavar="NAME")
@click.option("--after", default="", metavar="NAME", help="Names behind this one.")
@limit_option
@output_option
@click.pass_obj
def streams(settings: Settings, category: str | None, after: str, limit: int, output: str) -> None:
    """Streams and their versions, by name."""

    async def run() -> None:
        rows = Rows(output, ("stream", "version"), limit=limit)
        behind = after
        async with looking(settings) as look:
            while page := await look.storage.streams(category, after=behind, limit=1000):
                for name, version in page:
                    if not rows.add({"stream": name, "version": version}):
                        break
                if rows.more:
                    break
                behind = page[-1][0]
        rows.end("no streams")

    asyncio.run(run())


@get.command()
@filter_options
@click.option("--newest", is_flag=True, help="Newest first.")
@limit_option
@output_option
@click.pass_obj
def events(settings: Settings, wanted: Filters, newest: bool, limit: int, output: str) -> None:
    """Events, in order of position."""

    async def run() -> None:
        rows = Rows(output, EVENT_COLUMNS, limit=limit)
        async with looking(settings) as look:
            async for event in selected(look, wanted, newest_first=newest):
                if not rows.add(event_row(event, look.registry)):
                    break
        rows.end("no events")

    asyncio.run(run())


@get.command()
@click.option("--state", type=click.Choice(["pending", "done", "rejected", "failed"]))
@click.option("--type", "names", multiple=True, metavar="GLOB", help="Name of the command.")
@click.option("--stream", metavar="NAME")
@click.option("--correlation", metavar="ID")
@click.option("--actor", metavar="NAME")
@click.option("--since", type=moment, help="Received at or after.")
@click.option("--until", type=moment, help="Received at or before.")
@limit_option
@output_option
@click.pass_obj
def commands(
    settings: Settings, /, state: str | None, correlation: str | None, limit: int, output: str, **conditions: Any
) -> None:
    """Commands that left a note: keyed, posted or refused ones, newest first."""

    async def run() -> None:
        rows = Rows(output, ("received_at", "name", "state", "stream", "actor", "reason", "command_id"), limit=limit)
        async with looking(settings) as look:
            for outcome in await look.storage.outcomes(state=state, correlation_id=correlation, limit=2**31):
                if _meets(outcome, **conditions) and not rows.add(outcome_row(outcome)):
                    break
        rows.end("no commands")

    asyncio.run(run())


def _meets(
    outcome: CommandOutcome,
    *,
    names: tuple[str, ...],
    stream: str | None,
    actor: str | None,
    since: datetime | None,
    until: datetime | None,
) -> bool:
    return (
        (not names or any(fnmatchcase(outcome.name, name) for name in names))
        and stream in (None, outcome.stream)
        and actor in (None, outcome.actor)
        and (since is None or outcome.received_at >= to_text(since))
        and (until is None or outcome.received_at <= to_text(until))
    )


def outcome_row(outcome: CommandOutcome) -> dict[str, Any]:
    row: dict[str, Any] = plain(outcome)
    del row["payload"], row["fingerprint"]
    return row


@get.command()
@output_option
@click.pass_obj
def projections(settings: Settings, output: str) -> None:
    """Projections and event handlers: position, lag, what is parked."""

    async def run() -> None:
        rows = Rows(output, STANDING_COLUMNS)
        async with looking(settings) as look:
            for standing in await standings(look):
                rows.add(plain(standing))
        rows.end("no projections")

    asyncio.run(run())


@get.command()
@click.option("--processor", metavar="NAME")
@limit_option
@output_option
@click.pass_obj
def deadletters(settings: Settings, processor: str | None, limit: int, output: str) -> None:
    """Parked events, oldest first."""

    async def run() -> None:
        rows = Rows(output, LETTER_COLUMNS, limit=limit)
        async with looking(settings) as look:
            for letter in await letters_of(look.storage, processor):
                if not rows.add(letter_row(letter)):
                    break
        rows.end("nothing is parked")

    asyncio.run(run())


@get.command()
@output_option
@click.pass_obj
def types(settings: Settings, output: str) -> None:
    """Event types in the store: how many of each, and whether the app can read them."""

    async def run() -> None:
        rows = Rows(output, ("type", "schema_version", "events", "class", "readable"))
        async with looking(settings) as look:
            classes = look.registry.classes if look.registry else {}
            for (name, version), count in sorted((await look.storage.counts()).items()):
                row: dict[str, Any] = {"type": name, "schema_version": version, "events": count}
                if look.registry:
                    row["class"] = classes[name].__name__ if name in classes else None
                    row["readable"] = look.registry.knows(name, version)
                rows.add(row)
        rows.end("no events")

    asyncio.run(run())
