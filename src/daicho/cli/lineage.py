"""`daicho lineage`: where a row came from."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from daicho.cli.group import Verb
from daicho.cli.opening import running
from daicho.cli.output import Rows, envelope, output_option, paint
from daicho.core.errors import NotFound
from daicho.core.plain import json_text, plain
from daicho.core.projection import Table
from daicho.core.state_fields import changes
from daicho.core.times import to_text
from daicho.read.lineage import Lineage
from daicho.settings import Settings

__all__ = ["lineage"]


@click.command(cls=Verb)
@click.argument("view")
@click.argument("key")
@output_option
@click.pass_obj
def lineage(settings: Settings, view: str, key: str, output: str) -> None:
    """The events that made the row KEY of VIEW, and what each changed in it. Exit code 1 if the row that is stored is
    not the one that this app's code makes of them: somebody changed it by hand, or other code made it."""
    table: Table[Any] = Table()
    table.name = view

    async def run() -> Lineage[Any]:
        async with running(settings) as app:
            return await app.lineage(table, key)

    found = asyncio.run(run())
    if found.row is None and not found.steps and not found.unplaced:
        raise NotFound(
            f"there is no row {key!r} in {view}, and there never was one",
            why="no event of its projection has that key",
            do="check the key; `daicho get events` shows what the events hold",
        )
    if output == "json":
        envelope({**_about(found), "steps": _steps(found), "unplaced": _unplaced(found)})
    elif output == "table":
        _print(found)
    else:
        rows = Rows(output, ())
        for step in _steps(found):
            rows.add(step)
    if found.differs:
        raise click.exceptions.Exit(1)


def _about(found: Lineage[Any]) -> dict[str, Any]:
    names = ("view", "key", "generation", "code", "same_code", "position", "row", "folded", "differs")
    return {name: plain(getattr(found, name)) for name in names}


def _steps(found: Lineage[Any]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    before: Any = None
    for step in found.steps:
        event = step.event
        steps.append(
            {
                "position": int(event.position),
                "occurred_at": to_text(event.occurred_at),
                "type": event.type,
                "actor": event.actor,
                "stream": event.stream,
                "version": event.version,
                "event_id": event.event_id,
                "state": step.state,
                "error": step.error,
                "row": plain(step.row),
                "changes": _changes(before, step.row),
            }
        )
        before = step.row
    return steps


def _changes(before: Any, after: Any) -> list[dict[str, Any]]:
    found = changes(plain(before) if before is not None else {}, plain(after) if after is not None else {})
    return [change for change in found if change["field"]]  # not the row itself, where there is none


def _unplaced(found: Lineage[Any]) -> list[dict[str, Any]]:
    return [
        {"position": x.event.position, "type": x.event.type, "stream": x.event.stream, "error": x.error}
        for x in found.unplaced
    ]


def _print(found: Lineage[Any]) -> None:
    build = f"generation {found.generation}, position {found.position}" if found.generation else "not built yet"
    click.echo(f"{paint(f'{found.view} {found.key}', bold=True)}  {build}")
    rows = Rows("table", ("position", "occurred_at", "type", "actor", "change"))
    for step in _steps(found):
        rows.add({**step, "change": _told(step)})
    rows.end("no event of its projection has that key")
    for each in _unplaced(found):
        click.echo(f"position {each['position']} ({each['type']}) may concern it, but {each['error']}")
    if found.generation and not found.same_code:
        click.echo(f"the rows were begun by other code; `daicho projection rebuild {found.view}` makes them again")
    if found.differs:
        click.echo(paint(f"the stored row differs from what these events make: {_difference(found)}", fg="red"))


def _told(step: dict[str, Any]) -> str:
    if step["state"] in ("folded", "waiting"):
        text = _gone(step) or _text(step["changes"]) or "nothing"
        return text if step["state"] == "folded" else f"not yet: {text}"
    return f"{step['state']}: {step['error']}" if step["error"] else step["state"]


def _gone(step: dict[str, Any]) -> str:
    return "no row any more" if step["row"] is None and step["changes"] else ""


def _text(found: Sequence[dict[str, Any]]) -> str:
    return ", ".join(
        f"{each['field']}: {json_text(each['after'])}"
        if each["before"] is None
        else f"{each['field']}: {json_text(each['before'])} -> {json_text(each['after'])}"
        for each in found
    )


def _difference(found: Lineage[Any]) -> str:
    if found.row is None:
        return "it is gone"
    if found.folded is None:
        return "it should not be there"
    return _text(_changes(found.folded, found.row))
