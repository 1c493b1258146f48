"""The contract of a whole `daicho.ports.storage.Storage`: every port's, and how it opens, closes and is shared."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from daicho.core.errors import ConcurrencyError, StoreClosed
from daicho.core.messages import Row
from daicho.ports.event_store import Appended, CommandOutcome, Selection
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.testing.contracts.base import HandClock, append, event, fresh_id, request, soon
from daicho.testing.contracts.checkpoint_store import CheckpointStoreContract, advance, claimed
from daicho.testing.contracts.command_log import CommandLogContract
from daicho.testing.contracts.dead_letter_store import DeadLetterStoreContract, park, parked
from daicho.testing.contracts.event_store import EventStoreContract
from daicho.testing.contracts.scheduler import SchedulerContract
from daicho.testing.contracts.snapshot_store import SnapshotStoreContract
from daicho.testing.contracts.sql_views import SqlViewsContract
from daicho.testing.contracts.state_store import StateStoreContract
from daicho.testing.contracts.view_store import ViewStoreContract

__all__ = ["StorageContract"]


class Price(Row):
    sku: str
    price: Decimal


PRICES = TableSpec("prices", 3, Price)


class StorageContract(
    EventStoreContract,
    SnapshotStoreContract,
    StateStoreContract,
    CheckpointStoreContract,
    DeadLetterStoreContract,
    CommandLogContract,
    SchedulerContract,
    ViewStoreContract,
    SqlViewsContract,
):
    def _durable(self) -> None:
        if not self.capabilities.durable:
            pytest.skip("this store does not claim to be durable")

    def _cross_process(self) -> None:
        if not self.capabilities.cross_process:
            pytest.skip("this store does not claim to be shared")

    async def _reopened(self, store: Storage, tmp_path: Path, clock: HandClock) -> Storage:
        """Another storage on the same place, after the first one was closed. The caller closes it."""
        await store.close()
        again = self.make(tmp_path, clock)
        await again.open()
        return again

    async def test_a_store_may_be_closed_twice(self, store: Storage) -> None:
        await store.close()
        await store.close()

    async def test_a_closed_store_says_that_it_is_closed(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        await store.close()
        for use in (
            store.append([request("order-1", "b")]),
            store.read(Selection(), limit=1),
            store.head(),
            store.outcome(fresh_id()),
            store.checkpoints(),
            store.letters(),
            store.load_snapshot("order-1"),
            store.live_generation("orders"),
        ):
            with pytest.raises(StoreClosed):
                await soon(use)

    async def test_a_store_that_was_never_opened_says_so(self, tmp_path: Path, clock: HandClock) -> None:
        store = self.make(tmp_path, clock)
        with pytest.raises(StoreClosed):
            await store.append([request("order-1", "a")])
        await store.close()

    async def test_closing_finishes_what_was_begun(self, store: Storage) -> None:
        begun = [asyncio.ensure_future(store.append([request(f"order-{n}", "a")])) for n in range(10)]
        await asyncio.sleep(0)
        await soon(store.close())
        ends = await soon(asyncio.gather(*begun, return_exceptions=True))
        assert all(isinstance(end, StoreClosed) or isinstance(end[0], Appended) for end in ends)  # type: ignore[index]

    async def test_who_waits_at_a_closing_store_is_told(self, store: Storage) -> None:
        waiting = asyncio.ensure_future(store.wait(0))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreClosed):
            await soon(waiting)

    async def test_a_store_describes_and_examines_itself(self, store: Storage) -> None:
        await append(store, request("order-1", "a"))
        assert store.url
        assert isinstance(store.describe()["engine"], str)
        findings = await store.examine()
        assert findings
        assert all(finding.what and finding.detail for finding in findings)

    async def test_events_are_there_after_opening_again(self, store: Storage, tmp_path: Path, clock: HandClock) -> None:
        self._durable()
        asked = request("order-1", event("a", actor="ann", tags=("t:1",)), "b")
        [first] = await append(store, asked)
        before = await store.read(Selection(), limit=10)
        again = await self._reopened(store, tmp_path, clock)
        try:
            assert await again.read(Selection(), limit=10) == before
            assert await again.head() == first.positions[-1]
            [repeated] = await append(again, asked)
            assert (repeated.duplicate, repeated.positions) == (True, first.positions)
            [more] = await append(again, request("order-1", "c", expected=2))
            assert more.positions[0] > first.positions[-1]
        finally:
            await again.close()

    async def test_everything_else_is_there_after_opening_again(
        self, store: Storage, tmp_path: Path, clock: HandClock
    ) -> None:
        self._durable()
        outcome = CommandOutcome(command_id=fresh_id(), name="Test", state="pending", received_at="2026", payload=b"p")
        noted = CommandOutcome(command_id=fresh_id(), name="Test", state="done", received_at="2026")
        snapshot = Snapshot(stream="order-1", version=1, fold="f", state=b"s")
        await store.open_table(PRICES)
        await store.switch(PRICES)
        row = Price(sku="pen", price=Decimal("1.10"))
        await store.commit(ViewChange(table=PRICES, upserts={"pen": row}, deletes=[]))
        mine = await claimed(store)
        await store.advance(advance(mine, 3))
        [letter] = await park(store, mine, parked("7"))
        await store.record(outcome)
        await store.save_snapshot(snapshot)
        await store.note(noted)
        again = await self._reopened(store, tmp_path, clock)
        try:
            assert await again.live_generation("prices") == 3
            assert await again.shape_fits(PRICES) is True
            assert await again.find(PRICES, {}) == [row]
            assert [(each.processor, each.position) for each in await again.checkpoints()] == [(mine.processor, 4)]
            assert list(await again.letters()) == [letter]
            assert list(await again.pending(limit=10)) == [outcome]
            assert await again.outcome(noted.command_id) == noted
            assert await again.load_snapshot("order-1") == snapshot
        finally:
            await again.close()

    async def test_two_storages_on_one_place_see_the_same_and_wake_each_other(
        self, store: Storage, tmp_path: Path, clock: HandClock
    ) -> None:
        self._cross_process()
        other = self.make(tmp_path, clock)
        await other.open()
        try:
            waiting = asyncio.ensure_future(other.wait(0))
            [first] = await append(store, request("order-1", "a", expected=0))
            assert await soon(waiting) == first.positions[0]
            assert [e.type for e in await other.read(Selection(), limit=10)] == ["a"]
            [refused] = await other.append([request("order-1", "b", expected=0)])
            assert isinstance(refused, ConcurrencyError)
            [second] = await append(other, request("order-1", "b", expected=1))
            assert await soon(store.wait(first.positions[0])) == second.positions[0]
        finally:
            await other.close()

    async def test_writers_in_two_storages_on_one_place_never_take_the_same_version(
        self, store: Storage, tmp_path: Path, clock: HandClock
    ) -> None:
        self._cross_process()
        other = self.make(tmp_path, clock)
        await other.open()

        async def persist(through: Storage, name: str) -> None:
            for _ in range(5):
                while True:
                    version = await through.stream_version("order-1")
                    [answer] = await through.append([request("order-1", name, expected=version)])
                    if isinstance(answer, Appended):
                        break

        try:
            await soon(asyncio.gather(*(persist(through, f"w{n}") for n in range(3) for through in (store, other))))
            stored = await other.read(Selection(stream="order-1"), limit=100)
            assert [e.version for e in stored] == list(range(1, 31))
            assert await store.read(Selection(stream="order-1"), limit=100) == stored
        finally:
            await other.close()

    async def test_a_lease_holds_against_another_storage_on_the_same_place(
        self, store: Storage, tmp_path: Path, clock: HandClock
    ) -> None:
        self._cross_process()
        other = self.make(tmp_path, clock)
        await other.open()
        try:
            mine = await claimed(store)
            assert await other.claim(mine.processor, "two") is None
            await store.release("one")
            theirs = await other.claim(mine.processor, "two")
            assert theirs is not None
            assert theirs.token > mine.token
        finally:
            await other.close()
