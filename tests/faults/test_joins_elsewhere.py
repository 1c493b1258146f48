"""A join whose rows are in Redis, MongoDB or OpenSearch: side rows, then its own, then the position, and any of it may
come twice or break off."""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from daicho import Command, Row
from daicho.core.errors import StoreUnavailable
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.read import joining
from daicho.testing import VirtualClock
from daicho.wiring.urls import open_read_store, open_storage
from tests.joined import Drop, Leave, Move, Name, Place, PlaceMany, expected, poison, sent, shop, shown

NAME = "orders_with_names"


@pytest.fixture(params=["redis", "mongodb", "opensearch"])
def place(request: pytest.FixtureRequest, read_store_url: Callable[[str], str]) -> str:
    """URL of an empty read store."""
    return read_store_url(request.param)


@pytest.fixture(autouse=True)
def nothing_is_poisoned() -> Iterator[None]:
    poison.clear()
    yield
    poison.clear()


def story(seed: int, length: int) -> list[Command]:
    """Anything, about six orders and four customers."""
    random = Random(seed)

    def anything() -> Command:
        order, customer = f"o{random.randrange(6)}", f"c{random.randrange(4)}"
        return random.choice(
            [
                Place(order_id=order, customer_id=random.choice([customer, None]), amount=random.randrange(4)),
                Place(order_id=order, customer_id=customer, amount=5),
                Move(order_id=order, customer_id=customer),
                Drop(order_id=order),
                Name(customer_id=customer, name=random.choice(["Ann", "Bea", "nobody"])),
                Name(customer_id=customer, name="Cid"),
                Leave(customer_id=customer),
            ]
        )

    return [anything() for _ in range(length)]


class Break:
    """Breaks the nth commit of a read store, before or after it was done, as a lost connection does."""

    def __init__(self, commit: Callable[..., Any], nth: int, when: str) -> None:
        self._commit, self._left, self._when = commit, nth, when
        self.commits = 0

    def __get__(self, store: Any, _: Any = None) -> Callable[[ViewChange], Any]:
        async def commit(change: ViewChange) -> None:
            self.commits += 1
            self._left -= 1
            if self._left == 0 and self._when == "before":
                raise StoreUnavailable("the line is cut", do="connect again")
            await self._commit(store, change)
            if self._left == 0:
                raise StoreUnavailable("the line is cut", do="connect again")

        return commit


async def test_whatever_happens_to_either_side_is_shown_when_the_answer_has_to_have_seen_it(
    sqlite: str, place: str
) -> None:
    commands = story(1, 60)
    async with shop(sqlite, place) as app:
        for n, command in enumerate(commands, 1):
            assert await shown(app, await app.send(command)) == expected(commands[:n]), commands[:n]


@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.campaign)])
async def test_a_story_is_the_same_page_by_page_after_a_restart_and_when_built_anew(
    sqlite: str, place: str, seed: int
) -> None:
    commands = story(seed, 120)
    app = shop(sqlite, place)
    await app.start(processors=False)
    await sent(app, commands[:50])
    await app.stop()
    async with shop(sqlite, place) as app:
        assert await shown(app, await sent(app, commands[50:90])) == expected(commands[:90])
    async with shop(sqlite, place) as app:
        last = await sent(app, commands[90:])
        assert await shown(app, last) == expected(commands)
        for generation in (2, 3):
            assert [step async for step in app.rebuild(NAME)][-1].generation == generation
            assert await shown(app, last) == expected(commands)
        assert await shown(app, await sent(app, story(seed + 10, 10))) == expected(commands + story(seed + 10, 10))
    store = open_read_store(place, VirtualClock())
    await store.open()
    assert [list(await store.generations(NAME + each)) for each in ("", ".left", ".right")] == [[2, 3]] * 3
    await store.close()


@pytest.mark.parametrize("lost", ["position here", "position there", "both"])
async def test_events_that_come_again_change_nothing(sqlite: str, place: str, lost: str) -> None:
    commands = story(4, 80)
    async with shop(sqlite, place) as app:
        await shown(app, await sent(app, commands[:60]))
        [name] = [lag.processor for lag in await app.lag()]
    clock = VirtualClock()
    if lost != "position there":
        storage = open_storage(sqlite, clock)
        await storage.open()
        await storage.rewind(name, 3)
        await storage.close()
    if lost != "position here":
        store = open_read_store(place, clock)
        await store.open()
        await store.forget(name)
        await store.close()
    async with shop(sqlite, place) as app:
        await app.settle()
        assert await shown(app) == expected(commands[:60])
        assert await shown(app, await sent(app, commands[60:])) == expected(commands)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3, *[pytest.param(n, marks=pytest.mark.campaign) for n in (4, 5, 6)]])
