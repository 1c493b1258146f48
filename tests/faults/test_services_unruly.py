"""Whatever a bus does to messages: what a service hears is what the other one published, once, in order."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from uuid import uuid4

import pytest

from daicho import App
from daicho.adapters.buses.memory import MemoryBus
from daicho.flow.among import PartitionState
from daicho.flow.line import events_of
from daicho.testing import UnrulyBus, at_rest
from daicho.testing.contracts.base import eventually
from tests.trade import Order, PlaceOrder, Receive, Sold, Stock, inventory, orders, sold

SKUS = ("tea", "ink", "rice")


def told(name: str, **mischief: object) -> UnrulyBus:
    return UnrulyBus(MemoryBus(f"memory:{name}"), **mischief)  # type: ignore[arg-type]  # as the test says


async def published(app: App, *types: str) -> dict[str, list[str]]:
    """Ids of the service's own events of these types, by stream, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    async for record in app.events():
        if record.type in types and "source" not in record.metadata:
            found[record.stream].append(record.event_id)
    return found


async def heard(app: App, source: str) -> dict[str, list[str]]:
    """Ids of the events of another service as they stand here, by their stream there, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    async for record in app.events():
        if record.metadata.get("source") == source:
            found[record.stream.removeprefix(f"{source}.")].append(record.event_id)
    return found


async def check(shop: App, depot: App, placed: int) -> None:
    """Nothing lost, doubled or out of order; no order left open; no stock made or lost."""
    assert await heard(shop, "inventory") == await published(depot, "stock.reserved", "stock.short")
    assert not await shop.dead_letters.list()
    streams = [name for name, _ in await shop.storage.streams("order", limit=10_000)]
    states = [(await shop.load(Order, name.partition("-")[2])).status for name in streams]
    assert len(states) == placed
    assert set(states) <= {"confirmed", "refused"}
    for sku in SKUS:
        row = await shop.views[sold].get(sku) or Sold(sku=sku)
        assert (await depot.load(Stock, sku)).left + row.quantity == 30


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_bus_that_misbehaves_any_way_costs_time_and_never_truth(seed: int) -> None:
    name, dice = str(uuid4()), random.Random(seed)
    buses = [told(name, chance=0.2, seed=seed), told(name, chance=0.2, seed=seed + 100)]
    async with orders("memory:", buses[0]) as shop, inventory("memory:", buses[1]) as depot:
        for sku in SKUS:
            await depot.send(Receive(sku=sku, quantity=30))
        for n in range(60):
            await shop.send(PlaceOrder(order=f"o-{n}", sku=dice.choice(SKUS), quantity=dice.randint(1, 4)))
            await asyncio.sleep(dice.choice([0, 0, 0.002, 0.01]))
            if n % 10 == 9:
                bus = dice.choice(buses)
                what = dice.choice(["forget", "away", "cut"])
                if what == "forget":
                    bus.forget(
                        events_of(dice.choice(["inventory", "orders"]), 2), dice.randrange(2), dice.randint(1, 9)
                    )
                if what in ("forget", "away"):
                    bus.away()
                    await asyncio.sleep(0.05)
                    bus.back()
                else:
                    bus.cut(2)
        for bus in buses:
            bus.calm()
        await at_rest(shop, depot)
        print(seed, *[dict(bus.done) for bus in buses])
        await check(shop, depot, 60)


@pytest.mark.slow
async def test_what_a_broker_confirmed_and_lost_is_sent_again_though_nobody_noticed_that_it_was_away() -> None:
    name = str(uuid4())
    bus = told(name)
    async with inventory("memory:", bus) as depot:
        for n in range(20):
            await depot.send(Receive(sku=f"s-{n}", quantity=1))
        await at_rest(depot)
        for partition in (0, 1):
            bus.forget(events_of("inventory", 2), partition, 3)
        async with orders("memory:", f"memory:{name}") as shop:
            await settled_tails(depot, 20)
            await at_rest(depot, shop)
            assert {each.tail for each in await depot.bus_status()} >= {20}


async def settled_tails(app: App, position: int) -> None:
    def there(states: Sequence[PartitionState]) -> bool:
        return max(each.tail or 0 for each in states) >= position

    await eventually(app.bus_status, there)
