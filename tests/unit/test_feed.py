"""The feed: each page of the log is read once, whoever asks, and the next one while this one is dealt with."""

import asyncio
from datetime import UTC, datetime

from daicho.adapters.stores.memory import MemoryStorage
from daicho.core.registry import Registry
from daicho.ports.event_store import Selection, StoredEvent
from daicho.read.feed import Feed
from daicho.testing.contracts.base import append, request


class Slow(MemoryStorage):
    """Gives way before it reads, and keeps count."""

    def __init__(self) -> None:
        super().__init__(now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
        self.asked: list[int] = []

    async def read(self, selection: Selection, *, limit: int) -> list[StoredEvent]:
        self.asked.append(selection.after)
        for _ in range(3):
            await asyncio.sleep(0)
        return await super().read(selection, limit=limit)


async def filled(events: int) -> tuple[Slow, Feed]:
    store = Slow()
    await store.open()
    await append(store, *(request(f"order-{n}", "tested") for n in range(events)))
    feed = Feed(store, Registry([], []), page_size=10)
    await feed.start()
    return store, feed


async def test_readers_who_meet_the_page_that_is_fetched_ahead_all_get_it_and_it_is_read_once() -> None:
    store, feed = await filled(95)

    async def follow(pause: int) -> list[int]:
        seen: list[int] = []
        while not seen or seen[-1] < feed.head:
            page = await feed.page(seen[-1] if seen else 0)
            seen += [event.position for event in page.events]
            for _ in range(pause):
                await asyncio.sleep(0)
        return seen

    async with asyncio.timeout(10):
        followed = await asyncio.gather(*(follow(pause) for pause in range(7)))
    assert all(seen == list(range(1, 96)) for seen in followed)
    assert sorted(store.asked) == list(range(0, 95, 10))
    await feed.stop()
    await store.close()


async def test_the_page_behind_a_full_one_is_on_its_way_while_that_is_dealt_with() -> None:
    store, feed = await filled(25)
    await feed.page(0)
    assert store.asked == [0, 10]
    await feed.page(10)
    assert store.asked == [0, 10, 20]
    await feed.page(20)
    assert store.asked == [0, 10, 20]
    await feed.stop()
    await store.close()


async def test_two_who_see_in_one_breath_that_the_next_page_is_wanted_have_it_read_once() -> None:
    store, feed = await filled(35)
    await feed.page(0)
    await feed.page(10)  # it is here now
    store.asked.clear()
    for _ in range(10):
        await asyncio.sleep(0)
    feed._pages.pop(20)  # pyright: ignore[reportPrivateUsage] - as if it had been dropped to make room
    async with asyncio.timeout(5):
        await asyncio.gather(feed.page(10), feed.page(10))
        assert len((await feed.page(20)).events) == 10
    assert store.asked == [20, 30]
    await feed.stop()
    await store.close()


async def test_stopping_leaves_no_page_on_its_way() -> None:
    store, feed = await filled(25)
    await feed.page(0)
    await feed.stop()
    await store.close()
    assert [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_nobody_looks_for_growth_while_nobody_waits_for_it() -> None:
    store, feed = await filled(5)
    await append(store, request("order-x", "tested"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert feed.head == 5
    assert await feed.grown(5, 1)
    assert feed.head == 6
    await feed.stop()
    await store.close()


async def test_who_is_slow_need_not_go_in_the_small_steps_of_who_is_quick() -> None:
    store, feed = await filled(0)
    for n in range(12):
        await append(store, request(f"late-{n}", "tested"))
        async with asyncio.timeout(5):
            await feed.grown(n)
        assert len((await feed.page(n)).events) == 1
    store.asked.clear()
    first = await feed.page(0)
    assert ([event.position for event in first.events], first.last) == (list(range(1, 11)), 10)
    assert [event.position for event in (await feed.page(10)).events] == [11, 12]
    assert store.asked == []
    await feed.stop()
    await store.close()
