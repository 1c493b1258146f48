"""The read side on each store: a view built again, beside the rows of it written in bulk by hand; and how long a caller
waits to read what it wrote, beside a row written and read by hand.

An order has ten lines, dealt so that all orders have one before any has a second. So each page of events changes nearly
every row: there is little that a rebuild could spare by writing seldom.
"""

import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import Pace, Result, Sample, Watch, Work, rounds, waits
from bench.model import Customer, LineAdded, Order, command, event
from bench.ours import put
from bench.rows import Client, Place
from daicho import App, Query, Views, projection, query_handler, replace

STORES = ("memory", "sqlite", "postgresql", "redis", "mongodb", "opensearch")
EVENTS, LINES = 30_000, 10
PAGE = 5000
"""Events, after which the client by hand writes what they changed."""
TIMES, WARM = 200, 10
"""How often something is written and read, after so many that do not count."""


@projection("orders", key=lambda event: event.order_id)
def orders(row: Customer | None, event: LineAdded) -> Customer:
    """For each order, what `customers` has for each customer."""
    row = row or Customer(customer=event.customer)
    return replace(row, lines=row.lines + 1, total=row.total + event.amount)


class GetOrder(Query[Customer | None]):
    order_id: str


@query_handler
async def get_order(query: GetOrder, views: Views) -> Customer | None:
    return await views[orders].get(query.order_id)


class History:
    """The events, and the rows that each page of them changes."""

    def __init__(self, pace: Pace) -> None:
        self.events = pace.events(EVENTS)
        self.orders = self.events // LINES
        self.times = max(20, int(TIMES * pace.scale))
        self.pages: list[Mapping[str, Customer]] = []
        rows: dict[str, Customer] = {}
        for start in range(0, self.events, PAGE):
            changed: dict[str, Customer] = {}
            for n in range(start, min(start + PAGE, self.events)):
                key = self.order(n)
                rows[key] = changed[key] = orders(rows.get(key), event(n, key))
            self.pages.append(changed)
        self.written = sum(map(len, self.pages))

    def order(self, n: int) -> str:
        return f"order-{n % self.orders}"

    def sent(self, n: int) -> str:
        """The order that gets one more line, another one each time."""
        return self.order(n * 7919)


class Daicho:
    """The App, at a place."""

    def __init__(self, place: Place, history: History) -> None:
        self._place, self._history = place, history

    def rebuild(self) -> Work:
        """Rows per second, as pages of 5,000 events change them: what changes again before a write is worth it, is
        written once. Nothing else runs meanwhile."""

        async def work(app: App) -> Sample:
            dealt = 0
            with Watch() as watch:
                async for step in app.rebuild("orders"):
                    dealt = step.events
            assert dealt == self._history.events
            return watch.rate(self._history.written)

        return lambda: asyncio.run(self._within(work, processors=False))

    def latency(self) -> Work:
        """From sending a command to having read the row that it changed."""

        async def work(app: App) -> Sample:
            await app.settle(within=300)
            took: list[float] = []
            with Watch():
                for n in range(WARM + self._history.times):
                    order = self._history.sent(n)
                    start = time.perf_counter()
                    receipt = await app.send(command(n, order))
                    row = await app.ask(GetOrder(order_id=order), after=receipt)
                    took.append(time.perf_counter() - start)
                    assert row is not None
                    assert row.lines > LINES
            return waits(took[WARM:])

        return lambda: asyncio.run(self._within(work, processors=True))

    async def _within(self, work: Callable[[App], Awaitable[Sample]], *, processors: bool) -> Sample:
        place = self._place
        views = {} if place.rows is None else {orders: place.rows}
        app = App(Order, orders, get_order, store=place.events, views=views)
        await app.start(processors=processors)
        try:
            if await app.storage.head() == 0:
                await put(app.storage, self._history.events, self._history.orders)
            return await work(app)
        finally:
            await app.stop()


