"""One import from beginning to end: feed the shop, read the figures back, and say what it took."""

import time
from pathlib import Path

from daicho import State
from examples.shop.app import shop
from examples.shop.retail.document import documents
from examples.shop.retail.feeding import PATIENCE, Fed, feed
from examples.shop.retail.figures import Figures, astray, figures
from examples.shop.retail.measuring import file_mib, peak_mib
from examples.shop.retail.progress import shown
from examples.shop.retail.sharing import import_together

__all__ = ["Cost", "Outcome", "import_retail"]


class Cost(State):
    """What this run took. A command and an event for each document, and one more for each line."""

    documents: int
    lines: int
    skipped: int
    """Documents that an earlier run had imported."""
    seconds: float
    processes: int = 1
    peak_mib: float
    """Of the whole process; of the largest, if there are several."""
    file_mib: float | None
    """Size of the database, if it is a file."""

    @property
    def commands(self) -> int:
        return self.documents + self.lines


class Outcome(State):
    figures: Figures
    cost: Cost
    astray: dict[str, tuple[int, int]]
    """Products whose stock movements do not add up to their invoices: none, or something is wrong."""


async def import_retail(path: Path, store: str, *, at_once: int = 256, processes: int = 1) -> Outcome:
    """With at most `at_once` commands in flight in each process."""
    if processes > 1 and store.startswith("memory:"):
        raise ValueError("processes cannot share what is in the memory of one: give --db a file or the URL of a server")
    fed, start, peak = Fed(), time.monotonic(), 0.0
    if processes > 1:
        with shown(path, fed) as report:
            peak = await import_together(path, store, fed, report, processes=processes, at_once=at_once)
    async with shop(store) as app:
        if processes > 1:
            await app.settle(within=PATIENCE)
        else:
            with shown(path, fed) as report:
                await feed(app, documents(path, report), fed, at_once=at_once)
        seconds = time.monotonic() - start
        found = await figures(app)
        missing = await astray(app, found)
    cost = Cost(
        documents=fed.documents,
        lines=fed.lines,
        skipped=fed.skipped,
        seconds=seconds,
        processes=processes,
        peak_mib=max(peak, peak_mib()),
        file_mib=file_mib(store),
    )
    return Outcome(figures=found, cost=cost, astray=missing)
