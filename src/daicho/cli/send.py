"""`daicho send`: a command from outside."""

import asyncio
from datetime import datetime
from typing import Any

import click

from daicho.app import App
from daicho.cli.get import outcome_row
from daicho.cli.group import Verb
from daicho.cli.moments import moment
from daicho.cli.opening import running
from daicho.cli.output import output_option, print_record
from daicho.cli.typed import message_from, message_options
from daicho.core.conditions import Expected, ExpectedVersion
from daicho.core.errors import NotFound, Rejected, StaleAnswer, UnknownMessage
from daicho.core.messages import Command, Receipt
from daicho.core.plain import plain
from daicho.settings import Settings

__all__ = ["send"]


def _version(text: str) -> Expected:
    """A number, or `any`, `absent`, `exists`."""
    try:
        return int(text) if text.isdecimal() else ExpectedVersion(text.lower())
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a version; write a number, any, absent or exists") from error


@click.command(cls=Verb)
@click.argument("name")
@message_options
@click.option("--actor", help="Who asks; stands in every event.")
@click.option("--tenant")
@click.option("--key", help="Idempotency key: sent again, nothing is done and the first outcome is printed.")
@click.option("--expected", type=_version, metavar="VERSION", help="The version of the stream that you saw.")
@click.option("--occurred-at", type=moment, help="When it really happened, if not now.")
@click.option("--post", is_flag=True, help="Make it durable and return; it is handled soon.")
@click.option("--wait", is_flag=True, help="Run the app until everything it caused has been handled.")
@click.option("--within", default=30.0, show_default=True, help="Seconds that --wait waits.")
@output_option
@click.pass_obj
def send(
    settings: Settings,
    name: str,
    data: str | None,
    settings_: tuple[str, ...],
    post: bool,
    wait: bool,
    within: float,
    output: str,
    actor: str | None,
    tenant: str | None,
    key: str | None,
    expected: Expected | None,
    occurred_at: datetime | None,
) -> None:
    """Sends the command NAME of the app. Its fields come from --data, --set, or both.

    Without --wait no event handler and no projection is run here: a running app does that.
    """
    envelope: dict[str, Any] = {
        "actor": actor,
        "tenant": tenant,
        "key": key,
        "expected": expected,
        "occurred_at": occurred_at,
    }

    async def run() -> None:
        async with running(settings, processors=wait, create=True) as app:
            command = message_from(_command_named(app, name), data, settings_)
            if post:
                command_id = await app.post(command, **envelope)
                print_record(output, await _posted(app, command_id, within if wait else 0))
            else:
                receipt = await app.send(command, **envelope)
                if wait:
                    await app.settled(receipt, within=within)
                print_record(output, _receipt(receipt, settled=wait))

    asyncio.run(run())


def _command_named(app: App, name: str) -> type[Command]:
    message = app.model.message(name)
    if not issubclass(message, Command):
        raise UnknownMessage(f"{name} is a query", why="`send` takes commands", do=f"daicho query {name}", message=name)
    return message


def _receipt(receipt: Receipt, *, settled: bool) -> dict[str, Any]:
    return {
        "command_id": receipt.command_id,
        "stream": receipt.stream,
        "version": receipt.version,
        "position": int(receipt.position),
        "correlation_id": receipt.correlation_id,
        "duplicate": receipt.duplicate,
        "settled": settled,
        "events": [{"type": type(event).__message_name__, "data": plain(event)} for event in receipt.events],
    }


async def _posted(app: App, command_id: str, within: float) -> dict[str, Any]:
    if within:
        await app.settle(within=within)
    outcome = await app.status(command_id)
    if outcome is None:
        raise NotFound(f"the command {command_id} is gone", do="`daicho describe` it")
    if outcome.state in ("rejected", "failed"):
        raise Rejected(outcome.reason or outcome.state, command_id=command_id, state=outcome.state)
    if within and outcome.state == "pending":
        raise StaleAnswer(f"{command_id} is still pending after {within} s", answer=None, lag=0)
    see = f"daicho describe {command_id}" if outcome.state == "pending" else None
    return {**outcome_row(outcome), **({"see": see} if see else {})}
