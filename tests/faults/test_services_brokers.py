"""Services over real brokers: one that is killed in the middle, and services that are."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from daicho.testing import at_rest
from tests.faults.test_services_crashes import all_settled, fill, place
from tests.faults.test_services_unruly import SKUS, check
from tests.services.find import needed
from tests.services.kafka import kafka
from tests.services.nats import nats
from tests.services.rabbitmq import rabbitmq
from tests.services.redis import redis
from tests.services.running import Host
from tests.trade import PlaceOrder, Receive, ReserveStock, inventory, orders

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LONG = {"rabbitmq", "kafka"}
"""Those that take seconds to start."""
BROKERS = [
    pytest.param(name, marks=pytest.mark.campaign if name in LONG else ()) for name in ("nats", "redis", *sorted(LONG))
]
places = count(1)


@pytest.fixture(scope="module")
def brokers(host: Host) -> Iterator[Callable[[str], Any]]:
    """A broker by its name, started when it is first asked for."""
    found: dict[str, Any] = {}
    starters: dict[str, Callable[[Host], Any]]
    starters = {"nats": nats, "redis": redis, "rabbitmq": rabbitmq, "kafka": kafka}

    def broker(name: str) -> Any:
        if name not in found:
            with needed():
                found[name] = starters[name](host)
        return found[name]

    yield broker
    for each in found.values():
        each.stop()


@pytest.fixture
def broker(request: pytest.FixtureRequest, brokers: Callable[[str], Any]) -> Any:
    return brokers(request.param)


def url_of(broker: Any) -> str:
    return f"{broker.url}?prefix=s{next(places)}"


@pytest.mark.parametrize("broker", BROKERS, indirect=True)
async def test_orders_go_there_and_back(broker: Any, tmp_path: Path) -> None:
    bus, stores = url_of(broker), [f"sqlite:///{tmp_path / n}.db?durability=relaxed" for n in "ab"]
    async with orders(stores[0], bus) as shop, inventory(stores[1], bus) as depot:
        for sku in SKUS:
            await depot.send(Receive(sku=sku, quantity=30))
        await asyncio.gather(*[shop.send(PlaceOrder(order=f"o-{n}", sku=SKUS[n % 3], quantity=1)) for n in range(60)])
        refused = await shop.outcome(await shop.post(ReserveStock(sku="silk", order="x", quantity=1)), within=10)
        assert refused.reason == "there is no silk"
        await at_rest(shop, depot)
        await check(shop, depot, 60)


@pytest.mark.parametrize("broker", BROKERS, indirect=True)
async def test_a_broker_that_is_killed_and_comes_back_costs_time_only(broker: Any, tmp_path: Path) -> None:
    bus, stores = url_of(broker), [f"sqlite:///{tmp_path / n}.db?durability=relaxed" for n in "ab"]
    async with orders(stores[0], bus) as shop, inventory(stores[1], bus) as depot:
        for sku in SKUS:
            await depot.send(Receive(sku=sku, quantity=30))
        await place(shop)
        broker.kill()
        await asyncio.gather(*[shop.send(PlaceOrder(order=f"x-{n}", sku=SKUS[n % 3], quantity=1)) for n in range(20)])
        await asyncio.to_thread(broker.start)
        await at_rest(shop, depot, within=60)
        await check(shop, depot, 60)


@pytest.mark.campaign
@pytest.mark.parametrize("broker", ["nats"], indirect=True)
async def test_services_that_are_killed_again_and_again_lose_and_double_nothing(broker: Any, tmp_path: Path) -> None:
    bus, stores, dice = url_of(broker), [f"sqlite:///{tmp_path / n}.db" for n in "ab"], random.Random(20111209)
    with inventory(stores[1], bus).sync() as depot:
        fill(depot)
    for life in range(3):
        services = [worker(kind, stores[n], bus, life) for n, kind in enumerate(("orders", "inventory"))]
        try:
            await asyncio.to_thread(hear, services, dice.randint(5, 40))
        finally:
            for service in dice.sample(services, 2):
                service.send_signal(signal.SIGKILL)
            for service in services:
                service.communicate()
    async with orders(stores[0], bus) as shop, inventory(stores[1], bus) as there:
        await at_rest(shop, there, within=60)
        assert await all_settled(shop)
        placed = len(await shop.storage.streams("order", limit=100_000))
        assert placed >= 15
        await check(shop, there, placed)


def worker(kind: str, store: str, bus: str, life: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.trade_worker", kind, store, bus, str(life)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def hear(services: Sequence[subprocess.Popen[bytes]], lines: int) -> None:
    """Until the other one has begun, and the first has placed so many orders."""
    for service, wanted in zip(services, (lines, 1), strict=True):
        assert service.stdout is not None
        assert all(service.stdout.readline() for _ in range(wanted))
