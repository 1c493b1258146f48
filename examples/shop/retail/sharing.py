"""One import by several processes: each is a command service of its own, with the same App on the same store.

The documents are dealt out by their numbers. A document is a stream, so each stream of documents has one writer; the
streams of the products belong to the reaction to the documents, and that runs in one process at a time, whichever took
it first. If two should meet in a stream all the same, the versions decide, and the loser decides again.
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec

from daicho import State
from examples.shop.app import shop
from examples.shop.retail.document import Share, documents
from examples.shop.retail.feeding import Fed, feed
from examples.shop.retail.measuring import peak_mib
from examples.shop.retail.progress import Reporter

__all__ = ["import_share", "import_together"]

EVERY = 0.5
"""Seconds between two tallies."""


class Tally(State):
    """How far one of the processes has come: it writes such lines to its standard output, for whoever started it."""

    read: int
    documents: int
    lines: int
    skipped: int
    peak_mib: float


async def import_together(path: Path, store: str, fed: Fed, report: Reporter, *, processes: int, at_once: int) -> float:
    """Returns the most memory that one of them took, in MiB. If one ends early, the others go on, and then ValueError
    tells of it."""
    tallies: list[Tally | None] = [None] * processes

    async def follow(number: int) -> str:
        process = await start(path, store, Share(number=number, of=processes), at_once)
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                before, now = tallies[number - 1], msgspec.json.decode(line, type=Tally)
                tallies[number - 1] = now
                fed.add(*(new - old for new, old in zip(counts(now), counts(before), strict=True)))
                report(sum(tally.read for tally in tallies if tally) // processes)
            ended = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
        return "" if ended == 0 else f"process {number} of {processes} {how(ended)}"

    troubles = await asyncio.gather(*[follow(number) for number in range(1, processes + 1)])
    if told := ", ".join(trouble for trouble in troubles if trouble):
        raise ValueError(f"{told}; what was imported stays: run it again for the rest")
    return max(tally.peak_mib for tally in tallies if tally)


async def start(path: Path, store: str, share: Share, at_once: int) -> Process:
    command = [sys.executable, "-m", "examples.shop", "retail-share", str(path), f"{share.number}/{share.of}"]
    options = ["--db", store, "--concurrency", str(at_once)]
    return await asyncio.create_subprocess_exec(*command, *options, stdout=PIPE)


def counts(tally: Tally | None) -> tuple[int, int, int]:
    return (tally.documents, tally.lines, tally.skipped) if tally else (0, 0, 0)


def how(ended: int) -> str:
    return f"was killed by signal {-ended}" if ended < 0 else "gave up, as it says itself"


async def import_share(path: Path, store: str, share: Share, *, at_once: int) -> None:
    """The work of one of the processes. It ends with whoever reads its tallies."""
    fed, told, read = Fed(), 0.0, 0

    def tell() -> None:
        tally = Tally(read=read, documents=fed.documents, lines=fed.lines, skipped=fed.skipped, peak_mib=peak_mib())
        os.write(sys.stdout.fileno(), msgspec.json.encode(tally) + b"\n")

    def report(position: int) -> None:
        nonlocal told, read
        read, now = position, time.monotonic()
        if now - told >= EVERY:
            told = now
            tell()

    async with shop(store) as app:
        await feed(app, documents(path, report, share), fed, at_once=at_once, alone=False)
    tell()