class Raw:
    """The store's client, in a table of its own."""

    def __init__(self, client: Client, history: History) -> None:
        self._client, self._history = client, history

    def rebuild(self) -> Work:
        """The same rows, with one bulk write for each page."""

        async def work() -> Sample:
            with Watch() as watch:
                for page in self._history.pages:
                    await self._client.put(page)
                await self._client.settle()
            return watch.rate(self._history.written)

        return lambda: asyncio.run(self._within(work))

    def latency(self) -> Work:
        async def work() -> Sample:
            await self._client.put(self._history.pages[-1])
            took: list[float] = []
            for n in range(WARM + self._history.times):
                order = self._history.sent(n)
                row = Customer(customer=f"customer-{n}", lines=n)
                start = time.perf_counter()
                await self._client.write(order, row)
                found = await self._client.read(order)
                took.append(time.perf_counter() - start)
                assert found == row
            return waits(took[WARM:])

        return lambda: asyncio.run(self._within(work))

    async def _within(self, work: Callable[[], Awaitable[Sample]]) -> Sample:
        await self._client.open()
        try:
            return await work()
        finally:
            await self._client.close()


def views(pace: Pace, only: Sequence[str], count: int, console: Console, absent: tuple[type[Exception], ...]) -> Any:
    """On the stores whose names hold one of the texts; a store without its server is told and left out."""
    history = History(pace)
    table = Table(title=f"Views of {history.orders:,} rows from {history.events:,} events", title_justify="left")
    for column in ("rows in", "events/s", "rows/s", "raw rows/s", "to raw", "min-max"):
        table.add_column(column, justify="left" if column == "rows in" else "right", no_wrap=True)
    for column in ("write, read, ms (p99)", "raw, ms (p99)"):
        table.add_column(column, justify="right", no_wrap=True)
    found: dict[str, Any] = {}
    for name in STORES:
        if not any(text in name for text in only):
            continue
        try:
            place: Place = getattr(importlib.import_module(f"bench.rows.{name}"), name.capitalize())()
        except absent as missing:
            console.print(f"without {name}: {missing}")
            continue
        try:
            rebuilt, waited = _measured(place, history, count)
        finally:
            place.close()
        row = _row(place, history, rebuilt, waited)
        table.add_row(*row)
        if not sys.stdout.isatty():
            print(*row, sep=" | ", file=sys.stderr, flush=True)
        found[name] = {
            "title": place.title,
            "events": history.events,
            "rows_written": history.written,
            "rebuild": msgspec.to_builtins(rebuilt),
            "latency": msgspec.to_builtins(waited),
        }
    console.print(table)
    console.print(
        f"Medians of {count} interleaved rounds. Either side writes {history.written:,} rows in a round; "
        "the events of Redis, MongoDB and OpenSearch are in SQLite."
    )
    return found


def _measured(place: Place, history: History, count: int) -> tuple[Result, Result]:
    sides: dict[str, Any] = {"daicho": Daicho(place, history)}
    if place.client is not None:
        sides["raw"] = Raw(place.client, history)
    rebuilt = rounds({side: each.rebuild() for side, each in sides.items()}, count)
    waited = rounds({side: each.latency() for side, each in sides.items()}, count)
    return (
        Result(workload="rebuild", unit="rows/s", must=None, stretch=None, rounds=rebuilt),
        Result(workload="read your writes", unit="ms", must=None, stretch=None, rounds=waited),
    )


def _row(place: Place, history: History, rebuilt: Result, waited: Result) -> list[str]:
    rate = rebuilt.median("daicho")
    row = [place.title, f"{rate * history.events / history.written:,.0f}", f"{rate:,.0f}", "", "", ""]
    if "raw" in rebuilt.rounds:
        ratios = sorted(rebuilt.ratios("daicho", "raw"))
        row[3:] = [
            f"{rebuilt.median('raw'):,.0f}",
            f"{statistics.median(ratios):.2f}",
            f"{ratios[0]:.2f}-{ratios[-1]:.2f}",
        ]
    return row + [
        f"{waited.median(side):.2f} ({waited.p99(side):.1f})" if side in waited.rounds else ""
        for side in ("daicho", "raw")
    ]
