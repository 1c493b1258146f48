"""The bus that misbehaves does what it is asked to, and otherwise nothing."""

import asyncio
from pathlib import Path

import pytest

from daicho.adapters.buses.memory import MemoryBus
from daicho.core.errors import BusUnavailable
from daicho.ports.event_bus import BusAbilities, BusSubscription, Channel
from daicho.testing import UnrulyBus
from daicho.testing.contracts import EventBusContract
from daicho.testing.contracts.base import soon
from daicho.testing.contracts.event_bus import chain, numbers, take

NEWS = Channel("news")


class TestCalm(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=False)

    def make(self, tmp_path: Path) -> UnrulyBus:
        return UnrulyBus(MemoryBus(f"memory:{tmp_path}"))

    def make_away(self, password: str) -> None:
        return None


async def opened() -> tuple[UnrulyBus, BusSubscription]:
    bus = UnrulyBus(MemoryBus("memory:"))
    await bus.open()
    await bus.declare(NEWS)
    return bus, await bus.subscribe(NEWS, 0, "shipping")


async def heard(hearing: BusSubscription, limit: int = 100) -> list[int]:
    return numbers([delivery.message for delivery in await soon(hearing.receive(limit=limit))])


async def test_it_takes_messages_twice() -> None:
    bus, hearing = await opened()
    bus.repeat()
    await bus.publish(NEWS, 0, chain(1, 2))
    assert await heard(hearing) == [1, 2, 1, 2]


async def test_it_lets_messages_be_heard_twice() -> None:
    bus, hearing = await opened()
    await bus.publish(NEWS, 0, chain(1, 2))
    assert await heard(hearing) == [1, 2]
    bus.repeat()
    assert await heard(hearing) == [1, 2]


async def test_it_changes_their_order_and_acknowledges_none_that_was_not() -> None:
    bus, hearing = await opened()
    await bus.publish(NEWS, 0, chain(*range(1, 31)))
    bus.reorder()
    deliveries = await soon(hearing.receive(limit=30))
    places = [delivery.message.number for delivery in deliveries]
    assert places != sorted(places)
    assert sorted(places) == list(range(1, 31))
    await hearing.acknowledge([each for each in deliveries if each.message.number != 4])
    again = await bus.subscribe(NEWS, 0, "shipping")
    assert await heard(again, 2) == [4, 5]


async def test_it_takes_messages_and_says_nothing() -> None:
    bus, hearing = await opened()
    bus.drop_confirmation()
    with pytest.raises(BusUnavailable):
        await bus.publish(NEWS, 0, chain(1, 2))
    assert await bus.tail(NEWS, 0) == 2
    assert await heard(hearing) == [1, 2]


async def test_it_takes_nothing() -> None:
    bus, _ = await opened()
    bus.drop()
    with pytest.raises(BusUnavailable):
        await bus.publish(NEWS, 0, chain(1, 2))
    assert await bus.tail(NEWS, 0) == 0


async def test_it_takes_some() -> None:
    tails = set[int | None]()
    for seed in range(20):
        bus = UnrulyBus(MemoryBus("memory:"), seed=seed)
        await bus.open()
        await bus.declare(NEWS)
        bus.tear()
        with pytest.raises(BusUnavailable):
            await bus.publish(NEWS, 0, chain(1, 2))
        tails.add(await bus.tail(NEWS, 0))
    assert tails == {0, 1, 2}


async def test_it_forgets_what_it_confirmed_last_and_breaks_every_connection() -> None:
    bus, hearing = await opened()
    await bus.publish(NEWS, 0, chain(1, 2, 3))
    bus.forget(NEWS, 0, 2)
    with pytest.raises(BusUnavailable):
        await hearing.receive(limit=1)
    assert await bus.tail(NEWS, 0) == 1
    assert numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 1)) == [1]


async def test_it_is_away_and_comes_back() -> None:
    bus, hearing = await opened()
    waiting = asyncio.create_task(hearing.receive(limit=1))
    await asyncio.sleep(0)
    bus.away()
    with pytest.raises(BusUnavailable):
        await soon(waiting)
    for asking in (bus.publish(NEWS, 0, chain(1)), bus.tail(NEWS, 0), bus.subscribe(NEWS, 0, "shipping"), bus.open()):
        with pytest.raises(BusUnavailable):
            await asking
    bus.back()
    with pytest.raises(BusUnavailable):
        await hearing.receive(limit=1)  # its connection is gone for ever
    await bus.publish(NEWS, 0, chain(1))
    assert await heard(await bus.subscribe(NEWS, 0, "shipping")) == [1]


@pytest.mark.parametrize("seed", range(5))
async def test_by_chance_it_does_all_of_it_and_loses_nothing_that_is_sent_until_confirmed(seed: int) -> None:
    bus = UnrulyBus(MemoryBus("memory:"), chance=0.3, seed=seed)
    await bus.open()
    await bus.declare(NEWS)
    for number in range(1, 101):
        while True:
            try:
                await bus.publish(NEWS, 0, chain(number, after=number - 1))
                break
            except BusUnavailable:
                continue
    found = set[int]()
    while len(found) < 100:
        hearing = await bus.subscribe(NEWS, 0, "shipping")
        try:
            while len(found) < 100:
                deliveries = await soon(hearing.receive(limit=2))
                found |= {delivery.message.number for delivery in deliveries}
                await hearing.acknowledge(deliveries)
        except BusUnavailable:
            continue
    assert set(bus.done) == {"repeat", "reorder", "drop confirmation", "drop", "tear", "cut"}
