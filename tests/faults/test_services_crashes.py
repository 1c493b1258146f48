"""A service that dies between any two steps, or loses its leases, leaves everything as if it had not."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from daicho import App
from daicho.ports.probe import SERVICE_POINTS
from daicho.sync import SyncApp
from daicho.testing import at_rest, crash_at
from daicho.testing.contracts.base import eventually
from tests.faults.test_services_unruly import SKUS, check
from tests.services.postgres import Postgres, drop_database, fresh_database
from tests.trade import Order, PlaceOrder, Receive, inventory, orders

pytestmark = pytest.mark.slow
TIMES = pytest.mark.parametrize(
    ("stores", "nth"), [("sqlite", 1), ("sqlite", 4), ("postgresql", 1)], indirect=["stores"]
)
"""At which passage it dies; on PostgreSQL at the first only, for the time that it takes."""
OWNERS = [point for point in SERVICE_POINTS if point.startswith("owned.")]


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """URLs of two stores that outlive their Apps."""
    if request.param == "sqlite":
        yield [f"sqlite:///{tmp_path / name}.db?durability=relaxed" for name in ("orders", "inventory")]
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    urls = [fresh_database(postgres), fresh_database(postgres)]
    yield urls
    for url in urls:
        drop_database(postgres, url)


async def place(shop: App, after: int = 0) -> int:
    """Places orders until the shop dies, or there are enough. Returns how many are known to be placed."""
    for n in range(after, after + 40):
        await shop.send(PlaceOrder(order=f"o-{n}", sku=SKUS[n % 3], quantity=1), key=f"o-{n}")
        await asyncio.sleep(0.002)
    return after + 40


async def all_settled(shop: App) -> bool:
    streams = await shop.storage.streams("order", limit=1000)
    states = [(await shop.load(Order, name.partition("-")[2])).status for name, _ in streams]
    return "placed" not in states


@TIMES
@pytest.mark.parametrize("point", [point for point in SERVICE_POINTS if point not in OWNERS])
async def test_the_service_that_asks_and_hears_may_die_at_any_point(stores: list[str], point: str, nth: int) -> None:
    bus = f"memory:{uuid4()}"
    with inventory(stores[1], bus).sync() as depot:
        fill(depot)
        crash = crash_at(point, nth=nth)
        async with crash.of(orders(stores[0], bus, probe=crash)) as shop:
            while True:
                await place(shop)
        assert crash.happened
        async with orders(stores[0], bus) as shop:
            placed = await place(shop)
            await eventually(lambda: all_settled(shop), bool)
    async with orders(stores[0], bus) as shop, inventory(stores[1], bus) as there:
        await at_rest(shop, there)
        await check(shop, there, placed)


@TIMES
@pytest.mark.parametrize("point", [*OWNERS, "relay.before", "relay.published"])
async def test_the_service_that_is_asked_may_die_at_any_point(stores: list[str], point: str, nth: int) -> None:
    bus = f"memory:{uuid4()}"
    async with inventory(stores[1], bus) as depot:
        for sku in SKUS:
            await depot.send(Receive(sku=sku, quantity=30))
        await at_rest(depot)
    with orders(stores[0], bus).sync() as shop:
        crash = crash_at(point, nth=nth)
        async with crash.of(inventory(stores[1], bus, probe=crash)) as depot:
            n = 0
            while True:
                order = PlaceOrder(order=f"o-{n}", sku=SKUS[n % 3], quantity=1)
                await asyncio.to_thread(shop.send, order, key=f"o-{n}")
                n += n < 60
        assert crash.happened
    async with orders(stores[0], bus) as last, inventory(stores[1], bus) as depot:
        await at_rest(last, depot)
        await check(last, depot, len(await last.storage.streams("order", limit=1000)))


def fill(depot: SyncApp) -> None:
    for sku in SKUS:
        depot.send(Receive(sku=sku, quantity=30))


async def test_processes_of_a_service_share_its_partitions_and_each_may_leave(stores: list[str]) -> None:
    bus = f"memory:{uuid4()}"
    async with inventory(stores[1], bus) as depot, orders(stores[0], bus) as one:
        for sku in SKUS:
            await depot.send(Receive(sku=sku, quantity=30))
        async with orders(stores[0], bus) as two:

            def shares(app: App) -> set[str]:
                running = app._now.crew.processors  # pyright: ignore[reportPrivateUsage]
                names = {each.name for each in running if each.state in ("live", "catching up")}
                return {name for name in names if name.startswith(("relay:", "inbox:"))}

            async def both() -> tuple[set[str], set[str]]:
                return shares(one), shares(two)

            every = {f"{kind}/{n}.2" for kind in ("relay:orders", "inbox:inventory") for n in (0, 1)}
            found = await eventually(both, lambda found: found[0] | found[1] == every and len(found[0]) == 2)
            assert not found[0] & found[1]
            await place(one)
        await place(one, after=40)
        await at_rest(one, depot)
        await check(one, depot, 80)


@pytest.mark.parametrize("kind", ["relay:orders", "inbox:inventory", "relay:inventory"])
async def test_who_lost_its_lease_and_does_not_know_it_does_no_harm(stores: list[str], kind: str) -> None:
    bus = f"memory:{uuid4()}"
    async with inventory(stores[1], bus) as depot, orders(stores[0], bus) as shop:
        for sku in SKUS:
            await depot.send(Receive(sku=sku, quantity=30))
        for n in range(40):
            await shop.send(PlaceOrder(order=f"o-{n}", sku=SKUS[n % 3], quantity=1))
            if n % 4 == 0:  # whoever is in the middle of something has an old token now
                await (depot if kind == "relay:inventory" else shop).storage.unseat(f"{kind}/{n // 4 % 2}.2")
        await at_rest(shop, depot)
        await check(shop, depot, 40)
