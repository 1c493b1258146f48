"""`daicho describe`: everything about one name, whatever it names."""

import asyncio
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Any

import click

from daicho.cli.describe_message import message_named
from daicho.cli.events import event_row
from daicho.cli.get import outcome_row
from daicho.cli.group import Verb
from daicho.cli.letters import letters_of
from daicho.cli.opening import Look, looking, try_app
from daicho.cli.output import output_option, print_record
from daicho.cli.standing import standings
from daicho.core.errors import NotFound
from daicho.core.ids import is_uuid
from daicho.core.plain import plain
from daicho.core.state_fields import state_fields
from daicho.core.streams import category_of
from daicho.ports.event_store import Selection
from daicho.settings import Settings

__all__ = ["describe"]

Found = dict[str, Any] | None


@click.command(cls=Verb)
@click.argument("name")
@output_option
@click.pass_obj
def describe(settings: Settings, name: str, output: str) -> None:
    """Everything about NAME: a stream, the id of an event or a command, a projection or event handler, or a message
    type (its fields, who handles it, what it may lead to, an example)."""
    app = try_app(settings)
    if app is not None and (found := message_named(app, name)) is not None:
        print_record(output, found)  # no store is needed for that
        return

    async def run() -> None:
        async with looking(settings) as look:
            for search in _SEARCHES:
                if (found := await search(look, name)) is not None:
                    print_record(output, found)
                    return
            raise await _nothing(look, name)

    asyncio.run(run())


async def _event(look: Look, name: str) -> Found:
    found = await look.storage.read(Selection(event_id=name), limit=1) if is_uuid(name) else []
    return {"event": name, **event_row(found[0], look.registry)} if found else None


async def _command(look: Look, name: str) -> Found:
    if not is_uuid(name):
        return None
    outcome = await look.storage.outcome(name)
    events = [event_row(e, look.registry) async for e in look.history.stored(Selection(causation_id=name), 1000)]
    if outcome is None and not events:
        return None
    about = (
        outcome_row(outcome)
        if outcome
        else {
            "name": events[0]["metadata"].get("command"),
            "state": "done",
            "actor": events[0]["actor"],
            "correlation_id": events[0]["correlation_id"],
        }
    )
    keys = ("position", "stream", "version", "type", "event_id", "data")
    return {"command": name, **about, "events": [{key: event[key] for key in keys} for event in events]}


async def _flow(look: Look, name: str) -> Found:
    found = await look.storage.read(Selection(correlation_id=name), limit=1000) if is_uuid(name) else []
    if not found:
        return None
    return {
        "flow": name,
        "events": len(found),
        "streams": sorted({event.stream for event in found}),
        "first_recorded_at": found[0].recorded_at,
        "last_recorded_at": found[-1].recorded_at,
        "see": f"daicho trace {name}",
    }


async def _stream(look: Look, name: str) -> Found:
    version = await look.storage.stream_version(name)
    if not version:
        return None
    [first] = await look.storage.read(Selection(stream=name), limit=1)
    newest = await look.storage.read(Selection(stream=name, newest_first=True), limit=10)
    snapshot = await look.storage.load_snapshot(name)
    actors = {event.actor async for event in look.history.stored(Selection(stream=name), 10_000)}
    found: dict[str, Any] = {
        "stream": name,
        "category": category_of(name),
        "version": version,
        "first_event": first.type,
        "first_occurred_at": first.occurred_at,
        "last_event": newest[0].type,
        "last_occurred_at": newest[0].occurred_at,
        "who": sorted(actor for actor in actors if actor),
        "snapshot": f"at version {snapshot.version}" if snapshot else None,
    }
    state = await look.state(name, None)
    if look.app is not None and state is not None:
        found["handled_by"] = look.app.model.categories[category_of(name)].name
        found["state"] = state_fields(state)
    keys = ("version", "position", "occurred_at", "type", "actor", "data")
    rows = [event_row(event, look.registry) for event in reversed(newest)]
    found["last_events"] = [{key: row[key] for key in keys} for row in rows]
    return found


async def _processor(look: Look, name: str) -> Found:
    builds = [s for s in await standings(look) if name in (s.name, s.processor)]
    if not builds:
        return None
    found: dict[str, Any] = {builds[0].kind: builds[0].name}
    model = look.app.model if look.app else None
    for fold in model.folds if model else ():
        if builds[0].kind == "projection" and fold.name == name:
            found["events"] = sorted(event.__message_name__ for event in fold.events)
            found["row"] = fold.part.row_type.__name__
            found["inline"] = fold.part.inline
    for reaction in model.reactions if model else ():
        if builds[0].kind == "reaction" and reaction.name == name:
            found["events"] = sorted(event.__message_name__ for event in reaction.events)
            found["sends"] = sorted(command.__message_name__ for command in reaction.commands)
    for build in builds:
        about = plain(build)
        for key in ("kind", "name"):
            del about[key]
        found[build.processor] = about
    letters = [x for build in builds for x in await letters_of(look.storage, build.processor)]
    found["parked"] = [
        {"number": x.number, "key": x.key, "type": x.type, "position": x.position, "error": x.error} for x in letters
    ]
    return found


async def _stored_type(look: Look, name: str) -> Found:
    counts = {version: n for (type_, version), n in (await look.storage.counts()).items() if type_ == name}
    if not counts:
        return None
    newest = await look.storage.read(Selection(types=(name,), newest_first=True), limit=1)
    return {
        "event_type": name,
        "versions": [{"schema_version": version, "events": n} for version, n in sorted(counts.items())],
        "last": event_row(newest[0], look.registry)["data"],
    }


_SEARCHES: tuple[Callable[[Look, str], Awaitable[Found]], ...] = (
    _event,
    _command,
    _flow,
    _stream,
    _processor,
    _stored_type,
)


async def _nothing(look: Look, name: str) -> NotFound:
    storage, app = look.storage, look.app
    known = {type_ for type_, _ in await storage.counts()} | {s.name for s in await standings(look)}
    known |= {stream for stream, _ in await storage.streams(category_of(name), limit=1000)}
    known |= {stream for stream, _ in await storage.streams(None, limit=1000)}
    if app is not None:
        messages = [*app.model.behaviours, *app.model.queries, *app.model.events]
        known |= {message.__message_name__ for message in messages} | {message.__name__ for message in messages}
    similar = get_close_matches(name, sorted(known), n=3, cutoff=0.55)
    what = "an id" if is_uuid(name) else "a stream, a type, a projection or a message"
    return NotFound(
        f"nothing is called {name!r}",
        why=f"it was looked for as {what} in {storage.url}{'' if app else ', without an app'}",
        do=f"did you mean {' or '.join(similar)}?" if similar else "`daicho get streams`, `daicho get types`",
        similar=similar,
    )
