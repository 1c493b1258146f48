"""The contract of `daicho.ports.event_store.EventStore`."""

import asyncio

from daicho.ports.event_store import Selection
from daicho.ports.storage import Storage
from daicho.testing.contracts.appending import AppendingContract
from daicho.testing.contracts.base import HOSTILE, append, event, refusal, request, soon
from daicho.testing.contracts.conditions import ConditionsContract
from daicho.testing.contracts.idempotency import IdempotencyContract
from daicho.testing.contracts.inline import InlineContract
from daicho.testing.contracts.reading import ReadingContract

__all__ = ["EventStoreContract"]


class EventStoreContract(AppendingContract, IdempotencyContract, ConditionsContract, ReadingContract, InlineContract):
    async def test_the_head_of_an_empty_store_is_zero(self, store: Storage) -> None:
        assert await store.head() == 0
        assert await store.read(Selection(), limit=10) == []

    async def test_the_head_is_the_position_of_the_last_event(self, store: Storage) -> None:
        [answer] = await append(store, request("order-1", "a", "b"))
        assert await store.head() == answer.positions[-1]
        await refusal(store, request("order-1", "c", expected=7))
        assert await store.head() == answer.positions[-1]

    async def test_waiting_returns_at_once_when_behind(self, store: Storage) -> None:
        [answer] = await append(store, request("order-1", "a", "b"))
        assert await soon(store.wait(0)) == answer.positions[1]
        assert await soon(store.wait(answer.positions[0])) == answer.positions[1]

    async def test_waiting_at_the_head_ends_with_the_next_append(self, store: Storage) -> None:
        [first] = await append(store, request("order-1", "a"))
        waiting = asyncio.ensure_future(store.wait(first.positions[0]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        [second] = await append(store, request("order-1", "b"))
        assert await soon(waiting) == second.positions[0]

    async def test_waiting_for_a_place_far_ahead_is_not_ended_by_an_append_before_it(self, store: Storage) -> None:
        waiting = asyncio.ensure_future(store.wait(10**6))
        for _ in range(5):
            await append(store, request("order-1", "a", "b"))
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])

    async def test_many_waiters_are_all_woken(self, store: Storage) -> None:
        waiting = [asyncio.ensure_future(store.wait(0)) for _ in range(50)]
        await asyncio.sleep(0)
        [answer] = await append(store, request("order-1", "a"))
        assert await soon(asyncio.gather(*waiting)) == [answer.positions[0]] * 50

    async def test_a_waiter_who_gives_up_disturbs_nobody(self, store: Storage) -> None:
        waiting = [asyncio.ensure_future(store.wait(0)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.sleep(0)
        [answer] = await append(store, request("order-1", "a"))
        ends = await soon(asyncio.gather(*waiting, return_exceptions=True))
        assert ends[1::2] == [answer.positions[0]] * 5
        assert all(isinstance(end, asyncio.CancelledError) for end in ends[::2])
        assert await soon(store.wait(0)) == answer.positions[0]

    async def test_the_version_of_a_stream_is_the_number_of_its_events(self, store: Storage) -> None:
        await append(store, request("order-1", "a", "b", "c"), request("order-11", "d"))
        assert await store.stream_version("order-1") == 3
        assert await store.stream_version("order-11") == 1
        assert await store.stream_version("order-2") == 0

    async def test_streams_come_in_alphabetical_order_with_their_versions(self, store: Storage) -> None:
        for name in ("order-b", "stock-1", "order-a", "order2-1", "order-ä"):
            await append(store, request(name, "a"))
        await append(store, request("order-a", "b"))
        assert await store.streams(None) == [
            ("order-a", 2),
            ("order-b", 1),
            ("order-ä", 1),
            ("order2-1", 1),
            ("stock-1", 1),
        ]

    async def test_streams_of_a_category_are_those_of_no_longer_one(self, store: Storage) -> None:
        for name in ("order-b", "order2-1", "order.x-1", "orde-1", "order-a-b", "Order-1"):
            await append(store, request(name, "a"))
        assert [name for name, _ in await store.streams("order")] == ["order-a-b", "order-b"]
        assert await store.streams("unknown") == []

    async def test_streams_can_be_paged(self, store: Storage) -> None:
        names = sorted([f"order-{n:02}" for n in range(23)] + [f"order-{text}" for text in HOSTILE])
        await append(store, *(request(name, "a") for name in reversed(names)), request("stock-1", "a"))
        seen: list[str] = []
        while page := await store.streams("order", after=seen[-1] if seen else "", limit=5):
            assert len(page) <= 5
            seen += [name for name, _ in page]
        assert seen == names

    async def test_events_are_counted_by_type_and_schema_version(self, store: Storage) -> None:
        assert await store.counts() == {}
        await append(store, request("order-1", "a", "a", event("a", schema_version=2), event("b", schema_version=2)))
        await append(store, request("order-2", "a"))
        assert await store.counts() == {("a", 1): 3, ("a", 2): 1, ("b", 2): 1}
