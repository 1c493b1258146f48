"""Killed between any two steps, a process manager ends the same: nothing is lost, nothing is done twice.

The ledger is kept here, from the events of the aggregates alone: what an instance believes of itself is no proof.
"""

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from daicho import App, LostLease
from daicho.ports.probe import PROCESS_POINTS
from daicho.testing import VirtualClock, crash_at
from examples.fulfilment import StockShelf
from tests.faults.process_worker import SKUS, is_paid, order, place, shop

ROOT = Path(__file__).resolve().parents[2]
STOCK = 40
ORDERS = 24


async def stocked(app: App, stock: int = STOCK) -> None:
    for sku in SKUS:
        await app.send(StockShelf(sku=sku, quantity=stock), key=f"stock-{sku}")


async def audit(app: App, orders: int, stock: int = STOCK) -> Counter[str]:
    """How the orders ended. Each did, in one way, with the stock and the money that belong to it."""
    events: dict[str, list[tuple[str, int]]] = {f"o-{n}": [] for n in range(orders)}
    on_hand, reserved = dict.fromkeys(SKUS, stock), Counter[str]()
    async for record in app.events():
        order_id = getattr(record.event, "order_id", None)
        if order_id is None:
            continue
        events[order_id].append((record.type, getattr(record.event, "quantity", getattr(record.event, "cents", 0))))
        sku, quantity = getattr(record.event, "sku", ""), getattr(record.event, "quantity", 0)
        match record.type:
            case "shelf.reserved":
                reserved[sku] += quantity
            case "shelf.released":
                reserved[sku] -= quantity
            case "shelf.deducted":
                reserved[sku] -= quantity
                on_hand[sku] -= quantity
            case _:
                pass
        assert 0 <= reserved[sku] <= on_hand.get(sku, 0)
    ends = Counter[str]()
    sold = Counter[str]()
    for n in range(orders):
        asked, found = order(n), events[f"o-{n}"]
        types = Counter(name for name, _ in found)
        assert all(count == 1 for count in types.values()), (n, found)
        assert types["purchase.placed"] == 1
        assert types["purchase.confirmed"] + types["purchase.cancelled"] == 1, (n, found)
        assert types["shelf.reserved"] == types["shelf.released"] + types["shelf.deducted"], (n, found)
        assert types["shelf.deducted"] == types["purchase.confirmed"], (n, found)
        assert types["payment.received"] == is_paid(n)
        assert types["payment.received"] - types["payment.refunded"] == types["purchase.confirmed"], (n, found)
        sold[asked.sku] += asked.quantity * types["purchase.confirmed"]
        ends["confirmed" if types["purchase.confirmed"] else "cancelled"] += 1
    assert {sku: stock - sold[sku] for sku in SKUS} == on_hand
    assert not any(reserved.values())
    [counts] = await app.processes.list()
    assert (counts.done, counts.compensated, counts.running) == (ends["confirmed"], ends["cancelled"], 0)
    assert (await app.health(late=1e9)).problems == ()
    return ends


async def play(app: App, clock: VirtualClock, orders: int = ORDERS) -> None:
    await stocked(app)
    for n in range(orders):
        await place(app, n)
    await app.settle()
    await clock.advance(timedelta(seconds=31))
    await app.settle()
    await clock.advance(timedelta(minutes=5))
    await app.settle()


@pytest.mark.parametrize("nth", [1, 9])
@pytest.mark.parametrize("point", PROCESS_POINTS)
async def test_killed_at_any_point_it_ends_the_same(sqlite: str, point: str, nth: int) -> None:
    clock = VirtualClock()
    crash = crash_at(point, nth=nth)
    try:
        async with crash.of(shop(sqlite, clock=clock, probe=crash)) as app:
            await play(app, clock)
    except AssertionError:
        assert crash.passed < nth <= 9  # that point is passed once a page
        assert crash.passed >= 1
    after = VirtualClock(clock.now(), seed=1)
    async with shop(sqlite, clock=after) as app:
        await play(app, after)
        ends = await audit(app, ORDERS)
    assert ends == {"confirmed": 12, "cancelled": 12}


