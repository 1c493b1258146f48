"""The contract of `daicho.ports.scheduler.Scheduler`."""

import asyncio
from typing import Any

import msgspec
import pytest

from daicho.core.errors import StoreClosed
from daicho.ports.scheduler import NEVER, Timer
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract, fresh_id

__all__ = ["SchedulerContract"]

GROUP = "process:order"


def at(second: int) -> str:
    return f"2026-01-02T03:04:{second:02}.000001+00:00"


def timer(second: int, **fields: Any) -> Timer:
    given: dict[str, Any] = {
        "timer_id": fresh_id(),
        "group": GROUP,
        "key": "order-1",
        "name": "timer",
        "due": at(second),
    }
    return Timer(**{**given, **fields})


class SchedulerContract(Contract):
    async def test_a_timer_comes_back_as_it_was_set(self, store: Storage) -> None:
        full = timer(1, number=3, every=1.5, payload=bytes(range(256)))
        bare = timer(2)
        await store.set_timers([full, bare])
        assert await store.timer(full.timer_id) == full
        assert await store.timer(bare.timer_id) == bare
        assert await store.timer(fresh_id()) is None

    async def test_setting_a_timer_again_replaces_it(self, store: Storage) -> None:
        first = timer(1, payload=b"x")
        second = timer(9, timer_id=first.timer_id, name="other", key="order-2")
        await store.set_timers([first])
        await store.set_timers([second])
        assert await store.timers(GROUP) == [second]

    async def test_a_timer_is_due_at_its_time_and_for_ever_after(self, store: Storage) -> None:
        one = timer(5)
        await store.set_timers([one])
        assert await store.due_timers(at(4), [GROUP], limit=10) == []
        for second in (5, 6, 59):
            assert await store.due_timers(at(second), [GROUP], limit=10) == [one]

    async def test_the_earliest_come_first_and_no_more_than_asked_for(self, store: Storage) -> None:
        timers = [timer(second) for second in (7, 3, 9, 1, 5)]
        await store.set_timers(timers)
        early = sorted(timers, key=lambda each: each.due)
        assert await store.due_timers(at(59), [GROUP], limit=3) == early[:3]
        assert await store.due_timers(at(6), [GROUP], limit=10) == early[:3]

    async def test_timers_of_one_time_are_told_in_the_order_of_their_ids(self, store: Storage) -> None:
        timers = [timer(1) for _ in range(20)]
        await store.set_timers(timers)
        in_order = sorted(timers, key=lambda each: each.timer_id)
        assert await store.due_timers(at(1), [GROUP], limit=100) == in_order

    async def test_each_group_has_its_own_timers(self, store: Storage) -> None:
        own, other = timer(1), timer(2, group="app:shop")
        await store.set_timers([own, other])
        assert await store.due_timers(at(59), [GROUP], limit=10) == [own]
        assert await store.due_timers(at(59), [GROUP, "app:shop", "none"], limit=10) == [own, other]
        assert await store.due_timers(at(59), [], limit=10) == []
        assert await store.next_due(["app:shop"]) == other.due
        assert await store.timers("app:shop") == [other]

    async def test_it_tells_when_the_next_one_is_due(self, store: Storage) -> None:
        assert await store.next_due([GROUP]) is None
        await store.set_timers([timer(8), timer(3), timer(5)])
        assert await store.next_due([GROUP]) == at(3)

    async def test_a_dropped_timer_is_gone(self, store: Storage) -> None:
        timers = [timer(second) for second in range(4)]
        await store.set_timers(timers)
        assert await store.drop_timers([timers[1].timer_id, timers[3].timer_id, fresh_id()]) == 2
        assert await store.drop_timers([timers[1].timer_id]) == 0
        assert await store.due_timers(at(59), [GROUP], limit=10) == [timers[0], timers[2]]

    async def test_a_timer_is_moved_only_by_who_knows_how_it_stands(self, store: Storage) -> None:
        old = timer(1)
        new = msgspec.structs.replace(old, due=at(9), number=1, payload=b"y")
        await store.set_timers([old])
        assert await store.move_timer(old, new) is True
        assert await store.move_timer(old, msgspec.structs.replace(old, due=at(30))) is False
        assert await store.move_timer(old, None) is False
        assert await store.timer(old.timer_id) == new
        assert await store.move_timer(new, None) is True
        assert await store.timer(old.timer_id) is None
        assert await store.move_timer(new, old) is False

    async def test_of_many_who_move_one_timer_at_once_one_does(self, store: Storage) -> None:
        old = timer(1)
        await store.set_timers([old])
        moves = [store.move_timer(old, msgspec.structs.replace(old, number=n + 1)) for n in range(10)]
        assert sorted(await asyncio.gather(*moves)) == [False] * 9 + [True]

    async def test_timers_of_a_name_are_found(self, store: Storage) -> None:
        notes = [timer(second, due=NEVER, name="stuck", key=f"order-{second}") for second in range(3)]
        await store.set_timers([*notes, timer(1)])
        found = await store.timers(GROUP, name="stuck")
        assert {each.key for each in found} == {"order-0", "order-1", "order-2"}
        assert await store.next_due([GROUP]) == at(1)

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_hostile_texts_come_back_as_they_were(self, store: Storage, text: str) -> None:
        one = timer(1, key=f"order-{text}", name=text)
        await store.set_timers([one])
        assert await store.timers(GROUP, name=text) == [one]

    async def test_nothing_to_set_or_to_drop_is_no_error(self, store: Storage) -> None:
        await store.set_timers([])
        assert await store.drop_timers([]) == 0

    async def test_a_closed_store_keeps_no_timers(self, store: Storage) -> None:
        await store.close()
        with pytest.raises(StoreClosed):
            await store.set_timers([timer(1)])
        with pytest.raises(StoreClosed):
            await store.due_timers(at(1), [GROUP], limit=1)
