"""The bus in memory keeps the contract; whoever names the same one shares it, in any thread."""

import asyncio
from pathlib import Path

import pytest

from daicho.adapters.buses.memory import MemoryBus
from daicho.core.errors import BadUrl
from daicho.ports.event_bus import BusAbilities, Channel
from daicho.testing.contracts import EventBusContract
from daicho.testing.contracts.event_bus import chain, nothing_comes, numbers, take

NEWS = Channel("news")


class TestMemoryBus(EventBusContract):
    abilities = BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=False)

    def make(self, tmp_path: Path) -> MemoryBus:
        return MemoryBus(f"memory:{tmp_path}")

    def make_away(self, password: str) -> None:
        return None


async def opened(url: str) -> MemoryBus:
    bus = MemoryBus(url)
    await bus.open()
    await bus.declare(NEWS)
    return bus


async def test_a_bus_without_a_name_is_shared_with_nobody() -> None:
    one, two = await opened("memory:"), await opened("memory:")
    await one.publish(NEWS, 0, chain(1))
    assert (await one.tail(NEWS, 0), await two.tail(NEWS, 0)) == (1, 0)


async def test_a_hearer_in_another_thread_is_woken(tmp_path: Path) -> None:
    async def hear() -> list[int]:
        bus = await opened(f"memory:{tmp_path}")
        return numbers(await take(await bus.subscribe(NEWS, 0, "shipping"), 3))

    hearing = asyncio.create_task(asyncio.to_thread(asyncio.run, hear()))
    bus = await opened(f"memory:{tmp_path}")
    for number in (1, 2, 3):
        await bus.publish(NEWS, 0, chain(number, after=number - 1))
        await asyncio.sleep(0.001)
    assert await hearing == [1, 2, 3]


async def test_what_was_forgotten_is_no_part_of_the_tail_and_not_heard() -> None:
    bus = await opened("memory:")
    await bus.publish(NEWS, 0, chain(1, 2, 3, 4))
    await take(await bus.subscribe(NEWS, 0, "shipping"), 3)
    bus.forget(NEWS, 0, 2)
    assert await bus.tail(NEWS, 0) == 2
    hearing = await bus.subscribe(NEWS, 0, "shipping")
    await nothing_comes(hearing)
    await bus.publish(NEWS, 0, chain(3, after=2))
    assert numbers(await take(hearing, 1)) == [3]


async def test_the_examination_tells_who_has_something_to_hear() -> None:
    bus = await opened("memory:")
    await bus.publish(NEWS, 0, chain(1, 2, 3))
    await take(await bus.subscribe(NEWS, 0, "shipping"), 1)
    assert [finding.detail for finding in await bus.examine() if finding.what == "waiting"] == [
        "news/0: 2 for shipping"
    ]


def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(BadUrl):
        MemoryBus("nats://localhost")
