"""A join on the stores of events: memory, SQLite and PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daicho import App, Command, Crud, Join, Row, WiringError, join, projection, replace, sql_projection
from daicho.core.errors import ConfigurationError, StoreUnavailable, TwoHandlers, UnknownView
from daicho.ports.storage import Storage
from daicho.ports.view_store import ViewChange
from daicho.read import joining
from daicho.read.join_projector import JoinProjector
from daicho.testing import crash_at
from daicho.testing.contracts.base import eventually
from tests.joined import (
    Customer,
    CustomerRow,
    Drop,
    Leave,
    Move,
    Name,
    Named,
    NamedOrder,
    Order,
    OrderRow,
    Place,
    Placed,
    PlaceMany,
    Shown,
    ask_orders,
    customers,
    expected,
    orders,
    orders_with_names,
    poison,
    sent,
    shop,
    shown,
)

numbers = count(1)
NAME = "orders_with_names"


@pytest.fixture(autouse=True)
def nothing_is_poisoned() -> Iterator[None]:
    poison.clear()
    yield
    poison.clear()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    """URL of a fresh store of each kind."""
    if request.param == "memory":
        return "memory:"
    url: str = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def lasting(request: pytest.FixtureRequest) -> str:
    """The same, of those that outlive their App."""
    url: str = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres_url")
    return url


ANN, BEA = Name(customer_id="c1", name="Ann"), Name(customer_id="c1", name="Bea")
FIRST, SECOND = Place(order_id="o1", customer_id="c1"), Place(order_id="o2", customer_id="c1", amount=3)


async def each_step(app: App, commands: list[Command]) -> None:
    for n, command in enumerate(commands, 1):
        assert await shown(app, await app.send(command)) == expected(commands[:n]), commands[:n]


async def test_an_order_shows_its_customer_who_may_come_before_or_after_it(store: str) -> None:
    async with shop(store) as app:
        await app.send(FIRST)
        assert await shown(app, await app.send(SECOND)) == {"o1": (None, 1, 1, 0), "o2": (None, 3, 1, 0)}
        assert await shown(app, await app.send(ANN)) == {"o1": ("Ann", 1, 1, 1), "o2": ("Ann", 3, 1, 1)}
        last = await app.send(Place(order_id="o3", customer_id="c1"))
        assert (await shown(app, last))["o3"] == ("Ann", 1, 1, 1)


async def test_a_customer_who_is_renamed_is_renamed_in_all_her_orders(store: str) -> None:
    async with shop(store) as app:
        await sent(app, [ANN, FIRST, SECOND, Place(order_id="o3", customer_id="c2")])
        found = await shown(app, await app.send(BEA))
        assert {order: name for order, (name, *_) in found.items()} == {"o1": "Bea", "o2": "Bea", "o3": None}


async def test_whatever_happens_to_either_side_is_shown(store: str) -> None:
    story: list[Command] = [
        FIRST,
        Move(order_id="o1", customer_id="c2"),
        ANN,
        Name(customer_id="c2", name="Cid"),
        SECOND,
        Drop(order_id="o1"),
        BEA,
        Place(order_id="o1", customer_id="c1", amount=7),
        Leave(customer_id="c1"),
        Name(customer_id="c2", name="Dan"),
        Move(order_id="o2", customer_id=None),
        ANN,
        Place(order_id="o1", customer_id="c1", amount=0),
        Name(customer_id="c1", name="nobody"),
        Move(order_id="o2", customer_id="c1"),
        Place(order_id="o1", customer_id="c1"),
        ANN,
        Drop(order_id="o9"),
        Leave(customer_id="c9"),
    ]
    async with shop(store) as app:
        await each_step(app, story)


async def test_the_sides_are_views_of_their_own_if_the_app_has_them(store: str) -> None:
    async with App(Order, Customer, orders, customers, orders_with_names, ask_orders, store=store) as app:
        last = await sent(app, [ANN, FIRST])
        await app.settled(last)
        assert app.views.names() == ["customers", "orders", NAME]
        assert await app.views[customers].find() == [CustomerRow(customer_id="c1", name="Ann", names=1)]
        assert await app.views[orders].get("o1") == OrderRow(order_id="o1", customer_id="c1", amount=1, changes=1)
        assert await app.views[orders_with_names].find(name="Ann") == [
            NamedOrder(order_id="o1", name="Ann", amount=1, changes=1, names=1)
        ]


async def test_what_it_keeps_for_itself_is_no_view(store: str) -> None:
    async with shop(store) as app:
        await app.settled(await sent(app, [ANN, FIRST]))
        assert app.views.names() == [NAME]
        with pytest.raises(UnknownView):
            app.views.named(f"{NAME}.left")
        assert await app.storage.live_generation(f"{NAME}.left") is None
        assert [lag.processor for lag in await app.lag()] == [f"projection:{NAME}@1"]


async def test_the_same_events_give_the_same_rows_whichever_side_comes_first(store: str) -> None:
    def side(letter: str, *commands: Command) -> list[Command]:
        """The same story with identities of its own."""
        told: list[Command] = []
        for command in commands:
            match command:
                case Place():
                    told.append(Place(order_id=f"{letter}{command.order_id}", customer_id=f"{letter}c1"))
                case Name():
                    told.append(Name(customer_id=f"{letter}c1", name=command.name))
                case _:
                    told.append(Move(order_id=f"{letter}o1", customer_id=f"{letter}c1"))
        return told

    lefts: list[Command] = [FIRST, SECOND, Move(order_id="o1", customer_id="c1")]
    rights: list[Command] = [ANN, BEA]
    mixed = [lefts[0], rights[0], lefts[1], rights[1], lefts[2]]
    stories = side("a", *lefts, *rights) + side("b", *rights, *lefts) + side("c", *mixed)
    async with shop(store) as app:
        found = await shown(app, await sent(app, stories))
    by_story = [{key[1:]: row for key, row in found.items() if key[0] == letter} for letter in "abc"]
    assert by_story == [{"o1": ("Bea", 1, 2, 2), "o2": ("Bea", 1, 1, 2)}] * 3


# random stories

_ids = st.sampled_from(["1", "2", "3"])
_partners = st.none() | st.sampled_from(["1", "2", "3"])
_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Place, order_id=_ids, customer_id=_partners, amount=st.integers(0, 2)),
    st.builds(Move, order_id=_ids, customer_id=_partners),
    st.builds(Drop, order_id=_ids),
    st.builds(Name, customer_id=_ids, name=st.sampled_from(["Ann", "Bea", "nobody"])),
    st.builds(Leave, customer_id=_ids),
)
stories = st.lists(_commands, max_size=25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(story=stories, again=st.booleans())
def test_any_story_is_shown_as_plain_bookkeeping_has_it(story: list[Command], again: bool) -> None:
    async def told() -> None:
        async with shop("memory:") as app:
            last = await sent(app, story)
            assert await shown(app, last) == expected(story)
            if again:
                assert [step async for step in app.rebuild(NAME)][-1].switched
                assert await shown(app, last) == expected(story)

    asyncio.run(told())


def prefixed(story: list[Command], prefix: str) -> list[Command]:
    """With identities that no other story has."""
    told: list[Command] = []
    for command in story:
        ids = {name: value for name in ("order_id", "customer_id") if (value := getattr(command, name, None))}
        told.append(type(command)(**{**_fields(command), **{name: prefix + value for name, value in ids.items()}}))
    return told


def _fields(command: Command) -> dict[str, Any]:
    return {name: getattr(command, name) for name in command.__struct_fields__}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=8)
@given(several=st.lists(stories, min_size=1, max_size=3), data=st.data())
def test_stories_that_are_dealt_with_page_by_page_at_a_later_time_give_the_same(
    lasting: str, several: list[list[Command]], data: st.DataObject
) -> None:
    """Many events in one step, some before and some after a restart, and all of them at once in a rebuild."""

    async def told() -> None:
        everything: list[Command] = []
        n = next(numbers)
        for k, story in enumerate(several):
            mine = prefixed(story, f"{n}.{k}.")
            everything += mine
            cut = data.draw(st.integers(0, len(mine)))
            app = shop(lasting)
            await app.start(processors=False)
            await sent(app, mine[:cut])
            await app.stop()
            async with shop(lasting) as app:
                await app.settle()
                await sent(app, mine[cut:])
                await app.settle()
                assert own(await shown(app), n) == expected(everything)
        async with shop(lasting) as app:
            assert [step async for step in app.rebuild(NAME)][-1].switched
            assert own(await shown(app), n) == expected(everything)

    asyncio.run(told())


def own(found: Shown, n: int) -> Shown:
    return {key: row for key, row in found.items() if key.startswith(f"{n}.")}


# many of one


def names(found: Shown) -> dict[str | None, int]:
    return dict(Counter(name for name, *_ in found.values()))


async def test_ten_thousand_orders_of_one_customer_follow_her_name(
    lasting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are held at once: they are written in pieces."""
    monkeypatch.setattr(joining, "_HELD", 5_000)
    async with shop(lasting) as app:
        await sent(app, [ANN, PlaceMany(order_id="m", customer_id="c1", many=10_000), FIRST])
        assert names(await shown(app, await app.send(BEA))) == {"Bea": 10_001}
        last = await sent(app, [Name(customer_id="c1", name="Cid"), Move(order_id="o1", customer_id="c2")])
        assert names(await shown(app, last)) == {"Cid": 10_000, None: 1}


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows are too many to be held, and two are asked for at once."""
    monkeypatch.setattr(joining, "_HELD", 3)
    monkeypatch.setattr(joining, "_LEFTS", 2)


class Break:
    """Breaks the nth commit of rows, before or after it was done; the process goes on as after a lost connection."""

    def __init__(self, commit: Callable[..., Any], nth: int, when: str, *, forever: bool = False) -> None:
        self._commit, self._left, self._when, self._forever = commit, nth, when, forever
        self.commits = 0

    def __get__(self, store: Any, _: Any = None) -> Callable[[ViewChange], Any]:
        async def commit(change: ViewChange) -> None:
            self.commits += 1
            self._left -= 1
            if (self._left == 0 or (self._forever and self._left < 0)) and self._when == "before":
                raise StoreUnavailable("the line is cut", do="connect again")
            await self._commit(store, change)
            if self._left == 0:
                raise StoreUnavailable("the line is cut", do="connect again")

        return commit


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, 9))
async def test_a_renaming_that_breaks_off_between_two_pieces_is_taken_again(
    lasting: str, nth: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Place(order_id=f"o{n}", customer_id="c1", amount=n) for n in range(1, 12)]
    story: list[Command] = [*many, ANN, Name(customer_id="c2", name="Cid")]
    then: list[Command] = [BEA, Move(order_id="o3", customer_id="c2"), ANN, Drop(order_id="o4"), FIRST]
    async with shop(lasting) as app:
        assert await shown(app, await sent(app, story)) == expected(story)
        store = type(app.storage)
        broken = Break(store.commit, nth, when)
        monkeypatch.setattr(store, "commit", broken)
        receipts = [await app.send(command) for command in then]
        assert await shown(app, receipts[-1]) == expected([*story, *then])
        assert broken.commits >= nth


@projection("plain", key=lambda e: e.customer_id)
def plain(row: CustomerRow | None, event: Named) -> CustomerRow | None:
    return CustomerRow(customer_id=event.customer_id, name=event.name, names=0)


@join(NAME, orders, plain, on=lambda order: order.customer_id)
def of_plain(order: OrderRow, customer: CustomerRow | None) -> NamedOrder | None:
    return orders_with_names(order, customer)


@pytest.mark.usefixtures("small_pieces")
async def test_a_name_that_was_shown_in_part_and_then_taken_back_is_shown_nowhere(
    lasting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between two pieces, and the next one finds both changes in one page, without a difference."""
    many = [Place(order_id=f"o{n}", customer_id="c1") for n in range(9)]

    def parts() -> App:
        return App(Order, Customer, of_plain, store=lasting)

    async with parts() as app:
        await app.settled(await sent(app, [*many, ANN]))
        store = type(app.storage)
        with monkeypatch.context() as patched:
            patched.setattr(store, "commit", Break(store.commit, 2, "before", forever=True))
            await app.send(BEA)
            async with asyncio.timeout(10):
                while "Bea" not in {row.name for row in await app.views[of_plain].find()}:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await app.stop()
    app = parts()
    await app.start(processors=False)
    await app.send(ANN)
    await app.stop()
    async with parts() as app:
        await app.settle()
        assert {row.name for row in await app.views[of_plain].find()} == {"Ann"}