async def test_a_step_that_breaks_off_anywhere_is_taken_again(
    sqlite: str, place: str, nth: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a page that changes both sides, then in one that is written in pieces."""
    monkeypatch.setattr(joining, "_HELD", 3)
    monkeypatch.setattr(joining, "_LEFTS", 2)
    many: list[Command] = [Place(order_id=f"m{n}", customer_id="c1", amount=n) for n in range(1, 8)]
    first = [*many, *story(5, 20)]
    then: list[Command] = [Name(customer_id="c1", name="Dan"), *story(6, 20), Name(customer_id="c1", name="Eve")]
    async with shop(sqlite, place) as app:
        await shown(app, await sent(app, first))
    app = shop(sqlite, place)
    await app.start(processors=False)
    await sent(app, then)
    await app.stop()
    store = type(open_read_store(place, VirtualClock()))
    broken = Break(store.commit, nth, when)
    monkeypatch.setattr(store, "commit", broken)
    async with shop(sqlite, place) as app:
        await app.settle()
        assert await shown(app) == expected([*first, *then])
        more = story(7, 10)
        assert await shown(app, await sent(app, more)) == expected([*first, *then, *more])
    assert broken.commits >= nth


async def test_all_orders_of_one_customer_follow_her_name(
    sqlite: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 1_000 if place.startswith("mongodb") else 10_000  # what stands in for MongoDB here writes 600 a second
    monkeypatch.setattr(joining, "_HELD", many // 2)
    monkeypatch.setattr(joining, "_LEFTS", many // 5)
    async with shop(sqlite, place) as app:
        await sent(app, [Name(customer_id="c1", name="Ann"), PlaceMany(order_id="m", customer_id="c1", many=many)])
        found = await shown(app, await app.send(Name(customer_id="c1", name="Bea")))
        assert Counter(name for name, *_ in found.values()) == {"Bea": many}


async def test_what_cannot_be_taken_waits_and_can_be_taken_later_more_than_once(sqlite: str, place: str) -> None:
    """Also on both sides of one row, at one position: every retry shows, and so does what comes after it."""
    before: list[Command] = [
        Place(order_id="o1", customer_id="c1"),
        Name(customer_id="c1", name="Ann"),
        Place(order_id="o2", customer_id="c1"),
    ]
    bad: list[Command] = [Place(order_id="o1", customer_id="c1", amount=99), Name(customer_id="c1", name="Eve")]
    others: list[Command] = [Place(order_id="o3", customer_id="c1", amount=3), Name(customer_id="c2", name="Bea")]
    poison.update({99, "Eve"})
    async with shop(sqlite, place) as app:
        await sent(app, [*before, *bad, *others])
        await app.settle()
        assert [letter.key for letter in await app.dead_letters.list()] == ["orders:o1", "customers:c1"]
        assert await shown(app) == expected([*before, *others])
        for cured, taken in ((99, bad[:1]), ("Eve", bad)):
            poison.remove(cured)
            await app.dead_letters.retry()
            await app.dead_letters.retried()
            assert await shown(app) == expected([*before, *taken, *others])
        more: list[Command] = [Name(customer_id="c1", name="Fay"), Move(order_id="o1", customer_id="c2")]
        for n, command in enumerate(more, 1):
            assert await shown(app, await app.send(command)) == expected([*before, *bad, *others, *more[:n]])


async def test_a_read_store_that_lost_everything_is_filled_again(sqlite: str, place: str) -> None:
    commands = story(8, 60)
    async with shop(sqlite, place) as app:
        await shown(app, await sent(app, commands[:50]))
        [name] = [lag.processor for lag in await app.lag()]
    store = open_read_store(place, VirtualClock())
    await store.open()
    await store.forget(name)
    for table in (NAME, f"{NAME}.left", f"{NAME}.right"):
        await store.drop_table(TableSpec(table, 1, Row))
    await store.close()
    async with shop(sqlite, place) as app:
        assert await shown(app, await sent(app, commands[50:])) == expected(commands)
