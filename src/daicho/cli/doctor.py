"""`daicho doctor`: what is wrong, and what to do about it."""

import asyncio
import platform
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import PackageNotFoundError, version

import click
from msgspec import structs

from daicho.cli.findings import print_findings
from daicho.cli.group import Verb
from daicho.cli.health import health_of
from daicho.cli.opening import Look, looking
from daicho.cli.output import output_option
from daicho.cli.replica import replica_problems
from daicho.cli.standing import Standing, standings
from daicho.core.counting import many
from daicho.core.errors import BusError
from daicho.ports.storage import Finding
from daicho.read.health import LATE
from daicho.settings import Settings

__all__ = ["doctor"]

_LATE = LATE
_FINE = (("parked events", "none"), ("posted commands", "none that waits for long"))
_LIBRARIES = ("daicho", "msgspec", "apsw", "click", "rich")


@click.command(cls=Verb)
@output_option
@click.pass_context
def doctor(context: click.Context, output: str) -> None:
    """Examines the store, its readers, what is parked and pending, and the libraries. Exit code 1 if anything is
    wrong. With an app, also whether it can read everything that is stored."""
    settings: Settings = context.obj

    async def run() -> list[Finding]:
        async with looking(settings) as look:
            found = await look.storage.examine()
            stands = await standings(look)
            health = await health_of(look, _LATE)
            replicas = await replica_problems(look, settings)
            wrong = {problem.what for problem in health.problems}
            return [
                *found,
                *[_reader(s) for s in stands if s.live is not False and s.processor not in wrong],
                *[Finding(what=p.what, ok=False, detail=p.detail, do=p.do) for p in (*health.problems, *replicas)],
                *[Finding(what=what, ok=True, detail=detail) for what, detail in _FINE if what not in wrong],
                *_code(stands),
                *[f async for f in _look_at(look)],
                *await _kept(look),
                *await _bus(look),
                *_variables(settings),
                *_libraries(),
            ]

    findings = asyncio.run(run())
    if not print_findings(findings, output):
        context.exit(1)


def _reader(standing: Standing) -> Finding:
    behind = "nothing behind"
    if standing.events_behind:
        behind = f"{many(standing.events_behind, 'event')}, {standing.seconds_behind:.0f} s behind"
    return Finding(
        what=standing.processor,
        ok=True,
        detail=f"{standing.state} at position {standing.position}, {behind}",
    )


def _code(stands: list[Standing]) -> Iterator[Finding]:
    for standing in stands:
        if standing.code == "changed" and standing.live:
            yield Finding(
                what=f"code of {standing.name}",
                ok=False,
                detail="changed since its rows were built: old rows show what the old code made of old events",
                do=f"daicho projection rebuild {standing.name}",
            )


async def _look_at(look: Look) -> AsyncIterator[Finding]:
    registry = look.registry
    if registry is None:
        yield Finding(what="event types", ok=True, detail="not compared with an app; name one with --app")
        return
    counts = await look.storage.counts()
    unknown = {key: count for key, count in counts.items() if not registry.knows(*key)}
    for (name, schema_version), count in sorted(unknown.items()):
        yield Finding(
            what="event type",
            ok=False,
            detail=f"{many(count, 'event')} {name} version {schema_version} cannot be read by this app",
            do=f'add the class, or `@upcast("{name}", {schema_version})`',
        )
    if not unknown:
        yield Finding(what="event types", ok=True, detail=f"all {len(counts)} in the store can be read by the app")


async def _kept(look: Look) -> list[Finding]:
    """Categories whose streams are, or were, kept as their state."""
    found: list[Finding] = []
    for category, standing in sorted((await look.storage.standings()).items()):
        behaviour = look.app.model.categories.get(category) if look.app else None
        pruned = f"; events up to position {standing.pruned_to} were pruned" if standing.pruned_to else ""
        what, how = f"streams of {category}", "their state" if standing.kind == "state" else "events"
        if standing.moving_to is not None:
            do = f"daicho move {category} --to {standing.moving_to}"
            detail = f"a move from {standing.kind} to {standing.moving_to} is not finished"
            found.append(Finding(what=what, ok=False, detail=detail, do=do))
        elif behaviour is not None and behaviour.persistence != standing.kind:
            do = f"daicho move {category} --to {behaviour.persistence}"
            detail = f"kept as {how}, and the app says persistence={behaviour.persistence!r}: it will not start"
            found.append(Finding(what=what, ok=False, detail=detail, do=do))
        else:
            found.append(Finding(what=what, ok=True, detail=f"kept as {how}{pruned}"))
    return found


async def _bus(look: Look) -> list[Finding]:
    if look.app is None or not look.app.has_bus:
        return []
    line = look.app.line()
    try:
        await line.opened()
        found = await line.bus.examine()
        return [structs.replace(each, what=f"bus {each.what}") for each in found]
    except BusError as error:
        return [Finding(what="bus", ok=False, detail=error.what, do=error.do or "look at the broker")]
    finally:
        await line.close()


def _variables(settings: Settings) -> Iterator[Finding]:
    for unknown in settings.unknown_in_environment():
        do = f"did you mean {unknown.meant}? Otherwise give it another name" if unknown.meant else ""
        detail = f"{unknown.name} is set, and no setting of Daicho's"
        yield Finding(what="environment", ok=not unknown.meant, detail=detail, do=do)


def _libraries() -> Iterator[Finding]:
    yield Finding(what="Python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}")
    found: list[str] = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    yield Finding(what="libraries", ok=True, detail=", ".join(found))