@pytest.mark.slow
async def test_killed_again_and_again_it_still_ends_the_same(sqlite: str) -> None:
    dice = random.Random(20111209)
    now, crashes = VirtualClock().now(), 0
    for life in range(12):
        clock = VirtualClock(now, seed=life)
        crash = crash_at(dice.choice(list(PROCESS_POINTS)), nth=dice.randint(1, 8))
        with suppress(AssertionError):  # there was too little to do for that point to be passed so often
            async with crash.of(shop(sqlite, clock=clock, probe=crash)) as app:
                await play(app, clock, 2 * life + 2)
        crashes += crash.happened
        now = clock.now()
    assert crashes >= 6
    clock = VirtualClock(now, seed=99)
    async with shop(sqlite, clock=clock) as app:
        await play(app, clock)
        assert await audit(app, ORDERS) == {"confirmed": 12, "cancelled": 12}


async def test_one_that_lost_its_place_records_nothing(sqlite: str) -> None:
    clock = VirtualClock()
    async with shop(sqlite, clock=clock) as app:
        await play(app, clock)
        head = await app.storage.head()
        running = app._now
        [feeder], [courier] = running.between._feeders, running.between._couriers
        page = await running.read.feed.page(0)
        for late in (feeder, courier):  # as after a long sleep: with what it had in hand, and a token of long ago
            with pytest.raises(LostLease):
                await late.consume(page, page.of_types(late.types), 0, 0)
        assert await app.storage.head() == head
        await audit(app, ORDERS)


def start(store: str, *span: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.process_worker", store, *map(str, span)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def heard(worker: subprocess.Popen[str], lines: int) -> None:
    assert worker.stdout is not None
    for _ in range(lines):
        assert worker.stdout.readline(), "the worker ended by itself"


def end(worker: subprocess.Popen[str], how: signal.Signals = signal.SIGKILL) -> None:
    worker.send_signal(how)
    worker.communicate()


async def killed_by_hand(store: str, seed: int, kills: int, orders: int) -> Counter[str]:
    """Two processes share the work; one after the other is killed in the middle of it."""
    dice = random.Random(seed)
    async with shop(store) as app:
        await stocked(app, stock=10 * orders)
    other = start(store)
    heard(other, 1)
    for _ in range(kills):
        worker = start(store, 0, orders)
        heard(worker, 1 + dice.randint(1, orders - 1))
        end(worker)
        if dice.random() < 0.5:
            end(other)
            other = start(store)
            heard(other, 1)
    end(other)
    clock = VirtualClock(seed=1)
    now = VirtualClock().now()
    async with shop(store) as app:  # by the real clock: everything but the deadlines
        for n in range(orders):
            await place(app, n)
        await app.settle()
        now = app.clock.now()
    clock = VirtualClock(now + timedelta(minutes=2), seed=1)
    async with shop(store, clock=clock) as app:
        await app.settle()
        await clock.advance(timedelta(minutes=5))
        await app.settle()
        return await audit(app, orders, stock=10 * orders)


@pytest.mark.slow
async def test_processes_that_share_instances_are_killed_on_sqlite(sqlite: str) -> None:
    assert await killed_by_hand(sqlite, 5, kills=2, orders=16) == {"confirmed": 8, "cancelled": 8}


@pytest.mark.slow
async def test_processes_that_share_instances_are_killed_on_postgresql(postgres_url: str) -> None:
    assert await killed_by_hand(postgres_url, 7, kills=2, orders=16) == {"confirmed": 8, "cancelled": 8}


@pytest.mark.slow
async def test_many_instances_agree_with_the_ledger(sqlite: str) -> None:
    clock = VirtualClock()
    async with shop(sqlite, clock=clock) as app:
        await stocked(app, stock=150)
        await asyncio.gather(*[place(app, n) for n in range(300)])
        await app.settle()
        await clock.advance(timedelta(seconds=31))
        await app.settle()
        ends = await audit(app, 300, stock=150)
        assert ends["confirmed"] + ends["cancelled"] == 300
        assert ends["cancelled"] > 150  # stock ran out for some


@pytest.mark.campaign
async def test_ten_thousand_instances_agree_with_the_ledger(sqlite: str) -> None:
    clock = VirtualClock()
    async with shop(sqlite, clock=clock) as app:
        await stocked(app, stock=6000)
        for first in range(0, 10_000, 500):
            await asyncio.gather(*[place(app, n) for n in range(first, first + 500)])
            await app.settle(within=120)
        await clock.advance(timedelta(seconds=31))
        await app.settle(within=300)
        ends = await audit(app, 10_000, stock=6000)
        assert ends["confirmed"] + ends["cancelled"] == 10_000
