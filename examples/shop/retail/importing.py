"""One import from beginning to end: feed the shop, read the figures back, and say what it took."""

import resource
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from daicho import State
from examples.shop.app import shop
from examples.shop.retail.document import documents
from examples.shop.retail.feeding import Fed, feed
from examples.shop.retail.figures import Figures, astray, figures
from examples.shop.retail.progress import shown

__all__ = ["Cost", "Outcome", "import_retail"]


class Cost(State):
    """What this run took. A command and an event for each document, and one more for each line."""

    documents: int
    lines: int
    skipped: int
    """Documents that an earlier run had imported."""
    seconds: float
    peak_mib: float
    """Of the whole process."""
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


async def import_retail(path: Path, store: str, *, at_once: int = 256) -> Outcome:
    fed, start = Fed(), time.monotonic()
    async with shop(store) as app:
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
        peak_mib=peak_mib(),
        file_mib=file_mib(store),
    )
    return Outcome(figures=found, cost=cost, astray=missing)


def peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def file_mib(store: str) -> float | None:
    url = urlsplit(store)
    path = Path(url.path.removeprefix("/"))
    return path.stat().st_size / 1024 / 1024 if url.scheme == "sqlite" and path.exists() else None