@pytest.mark.parametrize("point", ["projection.before", "projection.after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_process_that_dies_is_followed_by_one_that_goes_on(lasting: str, point: str, nth: int) -> None:
    story: list[Command] = [FIRST, ANN, SECOND, BEA, Move(order_id="o1", customer_id="c2"), Drop(order_id="o2")]
    crash = crash_at(point, nth=nth)
    async with crash.of(shop(lasting, probe=crash)) as app:
        for command in story[:3]:
            await shown(app, await app.send(command))
    assert crash.happened
    async with shop(lasting) as app:
        recorded = [event async for event in app.events()]
        assert await shown(app, await sent(app, story[len(recorded) :])) == expected(story)


# what cannot be taken


async def parked(app: App) -> list[tuple[str, str | None]]:
    await app.settle()
    return [(letter.key, letter.error) for letter in await app.dead_letters.list()]


async def retried(app: App) -> None:
    poison.clear()
    await app.dead_letters.retry()
    await app.dead_letters.retried()


POISONS: list[tuple[object, Command, str, str]] = [
    (99, Place(order_id="o1", customer_id="c1", amount=99), "orders:o1", "99 is poison"),
    ("Eve", Name(customer_id="c1", name="Eve"), "customers:c1", "'Eve' is poison"),
    (("on", "c3"), Move(order_id="o1", customer_id="c3"), "orders:o1", "('on', 'c3') is poison"),
    (("o1", None), Move(order_id="o1", customer_id="c3"), "orders:o1", "('o1', None) is poison"),
    (("o2", "Eve"), Name(customer_id="c1", name="Eve"), "customers:c1", "('o2', 'Eve') is poison"),
]


@pytest.mark.parametrize(
    ("bad", "command", "key", "error"), POISONS, ids=["left fold", "right fold", "on", "join by left", "join by right"]
)
async def test_an_event_that_cannot_be_taken_waits_with_its_followers_and_all_others_go_on(
    lasting: str, bad: object, command: Command, key: str, error: str
) -> None:
    before: list[Command] = [ANN, FIRST, SECOND, Place(order_id="o3", customer_id="c2")]
    of_order = key == "orders:o1"
    after: list[Command] = [
        Move(order_id="o1", customer_id="c2") if of_order else BEA,
        Name(customer_id="c2", name="Cid"),
        Place(order_id="o4", customer_id="c1", amount=4),
        BEA if of_order else Move(order_id="o1", customer_id="c2"),
        Drop(order_id="o1") if of_order else Name(customer_id="c1", name="Dan"),
    ]
    waiting = {0, 4}
    poison.add(bad)
    async with shop(lasting) as app:
        for each in [*before, command, *after]:
            await shown(app, await app.send(each))
        assert await parked(app) == [(key, f"ValueError: {error}"), (key, None), (key, None)]
        others = [each for n, each in enumerate(after) if n not in waiting]
        assert await shown(app) == expected([*before, *others])
        await retried(app)
        assert await parked(app) == []
        assert await shown(app) == expected([*before, command, *after])
        assert await shown(app, await app.send(ANN)) == expected([*before, command, *after, ANN])


@join("orders_with_names", orders, customers, on=lambda order: order.customer_id)
def unholdable(order: OrderRow, customer: CustomerRow | None) -> NamedOrder | None:
    shown = orders_with_names(order, customer)
    if shown is None or order.amount == 14:
        return order if order.amount == 14 else None  # type: ignore[return-value]
    if order.amount == 15 and shown.name == "Fay":
        return replace(shown, names="many")
    if order.amount == 13 or shown.name == "Eve":
        return replace(shown, names="many")
    return shown


UNFIT: list[tuple[Command, str, str]] = [
    (Place(order_id="o3", customer_id="c1", amount=13), "orders:o3", "InvalidMessage: 'many' does not fit"),
    (Place(order_id="o4", customer_id="c1", amount=14), "orders:o4", "returned OrderRow, and not NamedOrder or None"),
    (Place(order_id="o5", customer_id="c1", amount=2**63), "orders:o5", "an integer has 64 bits"),
    (Name(customer_id="c2", name="Eve"), "customers:c2", "InvalidMessage: 'many' does not fit"),
]
"""Commands whose events make a row that no store holds: of the view, of none, of the left side, of others."""


@pytest.fixture(params=["sqlite", "postgres", "redis", "mongodb", "opensearch"])
def anywhere(request: pytest.FixtureRequest, sqlite: str, read_store_url: Callable[[str], str]) -> Callable[..., App]:
    """An App with the join, its rows on each kind of store."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else sqlite
    place = None if request.param in {"sqlite", "postgres"} else read_store_url(request.param)

    def app(part: Join[NamedOrder]) -> App:
        return App(Order, Customer, part, store=url, views={part: place} if place else None)

    return app


@pytest.mark.parametrize("together", [True, False], ids=["in one page", "one by one"])
async def test_an_event_that_makes_a_row_which_the_store_cannot_hold_parks_its_key_alone(
    anywhere: Callable[..., App], together: bool
) -> None:
    good: list[Command] = [ANN, FIRST, SECOND, Place(order_id="o6", customer_id="c2")]
    last: list[Command] = [BEA, Move(order_id="o2", customer_id="c2")]
    follower = Move(order_id="o3", customer_id="c2")
    app = anywhere(unholdable)
    await app.start(processors=not together)
    for command in [*good, *(command for command, *_ in UNFIT), *last, follower]:
        await app.send(command)
        if not together:
            await app.settle()
    await app.stop()
    async with anywhere(unholdable) as app:
        await app.settle()
        letters = await app.dead_letters.list()
        assert [letter.key for letter in letters] == [*(key for _, key, _ in UNFIT), "orders:o3"]
        for letter, (_, _, error) in zip(letters, UNFIT, strict=False):
            assert error in (letter.error or "")
        assert await told(app, unholdable) == expected([*good, *last])
        await app.dead_letters.retry()
        await app.dead_letters.retried(30)
        assert len(await app.dead_letters.list()) == 5
        assert await told(app, unholdable) == expected([*good, *last])
        assert {lag.state for lag in await app.lag()} == {"live"}
    async with anywhere(orders_with_names) as app:  # a deploy of mended code, which no store can help with 2**63
        await eventually(lambda: app.dead_letters.list(), lambda letters: [x.key for x in letters] == ["orders:o5"])
        mended = [command for command, key, _ in UNFIT if key != "orders:o5"]
        assert await told(app, orders_with_names) == expected([*good, *mended, *last, follower])


async def test_what_is_raised_and_what_cannot_be_held_are_parked_side_by_side(anywhere: Callable[..., App]) -> None:
    poison.add(99)
    app = anywhere(unholdable)
    await app.start(processors=False)
    await sent(app, [ANN, Place(order_id="o9", customer_id="c1", amount=99), UNFIT[0][0], FIRST])
    await app.stop()
    async with anywhere(unholdable) as app:
        await app.settle()
        assert [letter.key for letter in await app.dead_letters.list()] == ["orders:o9", "orders:o3"]
        assert await told(app, unholdable) == expected([ANN, FIRST])


async def test_a_build_parks_what_makes_a_row_that_the_store_cannot_hold(anywhere: Callable[..., App]) -> None:
    async with anywhere(unholdable) as app:
        await sent(app, [ANN, FIRST, *(command for command, *_ in UNFIT)])
        await app.settle()
        assert [step async for step in app.rebuild("orders_with_names")][-1].switched
        letters = [letter.key for letter in await app.dead_letters.list() if letter.processor.endswith("@2")]
        assert letters == [key for _, key, _ in UNFIT[:3]]  # nobody ordered for Eve
        assert await told(app, unholdable) == expected([ANN, FIRST])


async def test_of_the_many_rows_of_an_event_none_is_changed_if_the_last_cannot_be_held(
    anywhere: Callable[..., App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a step is written in pieces."""
    monkeypatch.setattr(joining, "_HELD", 2)
    monkeypatch.setattr(joining, "_LEFTS", 2)
    before: list[Command] = [ANN, *(Place(order_id=f"o{n}", customer_id="c1") for n in range(8))]
    before.append(Place(order_id="o9", customer_id="c1", amount=15))
    async with anywhere(unholdable) as app:
        await sent(app, before)
        await app.settle()
        await app.send(Name(customer_id="c1", name="Fay"))
        await app.settle()
        assert [letter.key for letter in await app.dead_letters.list()] == ["customers:c1"]
        assert await told(app, unholdable) == expected(before)


async def told(app: App, part: Join[NamedOrder]) -> Shown:
    rows = await app.views[part].find()
    return {row.order_id: (row.name, row.amount, row.changes, row.names) for row in rows}


async def test_of_a_page_with_good_and_bad_events_only_the_bad_ones_are_parked(lasting: str) -> None:
    """A join raises on what stands at the end of a page; a fold and `on` on every event."""
    poison.update({99, "Eve", ("on", "c3"), ("o5", "Fay"), ("o7", "Gil")})
    good: list[Command] = [ANN, SECOND, BEA, Place(order_id="o5", customer_id="c5"), Name(customer_id="c7", name="Gil")]
    bad: list[tuple[Command, str]] = [
        (Place(order_id="o1", customer_id="c1", amount=99), "orders:o1"),
        (Name(customer_id="c4", name="Eve"), "customers:c4"),
        (Place(order_id="o3", customer_id="c3"), "orders:o3"),
        (Name(customer_id="c5", name="Fay"), "customers:c5"),
        (Place(order_id="o7", customer_id="c7"), "orders:o7"),
    ]
    followers: list[Command] = [Move(order_id="o3", customer_id="c1"), Name(customer_id="c4", name="Dan")]
    commands = [each for pair in zip(good, bad, strict=True) for each in (pair[0], pair[1][0])] + followers
    app = shop(lasting)
    await app.start(processors=False)
    await sent(app, commands)
    await app.stop()
    async with shop(lasting) as app:
        assert await parked(app) == [
            ("orders:o1", "ValueError: 99 is poison"),
            ("customers:c4", "ValueError: 'Eve' is poison"),
            ("orders:o3", "ValueError: ('on', 'c3') is poison"),
            ("customers:c5", "ValueError: ('o5', 'Fay') is poison"),
            ("orders:o7", "ValueError: ('o7', 'Gil') is poison"),
            ("orders:o3", None),
            ("customers:c4", None),
        ]
        assert await shown(app) == expected(good)
        await retried(app)
        assert await shown(app) == expected(commands)


async def test_a_retry_that_fails_again_stops_there_and_says_why(lasting: str) -> None:
    poison.update({"Eve", "Fay"})
    commands: list[Command] = [FIRST, Name(customer_id="c1", name="Eve"), BEA, Name(customer_id="c1", name="Fay"), ANN]
    async with shop(lasting) as app:
        await sent(app, commands)
        assert len(await parked(app)) == 4
        poison.remove("Eve")
        [trial] = [await app.dead_letters.try_((await app.dead_letters.list())[0].number)]
        assert (trial.shows, len(trial.steps), trial.error) == ("acceptance", 3, "ValueError: 'Fay' is poison")
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        assert await parked(app) == [("customers:c1", "ValueError: 'Fay' is poison")] * 2
        assert await shown(app) == expected(commands[:3])
        await retried(app)
        assert await shown(app) == expected(commands)


async def test_the_same_key_on_both_sides_is_parked_on_one(lasting: str) -> None:
    poison.add(99)
    async with shop(lasting) as app:
        await sent(app, [Place(order_id="x", customer_id="x", amount=99), Place(order_id="y", customer_id="x")])
        assert await parked(app) == [("orders:x", "ValueError: 99 is poison")]
        assert await shown(app, await app.send(Name(customer_id="x", name="Ann"))) == {"y": ("Ann", 1, 1, 1)}


# building it again


async def test_a_rebuild_builds_all_tables_anew_and_drops_the_old_ones(lasting: str) -> None:
    story: list[Command] = [FIRST, ANN, SECOND, BEA]
    async with shop(lasting) as app:
        await app.settled(await sent(app, story))
        for generation in (2, 3):
            assert [step async for step in app.rebuild(NAME)][-1].generation == generation
            assert await shown(app) == expected(story)
        assert [await generations(app.storage, each) for each in ("", ".left", ".right")] == [[2, 3]] * 3
        assert await shown(app, await app.send(ANN)) == expected([*story, ANN])


async def test_a_rebuild_has_what_is_recorded_while_its_last_page_is_folded(
    lasting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daicho.read.rebuild._PAGE", 4)
    consume, story = JoinProjector.consume_narrow, [ANN, FIRST, SECOND, BEA]  # exactly a page
    more = iter([Place(order_id="o3", customer_id="c1")])
    async with shop(lasting) as app:
        await app.settled(await sent(app, story))

        async def meanwhile(projector: JoinProjector, *rest: Any) -> bool:
            if projector.table.generation == 2:
                for command in more:
                    await app.send(command)
            return await consume(projector, *rest)

        monkeypatch.setattr(JoinProjector, "consume_narrow", meanwhile)
        assert [step async for step in app.rebuild(NAME)][-1].switched
        assert await shown(app, await app.send(ANN)) == expected([*story, Place(order_id="o3", customer_id="c1"), ANN])


async def generations(storage: Storage, suffix: str) -> list[int]:
    return list(await storage.generations(NAME + suffix))


async def test_another_class_of_rows_on_a_side_has_it_built_anew(lasting: str) -> None:
    async with shop(lasting) as app:
        await app.settled(await sent(app, [FIRST, ANN]))
    async with App(Order, Customer, with_notes, store=lasting) as app:
        await app.settled(await app.send(SECOND))
        assert {row.name for row in await app.views[with_notes].find()} == {"a note"}
        assert await app.storage.live_generation(NAME) == 2


class Noted(Row):
    order_id: str
    customer_id: str | None
    note: str = "a note"


@projection("orders", key=lambda e: e.order_id)
def noted(row: Noted | None, event: Placed) -> Noted | None:
    return Noted(order_id=event.order_id, customer_id=event.customer_id)


@join(NAME, noted, customers, on=lambda order: order.customer_id)
def with_notes(order: Noted, customer: CustomerRow | None) -> NamedOrder | None:
    return NamedOrder(order_id=order.order_id, name=order.note, amount=1, changes=1, names=1)


# what a join cannot be made of


@projection("inline", key=lambda e: e.order_id, inline=True)
def at_once(row: OrderRow | None, event: Placed) -> OrderRow | None: ...


IN_SQL = sql_projection(
    "in_sql", row=OrderRow, events=[Placed], sql="insert into {table} (_key) select stream from {events}"
)


@pytest.mark.parametrize(
    ("side", "why"),
    [
        (orders_with_names, "has the join 'orders_with_names' as a side"),
        (IN_SQL, "'in_sql' as a side, which is no @projection"),
        (Crud(OrderRow, key="order_id", name="kept"), "'kept' as a side, which is no @projection"),
        (at_once, "the inline projection 'inline' as a side"),
    ],
    ids=["a join", "SQL", "Crud", "inline"],
)
def test_what_is_no_fold_of_its_own_is_refused_as_a_side(side: Any, why: str) -> None:
    with pytest.raises(WiringError, match=why):
        join("x", side, customers, on=lambda order: None)
    with pytest.raises(WiringError, match=why):
        join("x", orders, side, on=lambda order: None)


def test_a_join_that_is_not_well_formed_is_refused() -> None:
    with pytest.raises(WiringError, match="both sides"):
        join("x", orders, orders, on=lambda order: None)
    with pytest.raises(WiringError, match="`on`"):
        join("x", orders, customers, on="customer_id")  # type: ignore[arg-type]
    wrong: Any = join("x", orders, customers, on=lambda order: None)
    with pytest.raises(WiringError, match="takes 1 parameters"):
        wrong(lambda order: None)
    with pytest.raises(WiringError, match="returns"):

        @wrong
        def no_row(order: OrderRow, customer: CustomerRow | None) -> str: ...

    with pytest.raises(WiringError, match="async"):

        @wrong
        async def too_late(order: OrderRow, customer: CustomerRow | None) -> NamedOrder: ...


def test_its_name_and_those_of_what_it_keeps_are_its_own() -> None:
    for name in (NAME, f"{NAME}.left", f"{NAME}.right"):
        with pytest.raises(TwoHandlers, match=name):
            App(Order, Customer, orders_with_names, Crud(OrderRow, key="order_id", name=name), store="memory:")


def test_it_cannot_be_cut_into_segments() -> None:
    """A change of one key on the right changes rows of many keys."""
    with pytest.raises(ConfigurationError, match="is a join, and cannot be cut"):
        App(Order, Customer, orders_with_names, store="memory:", segments={orders_with_names: 2})


def test_it_can_be_called_like_the_function_that_it_is() -> None:
    order = OrderRow(order_id="o1", customer_id="c1", amount=2, changes=1)
    assert orders_with_names(order, None) == NamedOrder(order_id="o1", name=None, amount=2, changes=1, names=0)


async def test_a_left_row_may_have_a_field_called_partner(store: str) -> None:
    async with App(Order, Customer, of_partners, store=store) as app:
        await app.settled(await sent(app, [FIRST, ANN, BEA]))
        assert await app.views[of_partners].find() == [
            NamedOrder(order_id="me", name="Bea", amount=1, changes=1, names=2)
        ]


class Partnered(Row, index=("partner",)):
    partner: str


@projection("partnered", key=lambda e: e.order_id)
def partnered(row: Partnered | None, event: Placed) -> Partnered | None:
    return Partnered(partner="me")


@join("of_partners", partnered, customers, on=lambda row: "c1")
def of_partners(row: Partnered, customer: CustomerRow | None) -> NamedOrder | None:
    names = customer.names if customer else 0
    return NamedOrder(order_id=row.partner, name=customer.name if customer else None, amount=1, changes=1, names=names)


# what needs no join


class Activity(Row):
    orders: int = 0
    names: int = 0


@projection("activity", key=lambda e: ["all", e.customer_id or "nobody"])
def activity(row: Activity | None, event: Placed | Named, key: str) -> Activity | None:
    row = row or Activity()
    if isinstance(event, Placed):
        return Activity(orders=row.orders + 1, names=row.names)
    return Activity(orders=row.orders, names=row.names + 1)


async def test_one_projection_folds_events_of_several_categories_into_several_rows_each(store: str) -> None:
    async with App(Order, Customer, activity, store=store) as app:
        story = [FIRST, ANN, SECOND, BEA, Place(order_id="o3", customer_id=None), Name(customer_id="c2", name="Cid")]
        await app.settled(await sent(app, story))
        assert {key: await app.views[activity].get(key) for key in ("all", "c1", "c2", "nobody")} == {
            "all": Activity(orders=3, names=3),
            "c1": Activity(orders=2, names=2),
            "c2": Activity(orders=0, names=1),
            "nobody": Activity(orders=1, names=0),
        }
