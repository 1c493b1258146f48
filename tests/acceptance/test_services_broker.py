"""The shop as services, and a broker that is down, that loses what it had confirmed, or whose answers get lost:
whatever happens between them, every effect in every service happens once, and the books balance."""

import asyncio
import gc
import random
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from daicho import App
from daicho.adapters.buses.memory import MemoryBus
from daicho.adapters.buses.nats import NatsBus
from daicho.ports.event_bus import EventBus
from daicho.testing import UnrulyBus, VirtualClock, at_rest
from examples.services import inventory, orders, payments, shipping
from tests.acceptance.services_ledger import Books, Customers
from tests.faults.test_buses import Broker, forget_since
from tests.services.find import needed
from tests.services.kafka import kafka
from tests.services.nats import nats
from tests.services.proxy import Proxy
from tests.services.rabbitmq import rabbitmq
from tests.services.redis import redis
from tests.services.running import Host

pytestmark = pytest.mark.slow
SERVERS: dict[str, Callable[[Host], Any]] = {"nats": nats, "redis": redis, "rabbitmq": rabbitmq, "kafka": kafka}
SERVICES = (orders.service, inventory.service, payments.service, shipping.service)
LATE = 31
"""Seconds after which the shop does not wait for money any more."""


@pytest.fixture
def server(request: pytest.FixtureRequest, host: Host) -> Iterator[Any]:
    """A broker of the test's own, to be broken at will."""
    with needed():
        server = SERVERS[request.param](host)
    yield server
    server.kill()
    gc.collect()  # tasks of a client that was cut off are logged here, and not in the middle of something else


@dataclass
class Town:
    """Four services with a register each, their customers, and a clock that goes on by itself and can be moved on."""

    apps: tuple[App, App, App, App]
    clock: VirtualClock
    customers: Customers
    placed: int = 0

    async def trade(self, many: int, pause: float = 0.0) -> None:
        """Orders of every kind: paid, paid before, never paid or late, and too large."""
        for n in range(self.placed, self.placed + many):
            order_id = f"o-{n}"
            if n % 5 == 0:
                await self.customers.pay(order_id)
            await self.customers.place(order_id, quantity=9999 if n % 5 == 4 else 1 + n % 3)
            if n % 5 in (1, 2):
                await self.customers.pay(order_id)
            await asyncio.sleep(pause)
        self.placed += many

    async def end(self) -> Counter[str]:
        """Lets every order come to its end, and balances the books. How many ended how."""
        await at_rest(*self.apps, within=90)
        await self.clock.advance(LATE)
        await at_rest(*self.apps, within=90)
        for n in range(8, self.placed, 10):
            await self.customers.pay(f"o-{n}")
        await at_rest(*self.apps, within=90)
        ends = Counter((await self.customers.books.balance(*self.apps)).values())
        assert ends["confirmed"] + ends["cancelled"] == self.placed
        assert ends["cancelled"] >= self.placed // 5, "some asked for more than there was"
        print(dict(ends))
        return ends


@asynccontextmanager
async def town(tmp_path: Path, bus: Callable[[], str | EventBus]) -> AsyncGenerator[Town]:
    clock = VirtualClock(datetime.now(UTC))
    stores = [f"sqlite:///{tmp_path / str(n)}.db?durability=relaxed" for n in range(4)]
    made = [make(store, bus(), partitions=2, clock=clock) for make, store in zip(SERVICES, stores, strict=True)]
    ticking = asyncio.create_task(tick(clock))
    try:
        async with AsyncExitStack() as opened:
            order, depot, money, late = [await opened.enter_async_context(app) for app in made]
            customers = Customers(Books(), order, depot, money)
            await customers.stock("tea", 5000)
            yield Town((order, depot, money, late), clock, customers)
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking


async def tick(clock: VirtualClock) -> None:
    loop = asyncio.get_running_loop()
    last = loop.time()
    while True:
        await asyncio.sleep(0.005)
        now = loop.time()
        await clock.advance(now - last)
        last = now


# -- down for a while -------------------------------------------------------------------------------------------------


async def down_for(seconds: float, server: Any, tmp_path: Path) -> None:
    many = 30
    async with town(tmp_path, lambda: server.url) as shop:
        await shop.trade(many)
        if server.name == "rabbitmq":
            await asyncio.to_thread(server.settle)
        await asyncio.to_thread(server.kill)
        await shop.trade(many, pause=seconds / many)
        for n in range(many, 2 * many):
            assert (await shop.apps[0].load(orders.Order, f"o-{n}")).status == "pending", "nobody could hear of it"
        await asyncio.to_thread(server.start)
        await shop.trade(many)
        ends = await shop.end()
        assert ends["confirmed"] >= many, "those that were placed while it was down or after, and paid"


