"""`daicho forget`, `whoami` and `personal`: people, what is stored about them, and how it goes."""

import asyncio
from getpass import getuser
from socket import gethostname
from typing import Any

import click

from daicho.cli.group import Family, Verb
from daicho.cli.opening import running, try_app
from daicho.cli.output import Rows, output_option, print_done, print_record
from daicho.core.counting import many
from daicho.core.errors import ConfigurationError
from daicho.core.plain import plain
from daicho.flow.forgetting import PersonFound
from daicho.ports.key_store import Certificate
from daicho.settings import Settings

__all__ = ["forget", "personal", "whoami"]

_CERTIFICATES = ("forgotten_at", "subject", "forgotten_by", "reason", "events", "plain", "keys", "complete")

by_option = click.option("--by", metavar="NAME", help="Who does it. [the user of this shell]")


@click.command(cls=Verb)
@click.argument("subject")
@click.option("--reason", default="", help="Why; stands in the certificate.")
@by_option
@click.option("--keep-views", is_flag=True, help="Do not rebuild the projections that may show their data.")
@click.option("--dry-run", is_flag=True, help="Print what would be shredded, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@click.pass_obj
def forget(
    settings: Settings,
    subject: str,
    reason: str,
    by: str | None,
    keep_views: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Destroys the key of SUBJECT's personal data, for ever, rebuilds what was made of it, prints the certificate.

    Events stay, with a placeholder in each personal field. Run again, it finishes what was interrupted. Exit code 1 if
    something that it reached for is left as it was.
    """

    async def run() -> PersonFound | Certificate:
        async with running(settings) as app:
            if dry_run or not yes:
                found = await app.personal.find(subject)
                if dry_run:
                    return found
                if found.state in ("known", "plain"):
                    click.confirm(_question(found), abort=True, err=True)
            return await app.personal.forget(
                subject,
                by=by or getuser(),
                reason=reason,
                rebuild=not keep_views,
                progress=lambda what: click.echo(f"{what} ...", err=True),
            )

    done = asyncio.run(run())
    print_record(output, plain(done))
    if isinstance(done, Certificate):
        is_left = not keep_views and any(view.state == "left" for view in done.views)
        if done.plain or is_left:
            raise SystemExit(1)


def _question(found: PersonFound) -> str:
    held = f" (there is a hold: {found.hold.reason})" if found.hold else ""
    rebuilt = f", and {', '.join(found.views)} rebuilt" if found.views else ""
    where = f"{many(found.events, 'event')} of {many(len(found.streams), 'stream')}"
    return f"The personal data of {found.subject} in {where} will be unreadable for ever{rebuilt}{held}. Go on?"


@click.command(cls=Verb)
@click.argument("subject", required=False)
@output_option
@click.pass_obj
def whoami(settings: Settings, subject: str | None, output: str) -> None:
    """Prints every event that holds personal data of SUBJECT, in plain text: what they may ask of you.

    Without SUBJECT: who you are to Daicho, and what you are about to work on.
    """
    if subject is None:
        print_record(output, _self(settings))
        return

    async def run() -> Rows:
        rows = Rows(output, ("position", "occurred_at", "stream", "type", "actor", "data"))
        async with running(settings) as app:
            async for event in app.personal.whoami(subject):
                rows.add(
                    {
                        "position": int(event.position),
                        "occurred_at": event.occurred_at.isoformat(),
                        "stream": event.stream,
                        "version": event.version,
                        "type": event.type,
                        "actor": event.actor,
                        "data": plain(event.event),
                    }
                )
        return rows

    asyncio.run(run()).end(f"nothing is stored about {subject}")


def _self(settings: Settings) -> dict[str, Any]:
    try:
        app = try_app(settings)
    except ConfigurationError:
        app = None
    return {
        "actor": getuser(),
        "host": gethostname(),
        "app": settings.get("app"),
        "store": settings.get("store") or (app.url if app else None),
        "keys_for_personal_data": None if app is None else "yes" if app.has_keys else "no",
    }


@click.group(cls=Family)
def personal() -> None:
    """Holds against forgetting, and certificates of it."""


@personal.command()
@click.argument("subject")
@click.option("--reason", required=True, help="A lawsuit, a duty to keep.")
@by_option
@output_option
@click.pass_obj
def hold(settings: Settings, subject: str, reason: str, by: str | None, output: str) -> None:
    """From now on nobody forgets SUBJECT."""

    async def run() -> Any:
        async with running(settings) as app:
            return await app.personal.hold(subject, reason=reason, by=by or getuser())

    print_record(output, plain(asyncio.run(run())))


@personal.command()
@click.argument("subject")
@output_option
@click.pass_obj
def release(settings: Settings, subject: str, output: str) -> None:
    """Ends the hold of SUBJECT."""

    async def run() -> None:
        async with running(settings) as app:
            await app.personal.release(subject)

    asyncio.run(run())
    print_done(output, f"{subject} may be forgotten", {"released": subject})


@personal.command()
@output_option
@click.pass_obj
def holds(settings: Settings, output: str) -> None:
    """Who must not be forgotten, and why."""

    async def run() -> Any:
        async with running(settings) as app:
            return await app.personal.holds()

    rows = Rows(output, ("subject", "reason", "held_by", "held_at"))
    for each in asyncio.run(run()):
        rows.add(plain(each))
    rows.end("nobody is held")


@personal.command()
@click.argument("subject", required=False)
@output_option
@click.pass_obj
def certificates(settings: Settings, subject: str | None, output: str) -> None:
    """Who was forgotten, when, by whom, and what went: all, or those of SUBJECT."""

    async def run() -> Any:
        async with running(settings) as app:
            return await app.personal.certificates(subject)

    rows = Rows(output, _CERTIFICATES)
    for each in asyncio.run(run()):
        rows.add(plain(each))
    rows.end("nobody was forgotten")
