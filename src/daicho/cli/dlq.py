"""`daicho dlq`: parked events."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from daicho.cli.events import event_row
from daicho.cli.get import deadletters
from daicho.cli.group import Family
from daicho.cli.letters import LETTER_COLUMNS, letter_numbered, letter_row, letters_of
from daicho.cli.moments import moment
from daicho.cli.opening import Look, looking, running
from daicho.cli.output import Rows, output_option, print_done, print_record
from daicho.cli.trial import trial_lines
from daicho.core.errors import InvalidMessage
from daicho.core.plain import plain
from daicho.core.times import to_text
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import Selection
from daicho.read.trial import Trial
from daicho.settings import Settings

__all__ = ["dlq"]

_CLOSED = ("retried", "skipped")


@click.group(cls=Family)
def dlq() -> None:
    """Parked events: look, try, retry, skip with a reason, purge."""


dlq.add_command(deadletters, "list")


@dlq.command()
@click.argument("number", type=int)
@output_option
@click.pass_obj
def show(settings: Settings, number: int, output: str) -> None:
    """Dead letter NUMBER: its event, the error with its traceback, and who waits behind it."""

    async def run() -> None:
        async with looking(settings) as look:
            print_record(output, await _whole(look, number, lines=output == "table"))

    asyncio.run(run())


async def _whole(look: Look, number: int, *, lines: bool) -> dict[str, Any]:
    letter = await letter_numbered(look.storage, number)
    found = await look.storage.read(Selection(event_id=letter.event_id), limit=1)
    followers = [
        other.number
        for other in await letters_of(look.storage, letter.processor)
        if other.key == letter.key and other.number > number
    ]
    trace: Any = letter.trace
    return {
        **plain(letter),
        "waiting_behind_it": followers,
        "event": event_row(found[0], look.registry)["data"] if found else None,
        "trace": [{"traceback": line} for line in trace.splitlines()] if lines and trace else trace,
    }


@dlq.command()
@click.argument("number", type=int, required=False)
@click.option("--processor", metavar="NAME", help="Everything that this processor parked.")
@click.option("--all", "everything", is_flag=True, help="Everything that is parked.")
@click.option("--within", default=30.0, show_default=True, help="Seconds to wait for the outcome.")
@output_option
@click.pass_context
def retry(
    context: click.Context, number: int | None, processor: str | None, everything: bool, within: float, output: str
) -> None:
    """Tries NUMBER (and the events of the same key behind it), a processor's letters, or all of them again.

    With an app, its processors are run here if no other process runs them. With --store alone, the retry is only
    asked for: the process that runs the processor does it. Exit code 1 if any stays parked.
    """
    settings: Settings = context.obj
    if [number is not None, processor is not None, everything].count(True) != 1:
        raise click.UsageError("name a letter by its NUMBER, or give --processor NAME, or --all", context)

    async def run() -> bool:
        if settings.get("app") is None:
            async with looking(settings) as look:
                wanted = await _wanted(look, number, processor)
                asked = [await look.storage.ask_retry(x.processor, number=x.number) for x in _heads(wanted)]
                record = {
                    "asked": sum(asked),
                    "see": "daicho dlq list: the process that runs them tries within a second",
                }
                print_record(output, record)
            return True
        async with looking(settings) as look:  # before it runs: mended code retries by itself
            wanted = await _wanted(look, number, processor)
        async with running(settings, processors=True) as app:
            for letter in _heads(wanted):
                await app.dead_letters.retry(letter.number)
            try:
                await app.dead_letters.retried(within)
            except TimeoutError:
                click.echo(f"not all were tried within {within} s; they stay asked for", err=True)
            numbers = {letter.number for letter in wanted}
            after = [x for x in await letters_of(app.storage, everything=True) if x.number in numbers]
        rows = Rows(output, LETTER_COLUMNS)
        for letter in after:
            rows.add(letter_row(letter))
        rows.end("nothing is parked")
        return not any(letter.state in ("parked", "retry") for letter in after)

    if not asyncio.run(run()):
        context.exit(1)


async def _wanted(look: Look, number: int | None, processor: str | None) -> Sequence[DeadLetter]:
    """The letters that a retry is about. Raises NotParked."""
    if number is None:
        return await letters_of(look.storage, processor)
    named = await letter_numbered(look.storage, number)
    return [x for x in await letters_of(look.storage, named.processor) if x.key == named.key]


def _heads(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """The first letter of each key: asking for one asks for its whole key."""
    return list({(x.processor, x.key): x for x in reversed(letters)}.values())[::-1]


@dlq.command("try")
@click.argument("number", type=int)
@click.option("--only", is_flag=True, help="This letter alone, without those of its key before and behind it.")
@output_option
@click.pass_context
def try_letter(context: click.Context, number: int, only: bool, output: str) -> None:
    """Shows what a retry of NUMBER (and of the events of the same key) would do, and does none of it.

    Of a projection: its rows before and after. Of an event handler: the commands that it would send, and what their
    aggregates would decide. Of a projection in SQL: whether the database takes it. Exit code 1 if it would stay parked.
    """

    async def run() -> Trial:
        async with running(context.obj) as app:
            return await app.dead_letters.try_(number, whole_key=not only)

    trial = asyncio.run(run())
    if output == "table":
        click.echo("\n".join(trial_lines(trial)))
    else:
        print_record(output, plain(trial))
    if trial.error is not None:
        context.exit(1)


@dlq.command()
@click.option("--older-than", metavar="AGE", required=True, help="Parked longer ago: 12h, 30d, 8w, or before a date.")
@click.option("--state", "states", multiple=True, type=click.Choice(_CLOSED), default=_CLOSED, show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@click.pass_obj
def purge(settings: Settings, older_than: str, states: tuple[str, ...], yes: bool, output: str) -> None:
    """Removes old letters that were retried or skipped. What is still parked is never touched."""
    before = to_text(moment(older_than))

    async def run() -> int:
        async with looking(settings) as look:
            if not yes:
                question = f"Remove letters that are {' or '.join(states)} and older than {older_than}?"
                click.confirm(question, abort=True, err=True)
            return await look.storage.purge(before, states)

    purged = asyncio.run(run())
    print_done(output, f"purged {purged}", {"purged": purged})


@dlq.command()
@click.argument("number", type=int)
@click.option("--reason", required=True, help="Why it may be left out; stays on record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@click.pass_obj
def skip(settings: Settings, number: int, reason: str, yes: bool, output: str) -> None:
    """Gives dead letter NUMBER up for good. The event stays in the log; the processor never sees it."""
    if not reason.strip():
        raise InvalidMessage("a skipped event needs a reason", do="say why it may be left out", path="reason")

    async def run() -> None:
        async with looking(settings) as look:
            letter = await letter_numbered(look.storage, number)
            if not yes:
                question = f"{letter.processor} will never see {letter.type} of {letter.stream}. Skip it?"
                click.confirm(question, abort=True, err=True)
            await look.storage.skip(number, reason)

    asyncio.run(run())
    print_done(output, f"skipped {number}: {reason}", {"skipped": number, "reason": reason})