@pytest.mark.parametrize("server", ["nats"], indirect=True)
async def test_while_the_broker_is_down_services_go_on_and_it_all_balances_afterwards(
    server: Any, tmp_path: Path
) -> None:
    await down_for(1.5, server, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("server", sorted(SERVERS), indirect=True)
async def test_a_broker_may_be_down_for_five_minutes(server: Any, tmp_path: Path) -> None:
    await down_for(300, server, tmp_path)


# -- what was confirmed is lost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["nats", pytest.param("redis", marks=pytest.mark.campaign)], indirect=True)
async def test_what_a_broker_had_confirmed_and_lost_with_its_power_changes_no_effect(
    server: Any, tmp_path: Path
) -> None:
    broker, copy = Broker(server.name, server), tmp_path / "copy"

    async def nothing() -> None: ...

    async with town(tmp_path, lambda: server.url) as shop:

        async def rest() -> None:
            await at_rest(*shop.apps, within=60)

        afterwards: list[Callable[[], Awaitable[None]]] = [rest, nothing]
        for until in afterwards:  # what is lost was heard by everybody; and by some only
            await shop.trade(20)
            await rest()
            await asyncio.to_thread(shutil.copytree, broker.files, copy)
            await shop.trade(20)
            await until()
            await asyncio.to_thread(forget_since, broker, copy)
            await asyncio.to_thread(shutil.rmtree, copy)
        await shop.trade(20)
        await shop.end()


# -- answers that get lost, messages that come twice and in another order ---------------------------------------------


async def mischief(wire: Proxy, dice: random.Random, times: Counter[str]) -> None:
    """The wire breaks and is mended, again and again."""
    while True:
        await asyncio.sleep(dice.uniform(0.02, 0.15))
        what = dice.choice(["cut", "cut", "hold", "refuse"])
        times[what] += 1
        if what == "hold":
            wire.pause()
        elif what == "refuse":
            await asyncio.to_thread(wire.refuse)
        if what != "cut":
            await asyncio.sleep(dice.uniform(0.02, 0.1))
        wire.resume()
        await asyncio.to_thread(wire.cut)
        await asyncio.to_thread(wire.accept)


@pytest.mark.parametrize("server", ["nats"], indirect=True)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.campaign)])
async def test_a_wire_that_breaks_and_a_bus_that_repeats_and_reorders_double_nothing(
    server: Any, seed: int, tmp_path: Path
) -> None:
    buses, dice, times = list[UnrulyBus](), random.Random(seed), Counter[str]()
    with Proxy(server.port) as wire:

        def bus() -> EventBus:
            inner = NatsBus(f"{wire.through(server.url)}?reconnect_within=1")
            buses.append(UnrulyBus(inner, chance=0.0, seed=seed + len(buses)))
            return buses[-1]

        async with town(tmp_path, bus) as shop:
            breaking = asyncio.create_task(mischief(wire, dice, times))
            for each in buses:
                each.chance = 0.1
            await shop.trade(60, pause=0.03)
            breaking.cancel()
            with suppress(asyncio.CancelledError):
                await breaking
            wire.resume()
            await asyncio.to_thread(wire.accept)
            for each in buses:
                each.calm()
            done = sum((each.done for each in buses), times)
            print(dict(done))
            assert {"cut", "repeat"} <= done.keys()
            await shop.end()


@pytest.mark.parametrize("seed", [1, *[pytest.param(n, marks=pytest.mark.campaign) for n in range(2, 12)]])
async def test_a_bus_that_does_everything_wrong_doubles_no_effect_in_any_of_the_services(
    seed: int, tmp_path: Path
) -> None:
    name, buses, dice = str(uuid4()), list[UnrulyBus](), random.Random(seed)

    def bus() -> EventBus:
        buses.append(UnrulyBus(MemoryBus(f"memory:{name}"), seed=seed + len(buses)))
        return buses[-1]

    async with town(tmp_path, bus) as shop:
        for each in buses:
            each.chance = 0.15
        for _ in range(6):
            await shop.trade(10, pause=0.005)
            away = dice.choice(buses)
            away.away()
            await asyncio.sleep(0.03)
            away.back()
        for each in buses:
            each.calm()
        print(dict(sum((each.done for each in buses), Counter[str]())))
        await shop.end()
