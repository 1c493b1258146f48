"""Between two services over each broker: events relayed and taken in, and an order that goes there and back."""

import asyncio
import importlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.brokers import Place
from bench.buses import BROKERS, Side
from bench.measure import Pace
from daicho.testing import at_rest
from tests.trade import Order, PlaceOrder, Receive, inventory, orders

EVENTS, ORDERS, PARTITIONS = 10_000, 100, 8
names = count(1)


async def relayed(bus: str, folder: Path, many: int) -> tuple[float, float]:
    """Events per second out of one register, and into another."""
    n = next(names)
    source, target = (f"sqlite:///{folder / f'{side}{n}.db'}?durability=relaxed" for side in ("from", "to"))
    place = f"{bus}?prefix=r{n}"
    async with inventory(source, None) as depot:
        for start in range(0, many, 500):
            received = [Receive(sku=f"s-{i % 500}", quantity=1) for i in range(start, min(many, start + 500))]
            await asyncio.gather(*map(depot.send, received))
    async with inventory(source, place, partitions=PARTITIONS) as depot:
        began = time.perf_counter()
        await at_rest(depot, within=300)
        out = many / (time.perf_counter() - began)
        async with orders(target, place, partitions=PARTITIONS) as shop:
            began = time.perf_counter()
            await at_rest(depot, shop, within=300)
            return out, many / (time.perf_counter() - began)


async def cycles(bus: str, folder: Path, many: int) -> list[float]:
    """Milliseconds from placing an order to its confirmation, by way of the other service, one at a time."""
    n, took = next(names), list[float]()
    stores = [f"sqlite:///{folder / f'{side}{n}.db'}?durability=relaxed" for side in ("shop", "depot")]
    place = f"{bus}?prefix=c{n}"
    async with orders(stores[0], place) as shop, inventory(stores[1], place) as depot:
        await depot.send(Receive(sku="tea", quantity=many))
        for i in range(many):
            began = time.perf_counter()
            confirmed = asyncio.ensure_future(_confirmed(shop, f"o-{i}"))
            await shop.send(PlaceOrder(order=f"o-{i}", sku="tea", quantity=1))
            await confirmed
            took.append((time.perf_counter() - began) * 1000)
    return took


async def _confirmed(shop: Any, order: str) -> None:
    while (await shop.load(Order, order)).status != "confirmed":  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0.0005)


def services(pace: Pace, only: Sequence[str], console: Console, absent: tuple[type[Exception], ...]) -> Any:
    """On the brokers whose names hold one of the texts; one that is missing is told and left out."""
    table = Table(title="Between two services on SQLite, in one process", title_justify="left")
    for column in ("broker", "client alone, published/s", "relayed/s", "to raw", "taken in/s", "cycle, ms (p99)"):
        table.add_column(column, justify="left" if column == "broker" else "right", no_wrap=True)
    found: dict[str, Any] = {}
    for name in [each for each in BROKERS if any(text in each for text in only)]:
        try:
            place: Place = getattr(importlib.import_module(f"bench.brokers.{name}"), name.capitalize())()
        except absent as missing:
            console.print(f"without {name}: {missing}")
            continue
        try:
            many = pace.events(int(EVENTS * place.share))
            with tempfile.TemporaryDirectory() as folder:
                bus = place.url.partition("?")[0]
                raw = Side(place.client, many, 1).publish()().value
                out, into = asyncio.run(relayed(bus, Path(folder), many))
                took = sorted(asyncio.run(cycles(bus, Path(folder), min(ORDERS, pace.events(ORDERS)))))
        finally:
            place.close()
        middle, late = statistics.median(took), took[int(len(took) * 0.99) - 1]
        found[name] = {"raw": raw, "relayed": out, "taken_in": into, "cycle": middle, "cycle_p99": late}
        figures = [f"{raw:,.0f}", f"{out:,.0f}", f"{out / raw:.2f}", f"{into:,.0f}", f"{middle:.1f} ({late:.1f})"]
        table.add_row(place.title, *figures)
    console.print(table)
    return found
