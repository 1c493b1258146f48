"""`daicho tail`: the last events, and those to come."""

import asyncio

import click

from daicho.cli.events import EVENT_COLUMNS, event_row
from daicho.cli.filters import Filters, filter_options, no_such_stream
from daicho.cli.group import Verb
from daicho.cli.opening import Look, looking
from daicho.cli.output import Rows, output_option, paint, text_of
from daicho.core.plain import json_text
from daicho.ports.event_store import StoredEvent
from daicho.settings import Settings

__all__ = ["tail"]

_PAGE = 1000


@click.command(cls=Verb)
@click.option("-f", "--follow", is_flag=True, help="Go on with each new event, whichever process records it.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="How many to begin with."
)
@filter_options
@output_option
@click.pass_obj
def tail(settings: Settings, follow: bool, lines: int, wanted: Filters, output: str) -> None:
    """The last events, oldest of them first. With -f, JSON is one event a line."""

    async def run() -> None:
        async with looking(settings) as look:
            head = await look.storage.head()
            if not follow and wanted.stream and not await look.storage.stream_version(wanted.stream):
                raise await no_such_stream(look, wanted.stream)
            last = await _last(look, wanted, head, lines)
            if not follow:
                rows = Rows(output, EVENT_COLUMNS)
                for event in last:
                    rows.add(event_row(event, look.registry))
                rows.end("no events")
                return
            live = _Live(look, "jsonl" if output == "json" else output)
            for event in last:
                live.show(event)
            await _follow(look, wanted, head, live)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        if not follow:
            raise


async def _last(look: Look, wanted: Filters, head: int, count: int) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    if count and head:
        async for event in look.history.stored(wanted.selection(newest_first=True, up_to=head)):
            if wanted.takes(event):
                found.append(event)
                if len(found) == count:
                    break
    return found[::-1]


async def _follow(look: Look, wanted: Filters, position: int, live: "_Live") -> None:
    while True:
        head = await look.storage.wait(position)
        while position < head:
            page = await look.storage.read(wanted.selection(after=position, up_to=head), limit=_PAGE)
            for event in page:
                if wanted.takes(event):
                    live.show(event)
            position = page[-1].position if len(page) == _PAGE else head


class _Live:
    """Prints each event at once."""

    def __init__(self, look: Look, output: str) -> None:
        self._look, self._rows = look, None if output == "table" else Rows(output, ())

    def show(self, event: StoredEvent) -> None:
        row = event_row(event, self._look.registry)
        if self._rows is not None:
            self._rows.add(row)
            return
        who = f" by {event.actor}" if event.actor else ""
        click.echo(
            f"{event.position:>8}  {text_of(event.occurred_at)}  {event.stream} v{event.version}  "
            f"{paint(event.type, fg='yellow')}{who}  {json_text(row['data'])}"
        )
