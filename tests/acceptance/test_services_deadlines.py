"""The shop as three services: half a minute without a payment, payments that come late or early, and services that are
killed between any two steps of that."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from daicho import App
from daicho.ports.probe import PROCESS_POINTS, SERVICE_POINTS
from daicho.sync import SyncApp
from daicho.testing import VirtualClock, at_rest, crash_at
from daicho.testing.contracts.base import eventually
from examples.services import inventory, orders, payments
from tests.acceptance.services_ledger import Books, Customers

SERVICES = {"orders": orders.service, "inventory": inventory.service, "payments": payments.service}


@dataclass
class Shop:
    order: App
    depot: App
    money: App
    clock: VirtualClock
    customers: Customers

    async def rest(self) -> None:
        await at_rest(self.order, self.depot, self.money)

    async def after(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.rest()

    async def status(self, order_id: str) -> str:
        return (await self.order.load(orders.Order, order_id)).status

    async def ends(self) -> dict[str, str]:
        return await self.customers.books.balance(self.order, self.depot, self.money)


@asynccontextmanager
async def opened() -> AsyncGenerator[Shop]:
    clock, bus = VirtualClock(), f"memory:{uuid4()}"
    order, depot, money = (make("memory:", bus, clock=clock, partitions=2) for make in SERVICES.values())
    async with order, depot, money:
        customers = Customers(Books(), order, depot, money)
        await customers.stock("tea", 10)
        yield Shop(order, depot, money, clock, customers)


async def test_an_order_that_is_not_paid_for_half_a_minute_is_undone() -> None:
    async with opened() as shop:
        await shop.customers.place("o-1", quantity=4)
        await shop.rest()
        await shop.after(29.9)
        assert await shop.status("o-1") == "pending"
        assert (await shop.depot.load(inventory.Shelf, "tea")).reserved == {"o-1": 4}
        await shop.after(0.1)
        assert await shop.ends() == {"o-1": "cancelled"}


async def test_an_order_that_was_paid_in_time_is_not_undone_later() -> None:
    async with opened() as shop:
        await shop.customers.place("o-1")
        await shop.rest()
        await shop.after(29.9)
        await shop.customers.pay("o-1")
        await shop.rest()
        await shop.after(3600)
        assert await shop.ends() == {"o-1": "confirmed"}


async def test_a_payment_that_comes_too_late_is_recorded_and_paid_back() -> None:
    async with opened() as shop:
        await shop.customers.place("o-1")
        await shop.rest()
        await shop.after(31)
        await shop.customers.pay("o-1")
        await shop.rest()
        assert await shop.ends() == {"o-1": "cancelled"}
        payment = await shop.money.load(payments.Payment, "o-1")
        assert (payment.received, payment.refunded) == (900, True)


async def test_a_payment_that_comes_before_its_order_waits_for_it() -> None:
    async with opened() as shop:
        await shop.customers.pay("o-1")
        await shop.rest()
        await shop.customers.place("o-1")
        await shop.rest()
        assert await shop.ends() == {"o-1": "confirmed"}


async def test_money_for_what_is_sold_out_goes_back_whenever_it_comes() -> None:
    async with opened() as shop:
        await shop.customers.pay("early")
        await shop.rest()
        for order_id in ("early", "late"):
            await shop.customers.place(order_id, quantity=11)
        await shop.rest()
        await shop.customers.pay("late")
        await shop.rest()
        assert await shop.ends() == {"early": "cancelled", "late": "cancelled"}


@pytest.mark.slow
async def test_a_deadline_that_passed_while_the_service_was_down_is_kept_when_it_comes_back(tmp_path: Path) -> None:
    clock, bus, store = VirtualClock(), f"memory:{uuid4()}", f"sqlite:///{tmp_path}/orders.db?durability=relaxed"
    async with inventory.service("memory:", bus, clock=clock) as depot, payments.service("memory:", bus) as money:
        async with orders.service(store, bus, clock=clock) as order:
            customers = Customers(Books(), order, depot, money)
            await customers.stock("tea", 10)
            await customers.place("o-1")
            await at_rest(order, depot, money)
        await clock.advance(timedelta(hours=1))
        async with orders.service(store, bus, clock=clock) as order:
            await at_rest(order, depot, money)
            assert await customers.books.balance(order, depot, money) == {"o-1": "cancelled"}


# -- killed between any two steps -------------------------------------------------------------------------------------

STORY = {
    "paid": "confirmed",
    "paid before": "confirmed",
    "never paid": "cancelled",
    "paid late": "cancelled",
    "too large": "cancelled",
}
OWNED = [point for point in SERVICE_POINTS if point.startswith("owned.")]
RELAY = ["relay.before", "relay.published"]
STEPS = [
    *[("orders", point) for point in (*PROCESS_POINTS, *SERVICE_POINTS) if point not in OWNED],
    *[(name, point) for name in ("inventory", "payments") for point in (*OWNED, *RELAY)],
]


class Elsewhere:
    """A service on a thread of its own, so that the death of another is not its own."""

    def __init__(self, app: SyncApp) -> None:
        self.app = app

    async def send(self, *given: Any, **named: Any) -> Any:
        return await asyncio.to_thread(self.app.send, *given, **named)

    async def load(self, *given: Any) -> Any:
        return await asyncio.to_thread(self.app.load, *given)


Advance = Callable[[float], Awaitable[None]]


async def play(customers: Customers, advance: Advance) -> None:
    """Five orders to their ends, each step as soon as the one before has led to what it leads to."""
    order, depot, money = customers.order, customers.depot, customers.money

    async def until(*statuses: tuple[str, str]) -> None:
        async def looked() -> bool:
            await advance(0.01)  # for who waits a little before it tries again
            return all([(await order.load(orders.Order, each)).status == status for each, status in statuses])

        await eventually(looked, bool)

    async def waiting() -> bool:
        await advance(0.01)
        found = [await money.load(payments.Payment, each) for each in ("never paid", "paid late")]
        return all(each.requested for each in found)

    async def given_back() -> bool:
        await advance(0.01)
        shelf = await depot.load(inventory.Shelf, "tea")
        return not shelf.reserved and (await money.load(payments.Payment, "paid late")).refunded

    await customers.stock("tea", 10)
    await customers.pay("paid before")
    for order_id in STORY:
        await customers.place(order_id, quantity=50 if order_id == "too large" else 2)
    await customers.pay("paid")
    await until(("paid", "confirmed"), ("paid before", "confirmed"), ("too large", "cancelled"))
    await eventually(waiting, bool)
    await advance(30)
    await until(("never paid", "cancelled"), ("paid late", "cancelled"))
    await customers.pay("paid late")
    await eventually(given_back, bool)


async def killed(service: str, point: str, nth: int, tmp_path: Path) -> bool:
    """Plays the story with a service that is killed, plays it again with its successor, and balances the books. Returns
    whether it was killed: some steps are not taken so often."""
    bus, clock = f"memory:{uuid4()}", VirtualClock(datetime.now(UTC))
    stores = {name: f"sqlite:///{tmp_path / name}.db?durability=relaxed" for name in SERVICES}
    books = Books()

    def made(name: str, clock: VirtualClock, **more: Any) -> App:
        ticks = {"clock": clock} if name == "orders" else {}
        return SERVICES[name](stores[name], bus, partitions=2, **ticks, **more)

    others = {name: made(name, clock).sync() for name in SERVICES if name != service}
    for each in others.values():
        await asyncio.to_thread(each.__enter__)

    async def advance(seconds: float) -> None:
        if service == "orders":
            await clock.advance(seconds)
        else:  # a clock is moved where it is slept by
            moved = others["orders"]._loop.run  # pyright: ignore[reportPrivateUsage]
            await asyncio.to_thread(lambda: moved(clock.advance(seconds)))

    crash = crash_at(point, nth=nth)
    try:
        with suppress(AssertionError):
            async with crash.of(made(service, clock, probe=crash)) as app:
                parts: dict[str, Any] = {name: Elsewhere(each) for name, each in others.items()} | {service: app}
                await play(Customers(books, *(parts[name] for name in SERVICES)), advance)
    finally:
        for each in others.values():
            await asyncio.to_thread(each.__exit__, None, None, None)
    after = VirtualClock(clock.now(), seed=1)
    order, depot, money = (made(name, after) for name in SERVICES)
    async with order, depot, money:
        await play(Customers(books, order, depot, money), after.advance)
        await at_rest(order, depot, money)
        assert await books.balance(order, depot, money) == STORY
    return crash.happened


@pytest.mark.slow
@pytest.mark.parametrize(("service", "point"), STEPS)
async def test_killed_between_any_two_steps_every_order_ends_the_same(service: str, point: str, tmp_path: Path) -> None:
    assert await killed(service, point, 1, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("nth", [2, 3, 5])
@pytest.mark.parametrize(("service", "point"), STEPS)
async def test_killed_later_on_too(service: str, point: str, nth: int, tmp_path: Path) -> None:
    print("killed" if await killed(service, point, nth, tmp_path) else "not passed so often")
