"""`daicho import`: exported events in, under their own ids, versions and times."""

import asyncio
import gzip
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO, cast

import click

from daicho.cli.exchange import Placed, line_reader
from daicho.cli.group import Verb
from daicho.cli.opening import opened, try_app
from daicho.cli.progress import Progress
from daicho.core.errors import ConcurrencyError, ConfigurationError, DuplicateEventId, InvalidMessage
from daicho.ports.event_store import Appended, AppendRequest, EventStore, StreamWrite
from daicho.settings import Settings

__all__ = ["import_events"]

_AT_ONCE = 500


@click.command("import", cls=Verb)
@click.argument("file", metavar="FILE|-")
@click.pass_obj
def import_events(settings: Settings, file: str) -> None:
    """Appends the events of FILE (either form that `export` writes; gzip is recognised) to the store.

    Ids, versions and times stay; each stream must be where its first imported event expects it. What is there already
    is left alone, so that an import that was interrupted is simply run again. Nothing reacts meanwhile; a running app
    takes the events up like any others.
    """

    async def run() -> tuple[int, int, float]:
        app = try_app(settings)
        url = settings.get("store") or (app.url if app else None)
        if url is None or url.startswith("memory:"):
            raise ConfigurationError("no lasting store was named", do="daicho --store sqlite:///shop.db import FILE")
        new = done = 0
        async with opened(url, app) as storage:
            with _source(file) as (lines, read, size), Progress(f"importing {file}") as progress:
                placed = (line_reader(n, line) for n, line in enumerate(lines, 1) if line.strip())
                while batch := list(islice(placed, _AT_ONCE)):
                    new += await _append(storage, batch)
                    done += len(batch)
                    progress.show(read(), size, done)
                return new, done, progress.seconds

    try:
        new, done, seconds = asyncio.run(run())
    except KeyboardInterrupt:
        click.echo(f"interrupted; what was imported is durable. `daicho import {file}` goes on from there.", err=True)
        raise
    rate = done / seconds if seconds else 0.0
    click.echo(
        f"imported {new:,} events, {done - new:,} were there already, in {seconds:.1f} s ({rate:,.0f}/s)", err=True
    )


async def _append(store: EventStore, batch: Sequence[Placed]) -> int:
    """One request for each run of events of one stream, so that their order in the log stays. Returns how many are
    new."""
    runs = [
        part for _, run in groupby(batch, key=lambda placed: placed.stream) for part in await _split(store, list(run))
    ]
    answers = await store.append([_request(run) for run in runs])
    return sum(_counted(run, answer) for run, answer in zip(runs, answers, strict=True))


async def _split(store: EventStore, run: list[Placed]) -> list[list[Placed]]:
    """In two where an earlier import ended within it: a request is either there as a whole, or new as a whole."""
    if len(run) == 1:
        return [run]
    there = max(0, min(len(run), await store.stream_version(run[0].stream) - run[0].version + 1))
    return [part for part in (run[:there], run[there:]) if part]


def _request(run: Sequence[Placed]) -> AppendRequest:
    first = run[0]
    if any(placed.version != first.version + n for n, placed in enumerate(run)):
        raise InvalidMessage(
            f"the versions of {first.stream} are not consecutive behind {first.version}",
            why="events are missing from the file",
            do="export whole streams",
            path=first.stream,
        )
    events = tuple(placed.event for placed in run)
    return AppendRequest(writes=(StreamWrite(stream=first.stream, events=events, expected=first.version - 1),))


def _counted(run: Sequence[Placed], answer: Appended | Exception) -> int:
    first, last = run[0], run[-1]
    if isinstance(answer, ConcurrencyError):
        raise ConcurrencyError(
            f"{first.stream} is at version {answer.actual}, so its version {first.version} cannot be imported",
            expected=first.version - 1,
            actual=answer.actual,
            events=answer.events,
        ) from answer
    if isinstance(answer, Exception):
        raise answer
    if answer.versions[0] != last.version:
        raise DuplicateEventId(
            f"{last.event.event_id} is version {answer.versions[0]} of {last.stream} here, not {last.version}",
            do="import into an empty store",
        )
    return 0 if answer.duplicate else len(run)


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
