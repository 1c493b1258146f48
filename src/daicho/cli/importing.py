"""`daicho import`: exported events in, under their own ids, versions and times."""

import asyncio
import gzip
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from daicho.cli.group import Verb
from daicho.cli.opening import opened, try_app
from daicho.cli.output import output_option, print_done
from daicho.cli.progress import Progress
from daicho.core.counting import many
from daicho.core.errors import ConfigurationError, InvalidMessage
from daicho.leaving import Imported, imported
from daicho.settings import Settings

__all__ = ["import_events"]


@click.command("import", cls=Verb)
@click.argument("file", metavar="FILE|-")
@output_option
@click.pass_obj
def import_events(settings: Settings, file: str, output: str) -> None:
    """Appends the events of FILE (either form that `export` writes; gzip is recognised) to the store.

    Ids, versions and times stay; each stream must be where its first imported event expects it. What is there already
    is left alone, so that an import that was interrupted is simply run again. Nothing reacts meanwhile; a running app
    takes the events up like any others.
    """

    async def run() -> tuple[Imported, float]:
        app = try_app(settings)
        url = settings.get("store") or (app.url if app else None)
        if url is None or url.startswith("memory:"):
            raise ConfigurationError("no lasting store was named", do="daicho --store sqlite:///shop.db import FILE")
        async with opened(url, app) as storage:
            with _source(file) as (lines, read, size), Progress(f"importing {file}") as progress:
                found = await imported(storage, lines, lambda done: progress.show(read(), size, done))
                return found, progress.seconds

    try:
        found, seconds = asyncio.run(run())
    except KeyboardInterrupt:
        click.echo(f"interrupted; what was imported is durable. `daicho import {file}` goes on from there.", err=True)
        raise
    rate = (found.new + found.there) / seconds if seconds else 0.0
    print_done(
        output,
        f"imported {many(found.new, 'event')}, {found.there:,} were there already, in {seconds:.1f} s ({rate:,.0f}/s)",
        {"file": file, "imported": found.new, "there_already": found.there, "seconds": round(seconds, 3)},
        err=True,
    )


@contextmanager
def _source(file: str) -> Generator[tuple[Iterator[bytes], Callable[[], int], int | None], None, None]:
    """Its lines, how many bytes were read of it, and its size if it has one."""
    if file == "-":
        yield iter(sys.stdin.buffer), lambda: 0, None
        return
    with Path(file).open("rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        lines = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
        try:
            yield iter(lines), raw.tell, size
        except (EOFError, gzip.BadGzipFile) as error:
            raise InvalidMessage(f"{file} is cut short or damaged: {error}", do="export again") from error
