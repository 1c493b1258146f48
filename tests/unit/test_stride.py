"""Great distances: pages are folded while others are read and written, and each event counts exactly once."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from daicho import App
from daicho.adapters.clock import SystemClock
from daicho.adapters.owner import owner_name
from daicho.core.errors import LostLease, StoreUnavailable
from daicho.core.messages import Event, Row, replace
from daicho.core.projection import Fold, projection
from daicho.core.registry import Registry
from daicho.ports.event_store import Narrow, Selection
from daicho.ports.probe import silent
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.read import stride as strides
from daicho.read.projector import Projector
from daicho.read.stride import Stride
from daicho.testing import crash_at
from daicho.testing.contracts.base import append, event, request
from daicho.wiring.urls import open_storage
from tests.bank import Account, Deposit, balances

EVENTS, PAGE = 103, 10


class Added(Event, name="added"):
    key: str
    amount: int


class Doubled(Event, name="doubled"):
    keys: list[str]


class Sum(Row):
    key: str
    amount: int = 0
    events: int = 0


def keys_of(event: Added | Doubled) -> str | list[str]:
    return event.key if isinstance(event, Added) else event.keys


@projection("sums", key=keys_of)
def sums(row: Sum | None, event: Added | Doubled, key: str) -> Sum | None:
    row = row or Sum(key=key)
    amount = row.amount * 2 if isinstance(event, Doubled) else row.amount + event.amount
    return None if amount > 3000 else replace(row, amount=amount, events=row.events + 1)


def history() -> list[Added | Doubled]:
    return [
        Doubled(keys=[f"k{n % 7}", f"k{n % 3}"]) if n % 10 == 9 else Added(key=f"k{n % 7}", amount=n)
        for n in range(EVENTS)
    ]


def by_hand(events: list[Added | Doubled]) -> dict[str, tuple[int, int]]:
    """The rows, computed one event at a time."""
    rows: dict[str, tuple[int, int]] = {}
    for each in events:
        for key in [each.key] if isinstance(each, Added) else dict.fromkeys(each.keys):
            amount, count = rows.pop(key, (0, 0))
            amount = amount * 2 if isinstance(each, Doubled) else amount + each.amount
            if amount <= 3000:
                rows[key] = amount, count + 1
    return rows


class Place:
    """A store with the history in it, and a projector of it."""

    def __init__(self, storage: Storage, projector: Projector, token: int) -> None:
        self.storage, self.projector, self.token = storage, projector, token
        self.moves: list[tuple[int, int]] = []

    def stride(self, position: int = 0) -> Stride:
        stride = Stride(self.projector, self.token, position)
        stride.page = PAGE
        return stride

    async def rows(self) -> dict[str, tuple[int, int]]:
        table = self.projector.table
        return {row.key: (row.amount, row.events) for row in await self.storage.find(table, {})}

    async def stored(self) -> int:
        [found] = await self.storage.checkpoints()
        return found.position

    async def begin(self) -> None:
        claimed = await self.storage.claim(self.projector.name, "another" if self.token else "one")
        assert claimed is not None
        self.token = claimed.token
        await self.projector.begin(claimed)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def any_url(request: pytest.FixtureRequest) -> str:
    kind = request.param
    return "memory:" if kind == "memory" else request.getfixturevalue("sqlite" if kind == "sqlite" else "postgres_url")


@asynccontextmanager
async def place(url: str, *more: tuple[int, Any]) -> AsyncGenerator[Place]:
    """`more`: data to put in as an event `added` before the one with that number."""
    storage = open_storage(url, SystemClock())
    await storage.open()
    registry, odd = Registry([Added, Doubled]), dict(more)
    for n, each in enumerate(history()):
        if n in odd:
            await append(storage, request(f"odd-{n}", event("added", data=odd[n])))
        name = type(each).__message_name__
        await append(storage, request(f"s-{n % 4}", event("other"), event(name, data=registry.encode(each))))
    fold = Fold(sums)
    table = TableSpec("sums", 1, Sum)
    projector = Projector(fold, table, storage, storage, storage, storage, registry, silent)
    await storage.open_table(table)
    await storage.register(projector.name, position=0)
    claimed = await storage.claim(projector.name, owner_name())
    assert claimed is not None
    await projector.begin(claimed)
    there = Place(storage, projector, claimed.token)
    commit = storage.commit

    async def told(change: ViewChange) -> None:
        await commit(change)
        if change.advance is not None:
            there.moves.append((change.advance.old, change.advance.new))

    storage.commit = told  # type: ignore[method-assign]
    try:
        yield there
    finally:
        await storage.close()


async def all_of(stride: Stride, head: int) -> int:
    events = 0
    while stride.position < head:
        events += await stride.step(head)
    await stride.finish()
    return events


async def test_each_event_counts_once_and_the_checkpoint_moves_without_gaps(any_url: str) -> None:
    async with place(any_url) as here:
        head = await here.storage.head()
        async with here.stride() as stride:
            assert await all_of(stride, head) == EVENTS
        assert await here.rows() == by_hand(history())
        assert await here.stored() == stride.stored == head
        assert here.moves[0][0] == 0
        assert [new for _, new in here.moves[:-1]] == [old for old, _ in here.moves[1:]]


async def test_a_log_that_grows_while_a_page_is_on_its_way_is_folded_without_a_hole(any_url: str) -> None:
    async with place(any_url) as here:
        head = await here.storage.head()
        seen = await here.storage.read(Selection(types=("added", "doubled")), limit=EVENTS)
        async with here.stride() as stride:
            for grown_to in (PAGE + 4, 2 * PAGE + 9, EVENTS - 3):  # never where a page ends
                await stride.step(seen[grown_to].position)  # asks for what lies behind it, which is less than a page
            await all_of(stride, head)
        assert await here.rows() == by_hand(history())


async def test_what_was_folded_is_durable_before_the_way_goes_on_into_another_epoch(
    any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strides, "_AT_LEAST_EVERY", float("inf"))  # what is folded waits to be written
    async with place(any_url) as here:
        head = await here.storage.head()
        async with here.stride() as stride:
            await stride.step(head)
            folded = stride.position
            await stride.step(head)
            assert here.moves == []
            await stride.step(1 << 48 | head)
            assert here.moves == [(0, 2 * folded)]
            assert stride.position == 3 * folded


async def test_what_cannot_be_folded_is_parked_with_what_follows_it_and_the_rest_goes_on(any_url: str) -> None:
    async with place(any_url, (37, b'{"key":3,"amount":1}')) as here:
        async with here.stride() as stride:
            await all_of(stride, await here.storage.head())
        [letter] = await here.storage.letters(here.projector.name)
        [poison] = await here.storage.read(Selection(types=("added",), category="odd"), limit=5)
        assert (letter.position, letter.stream) == (poison.position, "odd-37")
        assert await here.rows() == by_hand(history())


async def test_whoever_leaves_early_goes_on_from_what_is_durable(any_url: str) -> None:
    async with place(any_url) as here:
        head = await here.storage.head()
        async with here.stride() as stride:
            for _ in range(4):
                await stride.step(head)
        assert 0 < await here.stored() <= stride.position
        async with here.stride(await here.stored()) as stride:
            await all_of(stride, head)
        assert await here.rows() == by_hand(history())


async def test_rows_that_are_being_written_are_not_read_anew(any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daicho.read.projector._ROWS_KEPT", 2)
    async with place(any_url) as here:
        commit, going = here.storage.commit, asyncio.Event()

        async def slow(change: ViewChange) -> None:
            await going.wait()
            await commit(change)

        here.storage.commit = slow  # type: ignore[method-assign]
        head = await here.storage.head()
        async with here.stride() as stride:
            for _ in range(5):
                await stride.step(head)  # none of them waits for the write
            assert stride.stored == 0
            going.set()
            await all_of(stride, head)
        assert await here.rows() == by_hand(history())
        assert len(here.moves) < EVENTS / PAGE  # what gathered was written together


async def test_a_lost_lease_is_told_and_nothing_is_counted_twice(any_url: str) -> None:
    async with place(any_url) as here:
        head, token = await here.storage.head(), here.token
        async with here.stride() as stride:
            await stride.step(head)
            await stride.finish()
            await here.storage.rewind(here.projector.name, stride.stored)  # whoever ran it has lost it
            with pytest.raises(LostLease):
                await all_of(stride, head)
        await here.begin()
        assert here.token > token
        async with here.stride(await here.stored()) as stride:
            await all_of(stride, head)
        assert await here.rows() == by_hand(history())


async def test_a_write_that_fails_is_told_and_can_be_done_again(any_url: str) -> None:
    async with place(any_url) as here:
        commit, failing = here.storage.commit, [False, True, False]

        async def unsteady(change: ViewChange) -> None:
            if failing and failing.pop(0):
                raise StoreUnavailable("not now", do="wait")
            await commit(change)

        here.storage.commit = unsteady  # type: ignore[method-assign]
        head = await here.storage.head()
        with pytest.raises(StoreUnavailable):
            async with here.stride() as stride:
                await all_of(stride, head)
        async with here.stride(await here.stored()) as stride:
            await all_of(stride, head)
        assert await here.rows() == by_hand(history())


@pytest.mark.parametrize("moment", ["projection.before", "projection.after"])
async def test_an_app_that_crashes_on_the_way_goes_on_and_counts_each_event_once(
    any_url: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any_url == "memory:":
        pytest.skip("what is in memory does not outlive a crash")
    monkeypatch.setattr("daicho.read.stride._FAR", 20)
    monkeypatch.setattr("daicho.read.stride._SHORT_PAGE", 10)
    monkeypatch.setattr("daicho.read.stride._ENOUGH", 1)
    gathered = list[int]()
    gather = Projector.gather

    async def told(self: Projector, events: Sequence[Narrow]) -> bool:
        gathered.append(len(events))
        return await gather(self, events)

    monkeypatch.setattr(Projector, "gather", told)
    async with App(Account, store=any_url) as app:
        for n in range(120):
            await app.send(Deposit(account=f"a{n % 3}", amount=n + 1))
    crash = crash_at(moment, nth=2)  # a slow database writes once while all the rest gathers, and then that
    async with crash.of(App(Account, balances, store=any_url, probe=crash)):
        await asyncio.Event().wait()
    async with App(Account, balances, store=any_url) as app:
        await app.settle()
        found = {row.account: (row.amount, row.movements) for row in await app.views[balances].find()}
    assert found == {f"a{k}": (sum(range(k + 1, 121, 3)), 40) for k in range(3)}
    assert len(gathered) >= 10
