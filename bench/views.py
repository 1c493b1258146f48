"""The read side on each store: a view built again, beside the rows of it written in bulk by hand; and how long a caller
waits to read what it wrote, beside a row written and read by hand.

A rebuild writes a row once for all events of it that gathered while others were being written, so how many rows it
writes depends on how fast the store is. They are counted, and the raw client writes the very same ones, in the same
portions: the ratio says what all the rest costs, the reading and folding of events, guards and positions.
"""

import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import Pace, Result, Sample, Watch, Work, rounds, waits
from bench.model import Customer, LineAdded, Order, command
from bench.ours import put
from bench.rows import Client, Place
from daicho import App, Query, Views, projection, query_handler, replace
from daicho.ports.view_store import ViewChange

STORES = ("memory", "sqlite", "postgresql", "redis", "mongodb", "opensearch")
EVENTS, LINES = 30_000, 10
"""An order has so many, dealt so that all orders have one before any has a second."""
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
    """The events of one place."""

    def __init__(self, pace: Pace, share: float) -> None:
        self.events = pace.events(int(EVENTS * share))
        self.orders = self.events // LINES
        self.times = max(20, int(TIMES * pace.scale))

    def order(self, n: int) -> str:
        return f"order-{n % self.orders}"

    def sent(self, n: int) -> str:
        """The order that gets one more line, another one each time."""
        return self.order(n * 7919)


class Daicho:
    """The App, at a place."""

    def __init__(self, place: Place, history: History) -> None:
        self._place, self._history = place, history
        self.writes: list[Mapping[str, Customer]] = []
        """Of the last rebuild."""
        self.events_per_second: list[float] = []
        self.rows_written: list[int] = []
        """Of each rebuild."""

    def rebuild(self) -> Work:
        """Rows written per second. Nothing else runs meanwhile."""

        async def work(app: App) -> Sample:
            self.writes = _noted(app)
            with Watch() as watch:
                steps = [step async for step in app.rebuild("orders")]
            assert steps[-1].events == self._history.events
            assert len({key for rows in self.writes for key in rows}) == self._history.orders
            self.events_per_second.append(watch.rate(self._history.events).value)
            self.rows_written.append(sum(map(len, self.writes)))
            return watch.rate(self.rows_written[-1])

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


def _noted(app: App) -> list[Mapping[str, Customer]]:
    """Will hold the rows of each commit to the view."""
    running, writes = app._now, list[Mapping[str, Customer]]()
    store: Any = running.read.read_stores[0] if running.read.read_stores else running.storage
    commit = store.commit

    async def noting(change: ViewChange) -> None:
        await commit(change)
        if change.upserts:
            writes.append(cast("Mapping[str, Customer]", change.upserts))

    store.commit = noting
    return writes


class Raw:
    """The store's client, in a table of its own."""

    def __init__(self, client: Client, history: History, example: Daicho) -> None:
        self._client, self._history, self._example = client, history, example

    def rebuild(self) -> Work:
        """The rows of the last rebuild, with one bulk write for each of its commits."""

        async def work() -> Sample:
            writes = self._example.writes
            with Watch() as watch:
                for rows in writes:
                    await self._client.put(rows)
                await self._client.settle()
            return watch.rate(sum(map(len, writes)))

        return lambda: asyncio.run(self._within(work))

    def latency(self) -> Work:
        async def work() -> Sample:
            await self._client.put(self._example.writes[-1])
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
    table = Table(title="Views, built again and read", title_justify="left")
    for column in ("rows in", "events", "events/s", "rows written", "rows/s", "raw rows/s", "to raw", "min-max"):
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
        history = History(pace, place.share)
        try:
            daicho = Daicho(place, history)
            rebuilt, waited = _measured(place, history, daicho, count)
        finally:
            place.close()
        row = _row(place, daicho, history, rebuilt, waited)
        table.add_row(*row)
        if not sys.stdout.isatty():
            print(*row, sep=" | ", file=sys.stderr, flush=True)
        found[name] = {
            "title": place.title,
            "events": history.events,
            "rows": history.orders,
            "rows_written": daicho.rows_written,
            "events_per_second": daicho.events_per_second,
            "rebuild": msgspec.to_builtins(rebuilt),
            "latency": msgspec.to_builtins(waited),
        }
    console.print(table)
    console.print(
        f"Medians of {count} interleaved rounds; {LINES} events a row. The events of Redis, MongoDB and OpenSearch are "
        "in SQLite; Redis writes to disk every second; mongo-java-server stands in for MongoDB, which no registry has."
    )
    return found


def _measured(place: Place, history: History, daicho: Daicho, count: int) -> tuple[Result, Result]:
    sides: dict[str, Any] = {"daicho": daicho}
    if place.client is not None:
        sides["raw"] = Raw(place.client, history, daicho)
    rebuilt = rounds({side: each.rebuild() for side, each in sides.items()}, count)
    waited = rounds({side: each.latency() for side, each in sides.items()}, count)
    return (
        Result(workload="rebuild", unit="rows/s", must=None, stretch=None, rounds=rebuilt),
        Result(workload="read your writes", unit="ms", must=None, stretch=None, rounds=waited),
    )


def _row(place: Place, daicho: Daicho, history: History, rebuilt: Result, waited: Result) -> list[str]:
    row = [place.title, f"{history.events:,}", f"{statistics.median(daicho.events_per_second):,.0f}"]
    row += [f"{statistics.median(daicho.rows_written):,.0f}", f"{rebuilt.median('daicho'):,.0f}", "", "", ""]
    if "raw" in rebuilt.rounds:
        ratios = sorted(rebuilt.ratios("daicho", "raw"))
        row[5:] = [
            f"{rebuilt.median('raw'):,.0f}",
            f"{statistics.median(ratios):.2f}",
            f"{ratios[0]:.2f}-{ratios[-1]:.2f}",
        ]
    return row + [
        f"{waited.median(side):.2f} ({waited.p99(side):.1f})" if side in waited.rounds else ""
        for side in ("daicho", "raw")
    ]
