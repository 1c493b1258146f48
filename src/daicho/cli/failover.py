"""`daicho failover`: another PostgreSQL server in the place of the primary, by hand."""

import asyncio
from collections.abc import Sequence

import click

from daicho.adapters.clock import SystemClock
from daicho.cli.group import Family
from daicho.cli.opening import looking, try_app
from daicho.cli.output import Rows, envelope, output_option, paint, print_done
from daicho.core.counting import many
from daicho.core.errors import ConfigurationError
from daicho.core.plain import plain
from daicho.ports.failover import Failover, FailoverCheck, Promotion
from daicho.read.orphans import Orphans
from daicho.settings import Settings
from daicho.wiring.urls import open_failover

__all__ = ["failover"]

_SERVERS = (
    "server",
    "role",
    "timeline",
    "epoch",
    "position",
    "events_behind",
    "bytes_behind",
    "seconds_behind",
    "sync",
)
_ORPHANS = ("checkpoint", "where", "first", "last", "events", "epoch", "state", "do")
_LOST = ("position", "stream", "version", "type", "event_id", "recorded_at")
_standbys = click.option("--standby", "standbys", multiple=True, metavar="URL", help="Of a standby. May be repeated.")


@click.group(cls=Family)
def failover() -> None:
    """Another PostgreSQL server in the place of the primary: look before, promote, see what was lost."""


@failover.command()
@_standbys
@output_option
@click.pass_obj
def check(settings: Settings, standbys: Sequence[str], output: str) -> None:
    """What would happen if a standby were promoted now: who there is, how far they are, what would be lost, and whether
    the old primary can be kept from taking writes. Changes nothing. Exit code 1 if something is in the way."""
    found = asyncio.run(_failover(settings).check(standbys))
    if output == "table":
        _print_check(found)
    else:
        envelope(plain(found))
    raise SystemExit(1 if found.problems else 0)


@failover.command()
@click.option("--standby", metavar="URL", help="Which one; without it, the one that has the most.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Although the old primary may still take writes, or events are lost.")
@click.option("--within", type=float, default=60.0, show_default=True, help="Seconds.")
@output_option
@click.pass_obj
def promote(settings: Settings, standby: str | None, yes: bool, force: bool, within: float, output: str) -> None:
    """Promotes a standby. If the primary still answers, it is made read-only first, and the standby waited for, so that
    nothing is lost. If it is down, what it had not passed on is lost. Anything else is refused unless --force."""
    at_hand = _failover(settings)
    before = asyncio.run(at_hand.check([standby] if standby else []))
    if output == "table":
        _print_check(before)
    if not yes:
        lost = "an unknown number of" if before.primary is None else "no"
        click.confirm(
            f"Promote {standby or before.best}? {lost} acknowledged events would be lost", abort=True, err=True
        )
    done = asyncio.run(at_hand.promote(standby, force=force, within=within))
    if output == "table":
        _print_promotion(done)
    else:
        envelope(plain(done))


@failover.command()
@output_option
@click.pass_obj
def orphans(settings: Settings, output: str) -> None:
    """Who has seen events that were lost: views that are built anew, reactions and relays that somebody has to see to.
    Exit code 1 if there are any."""

    async def run() -> list[object]:
        async with looking(settings) as look:
            return list(await Orphans(look.storage, look.storage).all())

    rows = Rows(output, _ORPHANS)
    found = asyncio.run(run())
    for each in found:
        rows.add(plain(each))
    rows.end()
    raise SystemExit(1 if found else 0)


@failover.command()
@click.argument("checkpoint")
@output_option
@click.pass_obj
def accept(settings: Settings, checkpoint: str, output: str) -> None:
    """Somebody has seen to what CHECKPOINT, a reaction or a relay, did for events that were lost."""

    async def run() -> None:
        async with looking(settings) as look:
            await Orphans(look.storage, look.storage).accept(checkpoint)

    asyncio.run(run())
    print_done(output, f"{checkpoint} is seen to", {"accepted": checkpoint})


@failover.command()
@click.option("--old", required=True, metavar="URL", help="Of the old primary, started where nobody else reaches it.")
@output_option
@click.pass_obj
def lost(settings: Settings, old: str, output: str) -> None:
    """The events that the old primary has, and the new one has not: exactly. With -o json also their data, to be looked
    at, and sent again as commands where that makes sense."""
    found = asyncio.run(_failover(settings).lost(old))
    rows = Rows(output, _LOST)
    for each in found:
        shown = plain(each)
        if output != "table":
            shown["data"] = each.data.decode(errors="replace")
        rows.add(shown)
    rows.end()


def _failover(settings: Settings) -> Failover:
    app = try_app(settings)
    if app is not None:
        return app.failover
    url = settings.get("store")
    if url is None:
        raise ConfigurationError(
            "no store was named",
            why="neither --store nor --app is set",
            do="daicho --store postgresql://primary/db failover check --standby postgresql://standby/db",
        )
    replicas = [each for each in (settings.get("read-from") or "").split(",") if each]
    return open_failover(url, replicas, SystemClock())


def _print_check(found: FailoverCheck) -> None:
    rows = Rows("table", _SERVERS)
    for each in (*((found.primary,) if found.primary else ()), *found.standbys):
        rows.add({**plain(each), "server": each.url or each.name})
    rows.end()
    click.echo(f"replication   {_mode(found)}")
    click.echo(f"old primary   {found.fencing}: {found.fencing_detail}")
    click.echo(f"best standby  {found.best or 'none'}")
    click.echo(f"at risk       {_risk(found)}")
    for slot in found.slots:
        use = "in use" if slot.is_active else "not in use"
        click.echo(f"slot          {slot.name}, {use}, {slot.retained_bytes} bytes kept")
    for problem in found.problems:
        click.echo(paint(f"! {problem}", fg="yellow"))


def _mode(found: FailoverCheck) -> str:
    if found.is_synchronous is None:
        return "unknown: the primary does not answer"
    return "synchronous" if found.is_synchronous else "asynchronous"


def _risk(found: FailoverCheck) -> str:
    if found.events_at_risk is None:
        return "unknown: nobody can say what the primary had acknowledged"
    return f"{many(found.events_at_risk, 'event')}, {found.bytes_at_risk:,} bytes of the log"


def _print_promotion(done: Promotion) -> None:
    lost = "unknown, for the old primary did not answer" if done.events_lost is None else str(done.events_lost)
    click.echo(f"{done.url} is the primary, in epoch {done.epoch}; written to and read from after {done.seconds:.1f} s")
    click.echo(f"old primary   {done.fencing}")
    click.echo(f"events exist up to position {done.survived}; lost: {lost}")
