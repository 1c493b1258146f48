"""Appending again what stands already: nothing doubles, whatever was lost on the way."""

import asyncio
from collections.abc import Sequence

import pytest

from daicho.core.conditions import ABSENT, ANY, EXISTS, AppendCondition, Criteria, Expected
from daicho.core.errors import ConcurrencyError, DuplicateEventId
from daicho.core.messages import replace
from daicho.ports.event_store import Appended, AppendRequest, InlineTransaction, Selection, StoredEvent
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import Contract, append, event, refusal, request, soon, write

__all__ = ["IdempotencyContract"]

ALL = Selection()


class IdempotencyContract(Contract):
    async def test_the_same_append_again_is_answered_with_the_same_places(self, store: Storage) -> None:
        await append(store, request("order-0", "z"))
        again = request("order-1", "a", "b", expected=ABSENT)
        [first] = await append(store, again)
        [second] = await append(store, again)
        assert (first.duplicate, second.duplicate) == (False, True)
        assert (second.positions, second.versions) == (first.positions, first.versions)
        assert [e.type for e in await store.read(ALL, limit=10)] == ["z", "a", "b"]

    @pytest.mark.parametrize("expected", [ANY, ABSENT, EXISTS, 0, 1, 2, 99], ids=repr)
    async def test_it_is_recognised_whatever_version_it_expects(self, store: Storage, expected: Expected) -> None:
        events = [event("a"), event("b")]
        [first] = await append(store, request("order-1", *events))
        [second] = await append(store, request("order-1", *events, expected=expected))
        assert second == Appended(positions=first.positions, versions=(2,), duplicate=True)

    async def test_it_is_recognised_after_other_events_came(self, store: Storage) -> None:
        again = request("order-1", "a", "b", expected=ABSENT)
        [first] = await append(store, again)
        await append(store, request("order-1", "c", "d"), request("order-2", "e"))
        [second] = await append(store, again)
        assert second == Appended(positions=first.positions, versions=(2,), duplicate=True)

    async def test_it_is_recognised_within_one_group(self, store: Storage) -> None:
        again = request("order-1", "a", expected=ABSENT)
        first, second, third = await append(store, again, request("order-1", "b"), again)
        assert (first.duplicate, second.duplicate, third.duplicate) == (False, False, True)
        assert third.positions == first.positions
        assert await store.stream_version("order-1") == 2

    async def test_it_is_recognised_over_several_streams(self, store: Storage) -> None:
        again = AppendRequest(
            writes=(write("order-1", "a", expected=ABSENT), write("stock-1", "b", "c", expected=ABSENT))
        )
        [first] = await append(store, again)
        await append(store, request("stock-1", "d"))
        [second] = await append(store, again)
        assert second == Appended(positions=first.positions, versions=(1, 2), duplicate=True)

    async def test_it_is_recognised_under_a_condition_that_no_longer_holds(self, store: Storage) -> None:
        again = request("order-1", event("a", tags=("t:1",)), condition=AppendCondition(Criteria(tags=["t:1"])))
        [first] = await append(store, again)
        [second] = await append(store, again)
        assert second == Appended(positions=first.positions, versions=(1,), duplicate=True)

    async def test_of_many_concurrent_copies_one_is_written_and_all_get_its_places(self, store: Storage) -> None:
        again = request("order-1", "a", "b", expected=ABSENT)
        answers = await asyncio.gather(*(append(store, again) for _ in range(10)))
        assert sum(not answer.duplicate for [answer] in answers) == 1
        assert len({answer.positions for [answer] in answers}) == 1
        assert await store.stream_version("order-1") == 2

    async def test_a_cancelled_append_can_be_sent_again_and_stands_once(self, store: Storage) -> None:
        for turns in range(8):
            again = request(f"order-{turns}", "a", "b", expected=ABSENT)
            task = asyncio.ensure_future(store.append([again]))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            [answer] = await soon(append(store, again))
            assert answer.versions == (2,)
            assert await store.stream_version(f"order-{turns}") == 2

    async def test_a_refused_append_sent_again_is_not_taken_for_a_duplicate(self, store: Storage) -> None:
        again = request("order-1", "b", expected=1)
        assert isinstance(await refusal(store, again), ConcurrencyError)
        await append(store, request("order-1", "a"))
        [answer] = await append(store, again)
        assert (answer.duplicate, answer.versions) == (False, (2,))

    async def test_an_append_of_which_only_a_part_stands_is_refused(self, store: Storage) -> None:
        known = event("a")
        await append(store, request("order-1", known))
        error = await refusal(store, request("order-1", known, event("b")))
        assert isinstance(error, DuplicateEventId)
        assert [e.type for e in await store.read(ALL, limit=10)] == ["a"]

    async def test_an_id_in_use_on_another_stream_is_refused(self, store: Storage) -> None:
        known = event("a")
        await append(store, request("order-1", known))
        assert isinstance(await refusal(store, request("order-2", known)), DuplicateEventId)
        assert await store.streams(None) == [("order-1", 1)]

    async def test_the_same_ids_in_another_order_are_refused(self, store: Storage) -> None:
        one, two = event("a"), event("b")
        await append(store, request("order-1", one, two))
        assert isinstance(await refusal(store, request("order-1", two, one)), DuplicateEventId)
        assert await store.stream_version("order-1") == 2

    async def test_one_id_twice_in_the_same_append_is_refused(self, store: Storage) -> None:
        one = event("a")
        assert isinstance(await refusal(store, request("order-1", one, replace(one, type="b"))), DuplicateEventId)
        assert await store.head() == 0

    async def test_one_id_twice_in_one_append_of_a_group_does_not_touch_the_others(self, store: Storage) -> None:
        one = event("a")
        answers = await store.append([request("order-1", one, replace(one, type="b")), request("order-2", "c")])
        assert [type(answer) for answer in answers] == [DuplicateEventId, Appended]
        assert await store.streams(None) == [("order-2", 1)]

    async def test_a_refused_id_does_not_touch_the_rest_of_its_group(self, store: Storage) -> None:
        known = event("a")
        await append(store, request("order-1", known))
        answers = await store.append([request("order-2", "b"), request("order-2", known), request("order-2", "c")])
        assert [type(answer) for answer in answers] == [Appended, DuplicateEventId, Appended]
        assert [e.type for e in await store.read(Selection(stream="order-2"), limit=10)] == ["b", "c"]

    async def test_inline_work_is_not_done_again_for_a_duplicate(self, store: Storage) -> None:
        calls: list[int] = []

        def count(_: InlineTransaction, events: Sequence[StoredEvent]) -> None:
            calls.append(len(events))

        again = request("order-1", "a", "b", inline=count)
        await append(store, again)
        await append(store, again)
        assert calls == [2]
