"""`daicho trace`: the story of one flow."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import click

from daicho.adapters.clock import SystemClock
from daicho.cli.filters import no_such_stream
from daicho.cli.group import Verb
from daicho.cli.mermaid import sequence_diagram
from daicho.cli.opening import Look, looking, must_exist
from daicho.cli.output import Rows, envelope, output_option, paint
from daicho.core.counting import many
from daicho.core.errors import NotFound
from daicho.core.ids import is_uuid
from daicho.core.plain import json_text, plain
from daicho.core.registry import Registry
from daicho.ports.event_store import Selection
from daicho.ports.storage import Storage
from daicho.read.history import History, Trace, TraceNode
from daicho.read.story import Story, service_of
from daicho.settings import Settings
from daicho.wiring.urls import open_storage

__all__ = ["trace"]


@click.command(cls=Verb)
@click.argument("reference", metavar="ID|STREAM")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid sequence diagram.")
@click.option(
    "--also", "others", multiple=True, metavar="URL", help="The store of another service that took part; repeatable."
)
@click.option("--data", "with_data", is_flag=True, help="Show what the events hold.")
@output_option
@click.pass_obj
def trace(
    settings: Settings, reference: str, mermaid: bool, others: tuple[str, ...], with_data: bool, output: str
) -> None:
    """Everything around an event id, command id, correlation id, or the flow that a stream began with: commands,
    events and handlers as a tree, with milliseconds since the start.

    With --also, the registers of other services are read as well, and what happened in all of them is one tree. With
    an app, also what its event handlers still have to do.
    """

    async def run() -> None:
        async with looking(settings) as look:
            found = await _told(look, reference, others)
            if found is None and not is_uuid(reference):
                raise await no_such_stream(look, reference)
        if found is None:
            raise NotFound(
                f"no event, command or flow has the id {reference}",
                why=f"it was looked for in {look.storage.url}; accepted commands without events leave no trace",
                do="`daicho get events` and `daicho get commands` show ids",
            )
        if mermaid:
            click.echo(sequence_diagram(found))
        elif output == "json":
            envelope(plain(found))
        elif output == "table":
            click.echo("\n".join(tree_lines(found, with_data=with_data)))
        else:
            rows = Rows(output, ())
            for row in _flat(found):
                rows.add(row)

    asyncio.run(run())


async def _told(look: Look, reference: str, others: Sequence[str]) -> Trace | None:
    async with AsyncExitStack() as opened:
        stores = [look.storage, *[await opened.enter_async_context(_opened(url)) for url in others]]
        histories = [History(store, store, Registry(())) for store in stores]
        correlation = None
        for history in histories:
            correlation = correlation or await history.correlation_of(reference)
        if correlation is None:
            return None
        story, names = Story(correlation), [service_of(await store.checkpoints()) for store in stores]
        for store, history, name in zip(stores, histories, names, strict=True):
            await story.add(history.stored(Selection(correlation_id=correlation)), store, name)
        for history, name in zip(histories, names, strict=True):
            await history.expect(story, name)
        if look.app is not None:
            checkpoints, letters = await look.storage.checkpoints(), await look.storage.letters()
            story.expect(look.app.model.reactions, look.app.registry, checkpoints, letters, names[0])
        return story.trace()


@asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Storage]:
    must_exist(url)
    storage = open_storage(url, SystemClock())
    try:
        await storage.open()
        yield storage
    finally:
        await storage.close()


def tree_lines(found: Trace, *, with_data: bool = False) -> list[str]:
    start = _start(found)
    lines = [
        paint(f"flow {found.correlation_id}", bold=True)
        + f"  {many(found.commands, 'command')}, {many(found.events, 'event')}, {found.seconds * 1000:,.1f} ms"
    ]
    home = found.roots[0].service if found.roots else None
    for node, branch, trunk in _walk(found.roots):
        where = paint(f"  [{node.service}]", fg="cyan") if node.service not in (home, None) else ""
        lines.append(f"{_since(node, start):>12}  {branch}{_label(node)}{where}")
        if with_data and node.data is not None:
            lines.append(f"{'':>12}  {trunk}{paint(json_text(node.data), dim=True)}")
    return lines


def _walk(roots: list[TraceNode], trunk: str = "", *, top: bool = True) -> Iterator[tuple[TraceNode, str, str]]:
    """Each node, what is drawn before it, and what is drawn before lines that belong to it."""
    for n, node in enumerate(roots):
        last = n == len(roots) - 1
        below = trunk if top else f"{trunk}{'   ' if last else '│  '}"
        yield node, "" if top else f"{trunk}{'└─ ' if last else '├─ '}", f"{below}{'│  ' if node.children else '   '}"
        yield from _walk(node.children, below, top=False)


def _label(node: TraceNode) -> str:
    if node.kind == "event":
        return f"{paint(node.name, fg='yellow')}  {node.stream} v{node.version} @{node.position}"
    who = f"  by {node.actor}" if node.actor and not node.handler else ""
    through = f"  ({node.handler})" if node.handler else ""
    if node.outcome == "done":
        return f"{paint(node.name, fg='blue', bold=True)}{through}{who}"
    mark = "…" if node.outcome in ("pending", "expected") else "✗"
    text = f"{mark} {node.name}{through}{who}  {node.outcome}{f': {node.reason}' if node.reason else ''}"
    return text if node.outcome in ("pending", "expected") else paint(text, fg="red")


def _start(found: Trace) -> datetime | None:
    return min((datetime.fromisoformat(node.at) for node, _, _ in _walk(found.roots) if node.at), default=None)


def _since(node: TraceNode, start: datetime | None) -> str:
    if start is None or node.at is None:
        return ""
    return f"+{(datetime.fromisoformat(node.at) - start).total_seconds() * 1000:,.1f} ms"


def _flat(found: Trace) -> Iterator[dict[str, Any]]:
    start = _start(found)

    def rows(nodes: list[TraceNode], parent: str | None) -> Iterator[dict[str, Any]]:
        for node in nodes:
            row: dict[str, Any] = plain(node)
            del row["children"]
            yield {**row, "parent": parent, "since_start": _since(node, start).lstrip("+")}
            yield from rows(node.children, node.id)

    return rows(found.roots, None)
