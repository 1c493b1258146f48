"""Views as they were then, and where a row came from: always what the first events, folded by hand, would give."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    Crud,
    Event,
    InvalidMessage,
    NoPast,
    PastIncomplete,
    Query,
    RecordedEvent,
    Row,
    UnknownView,
    Views,
    apply,
    handle,
    join,
    projection,
    query_handler,
    sql_projection,
    upcast,
)
from daicho.core.projection import Table

START = datetime(2026, 1, 1, tzinfo=UTC)


class Put(Command):
    shelf: str
    items: tuple[str, ...]
    count: int


class Clear(Command):
    shelf: str
    items: tuple[str, ...]


class Sweep(Command):
    shelf: str


class Added(Event, name="shelf.added"):
    """Concerns each of its items."""

    items: tuple[str, ...]
    count: int


class Cleared(Event, name="shelf.cleared"):
    items: tuple[str, ...]


class Swept(Event, name="shelf.swept"):
    """Concerns no row."""

    shelf: str


class Shelf(Aggregate, category="shelf", key="shelf"):
    @handle
    def put(self, command: Put) -> Iterator[Added]:
        yield Added(items=command.items, count=command.count)

    @handle
    def clear(self, command: Clear) -> Iterator[Cleared]:
        yield Cleared(items=command.items)

    @handle
    def sweep(self, command: Sweep) -> Iterator[Swept]:
        yield Swept(shelf=command.shelf)

    @apply
    def changed(self, _: Added | Cleared | Swept) -> None:
        pass


class ItemRow(Row, index=("count",), search=("item",)):
    item: str
    count: int
    changes: int


def change(row: ItemRow | None, event: Added | Cleared, item: str) -> ItemRow | None:
    if isinstance(event, Cleared):
        return None
    if event.count == 13:
        raise ValueError("13 brings bad luck")
    if row is None:
        return ItemRow(item=item, count=event.count, changes=1)
    return ItemRow(item=item, count=row.count + event.count, changes=row.changes + 1)


items = projection("items", key=lambda event: event.items)(change)


class WhoRow(Row):
    item: str
    who: str | None
    at: int


@projection("who", key=lambda event: event.items)
def who(_: WhoRow | None, __: Added, record: RecordedEvent[Added], item: str) -> WhoRow:
    return WhoRow(item=item, who=record.actor, at=int(record.position))


class Items(Query[list[ItemRow]]):
    pass


class OneItem(Query[ItemRow | None]):
    item: str


@query_handler
async def all_items(_: Items, views: Views) -> list[ItemRow]:
    return await views[items].find()


@query_handler
async def one_item(query: OneItem, views: Views) -> ItemRow | None:
    return await views[items].get(query.item)


PARTS = (Shelf, items, who, all_items, one_item)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory:"
    return str(request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres_url"))


async def lived(app: App, *, seed: int, commands: int) -> list[RecordedEvent[Any]]:
    """A random history, with times that do not follow the order of recording."""
    dice = random.Random(seed)
    for _ in range(commands):
        shelf = f"s{dice.randrange(3)}"
        chosen = tuple(dice.sample("abcdef", dice.randrange(1, 4)))
        some: list[Command] = [
            Put(shelf=shelf, items=chosen, count=dice.randrange(1, 9)),
            Put(shelf=shelf, items=chosen, count=dice.randrange(1, 9)),
            Clear(shelf=shelf, items=chosen),
            Sweep(shelf=shelf),
        ]
        when = START + timedelta(hours=dice.randrange(48))
        await app.send(dice.choice(some), actor=dice.choice(["anna", "ben"]), occurred_at=when)
    await app.settle()
    return [event async for event in app.events()]


def by_hand(events: list[RecordedEvent[Any]]) -> dict[str, ItemRow]:
    """Told apart from the engine on purpose: a dictionary and two ifs."""
    counts: dict[str, tuple[int, int]] = {}
    for record in events:
        event = record.event
        if isinstance(event, Added):
            for item in event.items:
                count, changes = counts.get(item, (0, 0))
                counts[item] = (count + event.count, changes + 1)
        elif isinstance(event, Cleared):
            for item in event.items:
                counts.pop(item, None)
    return {item: ItemRow(item=item, count=n, changes=m) for item, (n, m) in sorted(counts.items())}


class Reads:
    """Counts what a store is asked for."""

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[int] = []
        self._last: Any = None
        for name in ("read", "read_narrow"):
            monkeypatch.setattr(app.storage, name, self._counting(getattr(app.storage, name)))

    def _counting(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def counted(selection: Any, *, limit: int) -> Any:
            if selection is not self._last:  # the memory store reads narrowly by reading
                self.asked.append(selection.after)
            self._last = selection
            return read(selection, limit=limit)

        return counted

    def taken(self) -> list[int]:
        """Behind which positions events were read since the last time."""
        asked, self.asked = self.asked, []
        return asked


async def own_reads(app: App, monkeypatch: pytest.MonkeyPatch) -> Reads:
    await app.settle()
    return Reads(app, monkeypatch)


# -- positions and times ----------------------------------------------------------------------------------------------


async def test_at_every_position_an_answer_is_what_the_events_up_to_there_make(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=1, commands=60)
        places = [0, *(int(event.position) for event in events)]
        random.Random(2).shuffle(places)  # so that some go on from what is kept, and others cannot
        for place in places:
            expected = by_hand([event for event in events if event.position <= place])
            assert await app.ask(Items(), as_of=place) == list(expected.values())
            assert await app.ask(OneItem(item="a"), as_of=place) == expected.get("a")


async def test_a_history_of_many_pages_is_folded_whole(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daicho.read.past._PAGE", 3)
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=12, commands=31)
        for place in (31, 9, 30, 10):
            then = app.views.as_of(events[place - 1].position)
            assert await then[items].find() == list(by_hand(events[:place]).values())
            assert len(await then[who].find()) == len({i for e in events[:place] for i in _added(e)})
        assert len((await app.lineage(items, "a")).steps) == sum("a" in getattr(e.event, "items", ()) for e in events)


def _added(record: RecordedEvent[Any]) -> tuple[str, ...]:
    return record.event.items if isinstance(record.event, Added) else ()


async def test_a_row_asked_for_alone_is_the_same_as_among_all(url: str) -> None:
    for seed in (3, 4):
        async with App(*PARTS, store=url) as app:
            events = await lived(app, seed=seed, commands=15)
            for event in events:
                expected = by_hand(events[: events.index(event) + 1])
                then = app.views.as_of(event.position)[items]
                assert await then.get("b") == expected.get("b")
                assert await then.get_many(["c", "zzz"]) == {k: v for k, v in expected.items() if k == "c"}
                assert await then.get_many([]) == {}


async def test_by_time_an_answer_is_what_had_occurred_whenever_it_was_recorded(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=5, commands=40)
        for hour in range(-1, 50, 3):
            moment = START + timedelta(hours=hour)
            expected = by_hand([event for event in events if event.occurred_at <= moment])
            assert await app.ask(Items(), as_of=moment) == list(expected.values())
            assert await app.ask(OneItem(item="c"), as_of=moment) == expected.get("c")


async def test_what_is_recorded_later_about_earlier_belongs_to_the_past_by_time_and_not_by_position(url: str) -> None:
    noon = START + timedelta(hours=12)
    async with App(*PARTS, store=url) as app:
        receipt = await app.send(Put(shelf="s", items=("a",), count=1), occurred_at=START)
        assert await app.ask(OneItem(item="a"), as_of=noon) == ItemRow(item="a", count=1, changes=1)
        await app.send(Put(shelf="s", items=("a",), count=5), occurred_at=START)
        assert await app.ask(OneItem(item="a"), as_of=noon) == ItemRow(item="a", count=6, changes=2)
        assert await app.ask(OneItem(item="a"), as_of=receipt) == ItemRow(item="a", count=1, changes=1)


async def test_a_fold_that_takes_the_envelope_has_a_past_too(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=6, commands=30)
        for place in range(0, len(events) + 1, 4):
            expected: dict[str, WhoRow] = {}
            for record in events[:place]:
                if isinstance(record.event, Added):
                    for item in record.event.items:
                        expected[item] = WhoRow(item=item, who=record.actor, at=int(record.position))
            position = events[place - 1].position if place else 0
            assert await app.views.as_of(position)[who].find() == [expected[item] for item in sorted(expected)]


async def test_every_way_to_read_a_view_reads_the_past(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        receipt = await app.send(Put(shelf="s", items=("pen", "ink", "cap"), count=2))
        await app.send(Put(shelf="s", items=("pen", "nib"), count=3))
        await app.settle()
        then = app.views.as_of(receipt.position)[items]
        assert await then.count() == await then.count(count=2) == 3
        assert [row.item for row in await then.find(order_by="item", descending=True, limit=2)] == ["pen", "ink"]
        assert [row.item for row in await then.search("pe")] == ["pen"]
        first = await then.page(limit=2)
        second = await then.page(limit=2, cursor=first.cursor)
        assert [row.item for row in [*first.rows, *second.rows]] == ["cap", "ink", "pen"]
        assert second.cursor is None
        assert await app.views[items].count() == 4


async def test_a_query_may_look_at_now_and_then(url: str) -> None:
    class Grown(Query[int]):
        since: int

    @query_handler
    async def grown(query: Grown, views: Views) -> int:
        return await views[items].count() - await views.as_of(query.since)[items].count()

    async with App(*PARTS, grown, store=url) as app:
        receipt = await app.send(Put(shelf="s", items=("a", "b"), count=1))
        last = await app.send(Put(shelf="s", items=("c", "d", "e"), count=1))
        assert await app.ask(Grown(since=receipt.position), after=last) == 3


async def test_stored_shapes_of_earlier_days_are_upcast(sqlite: str) -> None:
    class OldAdded(Event, name="shelf.put"):
        item: str

    class OldShelf(Aggregate, category="shelf", key="shelf"):
        @handle
        def put(self, command: Put) -> Iterator[OldAdded]:
            yield OldAdded(item=command.items[0])

        @apply
        def added(self, _: OldAdded) -> None:
            pass

    async with App(OldShelf, store=sqlite) as app:
        await app.send(Put(shelf="s", items=("a",), count=1))

    @upcast("shelf.put", 1, to=("shelf.added", 1))
    def one_became_many(data: dict[str, Any]) -> dict[str, Any]:
        return {"items": [data["item"]], "count": 7}

    async with App(*PARTS, one_became_many, store=sqlite) as app:
        await app.send(Put(shelf="s", items=("a",), count=1))
        assert await app.ask(OneItem(item="a"), as_of=1) == ItemRow(item="a", count=7, changes=1)
        await app.settle()
        story = await app.lineage(items, "a")
        assert [step.row.count for step in story.steps if step.row] == [7, 8]


def test_synchronous_code_asks_about_the_past(sqlite: str) -> None:
    with App(*PARTS, store=sqlite).sync() as app:
        receipt = app.send(Put(shelf="s", items=("a",), count=1))
        app.send(Put(shelf="s", items=("a",), count=1))
        app.settle()
        once = ItemRow(item="a", count=1, changes=1)
        assert app.ask(OneItem(item="a"), as_of=receipt) == app.views.as_of(receipt.position)[items].get("a") == once
        assert [step.row for step in app.lineage(items, "a").steps] == [once, ItemRow(item="a", count=2, changes=2)]


# -- what is kept -----------------------------------------------------------------------------------------------------


async def test_a_second_question_at_the_same_place_reads_no_event(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=7, commands=30)
        place = events[20].position
        reads = await own_reads(app, monkeypatch)
        once = await app.ask(Items(), as_of=place)
        assert len(reads.taken()) == 1
        assert await app.ask(Items(), as_of=place) == once
        assert await app.ask(OneItem(item="a"), as_of=place) == by_hand(events[:21]).get("a")
        assert reads.taken() == []
        assert await app.views.as_of(START)[items].find() == await app.views.as_of(START)[items].find()
        assert len(reads.taken()) == 1


async def test_a_later_place_goes_on_from_the_nearest_earlier_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=8, commands=30)
        reads = await own_reads(app, monkeypatch)
        for place in (5, 20, 25, 12):
            assert await app.ask(Items(), as_of=events[place - 1].position) == list(by_hand(events[:place]).values())
        five, twenty = events[4].position, events[19].position
        assert reads.taken() == [0, five, twenty, five]
        # and what was gone on from is as it was
        assert await app.ask(Items(), as_of=five) == list(by_hand(events[:5]).values())
        assert reads.taken() == []


async def test_asking_for_one_key_after_the_other_reads_the_history_twice_at_most(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=9, commands=30)
        reads = await own_reads(app, monkeypatch)
        then = app.views.as_of(events[-1].position)[items]
        expected = by_hand(events)
        assert {item: await then.get(item) for item in "abcdef"} == {item: expected.get(item) for item in "abcdef"}
        assert len(reads.taken()) == 2


async def test_only_the_last_few_pasts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async with App(*PARTS, store="memory:") as app:
        events = await lived(app, seed=10, commands=30)
        await app.ask(Items(), as_of=events[0].position)
        for place in range(10, 20):
            await app.ask(Items(), as_of=events[place].position)
        reads = await own_reads(app, monkeypatch)
        await app.ask(Items(), as_of=events[0].position)
        assert reads.taken() == [0]
        await app.ask(Items(), as_of=events[19].position)
        assert reads.taken() == []


# -- what cannot be told ----------------------------------------------------------------------------------------------


async def test_what_is_no_place_in_history_is_refused(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        receipt = await app.send(Put(shelf="s", items=("a",), count=1))
        for strange in (receipt.position + 1, -1, datetime(2026, 1, 1)):
            with pytest.raises(InvalidMessage):
                await app.ask(Items(), as_of=strange)
        with pytest.raises(InvalidMessage, match="do not go together"):
            await app.ask(Items(), as_of=1, after=receipt)


class Member(Row):
    name: str


class Sum(Row):
    n: int


members = Crud(Member, key="name")
sums = sql_projection(
    "sums", row=Sum, events=[Added], sql="insert into {table} (_key, n) select position, 1 from {events}"
)


@join("both", items, who, on=lambda row: row.item)
def both(row: ItemRow, other: WhoRow | None) -> Member:
    return Member(name=f"{row.item} by {other and other.who}")


async def test_tables_without_events_joins_and_projections_in_sql_have_no_past(sqlite: str) -> None:
    async with App(*PARTS, members, sums, both, store=sqlite) as app:
        parts: list[Table[Any]] = [members, sums, both]
        for part in parts:
            with pytest.raises(NoPast):
                app.views.as_of(0)[part]
            with pytest.raises(NoPast):
                await app.lineage(part, "a")
        with pytest.raises(UnknownView):
            app.views.as_of(0)[projection("other", key=lambda event: event.items)(change)]
        with pytest.raises(UnknownView):
            await app.lineage(projection("other", key=lambda event: event.items)(change), "a")


async def unlucky(app: App) -> None:
    await app.send(Put(shelf="s", items=("a", "b"), count=1))
    await app.send(Put(shelf="s", items=("a",), count=13))
    await app.send(Put(shelf="s", items=("a", "b"), count=2))
    await app.settle()


A_1, B_3 = ItemRow(item="a", count=1, changes=1), ItemRow(item="b", count=3, changes=2)


async def test_an_event_that_the_fold_raises_on_is_left_out_with_its_followers_and_told(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        await unlucky(app)
        [first, second, third] = [event.position async for event in app.events()]
        assert await app.ask(OneItem(item="a"), as_of=first) == A_1
        assert await app.ask(OneItem(item="b"), as_of=third) == B_3  # another key
        with pytest.raises(PastIncomplete) as told:
            await app.ask(Items(), as_of=third)
        assert told.value.answer == [A_1, B_3] == await app.views[items].find()
        assert told.value.broken == {"items": {"a": f"ValueError: 13 brings bad luck at position {second}"}}
        for read in (app.views.as_of(third)[items].get("a"), app.views.as_of(third)[items].find(item="a")):
            with pytest.raises(PastIncomplete) as told:
                await read
            assert told.value.answer in (A_1, [A_1], {"a": A_1})


async def test_an_event_that_was_given_up_in_the_live_view_is_left_out_of_its_past(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        await unlucky(app)
        letters = await app.dead_letters.list()
        await app.dead_letters.skip(letters[0].number, "never mind")
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        live = await app.views[items].find()
        assert live == [ItemRow(item="a", count=3, changes=2), B_3]
        assert await app.ask(Items(), as_of=letters[-1].position) == live
        assert await app.ask(OneItem(item="a"), as_of=letters[-1].position) == live[0]
        story = await app.lineage(items, "a")
        assert [(step.state, step.error) for step in story.steps] == [
            ("folded", None),
            ("skipped", "never mind"),
            ("folded", None),
        ]
        assert story.differs == ()


# -- where a row came from --------------------------------------------------------------------------------------------


async def test_a_lineage_is_the_events_of_the_key_and_the_row_after_each(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        events = await lived(app, seed=11, commands=50)
        for item in "abcdefz":
            story = await app.lineage(items, item)
            mine = [n for n, e in enumerate(events) if item in getattr(e.event, "items", ())]
            assert [(step.event, step.row, step.state) for step in story.steps] == [
                (events[n], by_hand(events[: n + 1]).get(item), "folded") for n in mine
            ]
            assert story.row == story.folded == by_hand(events).get(item)
            assert (story.view, story.key, story.generation, story.same_code) == ("items", item, 1, True)
            assert (story.differs, story.unplaced) == ((), [])
        assert [step.row for step in (await app.lineage(who, "a")).steps if step.row] == [
            WhoRow(item="a", who=e.actor, at=int(e.position))
            for e in events
            if isinstance(e.event, Added) and "a" in e.event.items
        ]


async def test_work_that_is_cut_by_key_changes_nothing_about_pasts_and_lineages(url: str) -> None:
    async with App(*PARTS, segments={items: 4}, store=url) as app:
        await unlucky(app)
        letters = await app.dead_letters.list()
        assert "/" in letters[0].processor, "it was not cut"
        await app.dead_letters.skip(letters[0].number, "never mind")
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        live = await app.views[items].find()
        assert await app.ask(Items(), as_of=letters[-1].position) == live
        a, b = await app.lineage(items, "a"), await app.lineage(items, "b")
    assert [step.state for step in a.steps] == ["folded", "skipped", "folded"]
    assert [a.row, b.row] == [a.folded, b.folded] == live
    assert (a.same_code, a.differs, a.position) == (True, (), letters[-1].position)


@pytest.mark.parametrize("kind", ["redis", "mongodb", "opensearch"])
async def test_rows_elsewhere_have_a_past_and_a_lineage(
    kind: str, sqlite: str, read_store_url: Callable[[str], str]
) -> None:
    async with App(*PARTS, store=sqlite, views={items: read_store_url(kind)}) as app:
        events = await lived(app, seed=13, commands=20)
        assert await app.ask(Items(), as_of=events[9].position) == list(by_hand(events[:10]).values())
        for item in "abcdef":
            story = await app.lineage(items, item)
            assert story.row == story.folded == by_hand(events).get(item)
            assert story.differs == ()


async def test_parked_events_of_the_row_are_marked(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        await unlucky(app)
        story = await app.lineage(items, "a")
    assert [(step.state, step.row) for step in story.steps] == [("folded", A_1), ("parked", A_1), ("parked", A_1)]
    assert "13 brings bad luck" in str(story.steps[1].error)
    assert story.differs == ()


async def test_a_row_that_was_changed_by_hand_is_told(sqlite: str, tmp_path: Path) -> None:
    async with App(*PARTS, store=sqlite) as app:
        await app.send(Put(shelf="s", items=("a", "b", "c"), count=5))
        await app.settle()
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("update items__1 set count = 500 where _key = 'a'")
        connection.execute("delete from items__1 where _key = 'b'")
    connection.close()
    async with App(*PARTS, store=sqlite) as app:
        a, b, c = [await app.lineage(items, item) for item in "abc"]
    assert (a.differs, a.row, a.folded) == (
        ("count",),
        ItemRow(item="a", count=500, changes=1),
        ItemRow(item="a", count=5, changes=1),
    )
    assert (b.differs, b.row) == (("item", "count", "changes"), None)
    assert c.differs == ()


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
async def test_rows_of_other_code_differ_until_they_are_built_again(url: str) -> None:
    doubled = projection("items", key=lambda event: event.items)(double)
    async with App(Shelf, items, store=url) as app:
        await app.send(Put(shelf="s", items=("a",), count=5))
        await app.settle()
    async with App(Shelf, doubled, store=url) as app:
        story = await app.lineage(doubled, "a")
        assert (story.same_code, story.differs) == (False, ("count",))
        async for _ in app.rebuild("items"):
            pass
        story = await app.lineage(doubled, "a")
        assert (story.same_code, story.differs, story.generation) == (True, (), 2)


def double(row: ItemRow | None, event: Added, item: str) -> ItemRow:
    return ItemRow(
        item=item, count=(row.count if row else 0) + 2 * event.count, changes=1 + (row.changes if row else 0)
    )


async def test_events_that_the_view_has_not_taken_yet_are_waiting(sqlite: str) -> None:
    async with App(*PARTS, store=sqlite) as app:
        await app.send(Put(shelf="s", items=("a",), count=5))
        await app.settle()
    app = App(*PARTS, store=sqlite)
    await app.start(processors=False)
    try:
        await app.send(Put(shelf="s", items=("a",), count=1))
        story = await app.lineage(items, "a")
    finally:
        await app.stop()
    assert [(step.state, step.row and step.row.count) for step in story.steps] == [("folded", 5), ("waiting", 6)]
    assert (story.row, story.differs) == (ItemRow(item="a", count=5, changes=1), ())


async def test_an_event_that_cannot_be_read_is_told_with_what_follows_it(sqlite: str, tmp_path: Path) -> None:
    async with App(*PARTS, store=sqlite) as app:
        for count in (1, 2, 3):
            await app.send(Put(shelf="s", items=("a",), count=count))
        await app.send(Put(shelf="other", items=("a",), count=4))
        await app.settle()
    with sqlite3.connect(tmp_path / "app.db") as connection:
        for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {name}")
        connection.execute("update events set data = '{\"items\": 5}' where position = 2")
    connection.close()
    async with App(*PARTS, store=sqlite) as app:
        story = await app.lineage(items, "a")
        assert [step.state for step in story.steps] == ["folded", "behind", "folded"]
        assert [each.event.position for each in story.unplaced] == [2]
        with pytest.raises(PastIncomplete) as told:
            await app.ask(OneItem(item="a"), as_of=4)
        assert told.value.answer == ItemRow(item="a", count=5, changes=2)
        assert list(told.value.broken["items"]) == ["shelf-s"]
