"""`daicho export`: events out, complete."""

import asyncio
import gzip
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from daicho.cli.filters import Filters, filter_options, selected
from daicho.cli.group import Verb
from daicho.cli.opening import looking
from daicho.cli.output import output_option, print_done
from daicho.cli.progress import Progress
from daicho.core.counting import many
from daicho.leaving.exchange import Format, line_writer
from daicho.settings import Settings

__all__ = ["export"]


@click.command(cls=Verb)
@click.argument("file", metavar="FILE|-")
@click.option("--format", "form", type=click.Choice(["jsonl", "cloudevents"]), default="jsonl", show_default=True)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@filter_options
@output_option
@click.pass_obj
def export(settings: Settings, file: str, form: Format, force: bool, wanted: Filters, output: str) -> None:
    """Writes every event (or those that meet the filters) to FILE, one JSON line each; gzip if it ends in .gz.

    A file appears under its name only when it is complete.
    """
    if file != "-" and Path(file).exists() and not force:
        raise click.BadParameter(f"{file} exists; --force replaces it", param_hint="FILE")
    if file == "-" and output != "table":
        raise click.BadParameter("standard output is for the events; name a FILE", param_hint="--output")
    write = line_writer(form)

    async def run() -> tuple[int, float]:
        count = 0
        async with looking(settings) as look:
            for category, standing in (await look.storage.standings()).items():
                if standing.pruned_to:
                    click.echo(f"events of {category} were pruned: what is left of them cannot be imported", err=True)
            head = await look.storage.head()
            with _target(file) as out, Progress(f"exporting to {file}") as progress:
                async for event in selected(look, wanted, up_to=head):
                    out.write(write(event) + b"\n")
                    count += 1
                    if count % 1000 == 0:
                        progress.show(event.position, head, count)
                return count, progress.seconds

    count, seconds = asyncio.run(run())
    sentence = f"exported {many(count, 'event')} in {seconds:.1f} s"
    print_done(output, sentence, {"file": file, "events": count, "seconds": round(seconds, 3)}, err=True)


@contextmanager
def _target(file: str) -> Generator[BinaryIO, None, None]:
    if file == "-":
        out = sys.stdout.buffer
        yield out
        out.flush()
        return
    partial = Path(f"{file}.partial")
    try:
        with partial.open("wb") as raw:
            if file.endswith(".gz"):
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield raw
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
