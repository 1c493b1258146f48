"""`daicho trace`: the story of one flow."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from daicho.cli.filters import no_such_stream
from daicho.cli.group import Verb
from daicho.cli.mermaid import sequence_diagram
from daicho.cli.opening import looking
from daicho.cli.output import Rows, envelope, json_text, output_option, paint, plain
from daicho.cli.settings import Settings
from daicho.core.errors import NotFound
from daicho.core.ids import is_uuid
from daicho.read.history import Trace, TraceNode

__all__ = ["trace"]


@click.command(cls=Verb)
@click.argument("reference", metavar="ID|STREAM")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid sequence diagram.")
@click.option("--data", "with_data", is_flag=True, help="Show what the events hold.")
@output_option
@click.pass_obj
def trace(settings: Settings, reference: str, mermaid: bool, with_data: bool, output: str) -> None:
    """Everything around an event id, command id, correlation id, or the flow that a stream began with: commands,
    events and handlers as a tree, with milliseconds since the start."""

    async def run() -> None:
        async with looking(settings) as look:
            found = await look.history.trace(reference)
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


def tree_lines(found: Trace, *, with_data: bool = False) -> list[str]:
    start = _start(found)
    lines = [
        paint(f"flow {found.correlation_id}", bold=True)
        + f"  {found.commands} commands, {found.events} events, {found.seconds * 1000:,.1f} ms"
    ]
    for node, branch, trunk in _walk(found.roots):
        lines.append(f"{_since(node, start):>12}  {branch}{_label(node)}")
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
    mark = "…" if node.outcome == "pending" else "✗"
    text = f"{mark} {node.name}{through}{who}  {node.outcome}{f': {node.reason}' if node.reason else ''}"
    return text if node.outcome == "pending" else paint(text, fg="red")


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
