"""Aggregates with persistence="state": the row is the truth, events flow all the same, and old ones may go."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    ConcurrencyError,
    ConfigurationError,
    Criteria,
    Crud,
    Decider,
    Event,
    HistoryPruned,
    NotFound,
    Personal,
    Rejected,
    Row,
    State,
    Taken,
    Tenancy,
    UnkeepableState,
    UnreadableState,
    WiringError,
    WrongPersistence,
    apply,
    event_handler,
    handle,
    projection,
    unique,
    upcast,
)
from daicho.testing import VirtualClock
from tests.pricing import Drop, Dropped, Price, Priced, product, values

Product, Evented = product("state"), product("events")


class PriceRow(Row):
    sku: str
    price: Decimal


@projection("prices", key=lambda event: event.sku)
def prices(row: PriceRow | None, event: Priced | Dropped) -> PriceRow | None:
    return PriceRow(sku=event.sku, price=event.price) if isinstance(event, Priced) else None


async def price(app: App, sku: str, *amounts: int) -> None:
    """Whoever is overtaken more often than the App tries by itself tries on."""
    for amount in amounts:
        while True:
            try:
                await app.send(Price(sku=sku, price=Decimal(amount)))
                break
            except ConcurrencyError:
                continue


async def moved(app: App, part: Any, to: Literal["events", "state"], **further: Any) -> int:
    return [step async for step in app.move(part, to=to, **further)][-1].streams


# -- a state is kept ----------------------------------------------------------------------------------------------


async def test_the_row_holds_the_state_in_words_that_anybody_can_read(sqlite: str, tmp_path: Path) -> None:
    async with App(Product, store=sqlite) as app:
        await app.send(Price(sku="pen", price=Decimal("1.50"), name="Pen"))
        await app.send(Price(sku="pen", price=Decimal("1.60")))
    with sqlite3.connect(tmp_path / "app.db") as file:
        [(stream, version, state)] = file.execute("select stream, version, state from daicho_states")
    file.close()
    assert (stream, version) == ("product-pen", 2)
    assert state == '{"price":"1.60","names":["Pen"],"changes":2}'


async def test_it_is_loaded_from_the_row_without_replay(sqlite: str, tmp_path: Path) -> None:
    async with App(Product, store=sqlite) as app:
        await price(app, "pen", 1, 2)
    with sqlite3.connect(tmp_path / "app.db") as file:
        file.execute("update daicho_states set state = replace(state, '\"2\"', '\"7\"')")
    file.close()
    async with App(Product, store=sqlite) as app:
        assert values(await app.load(Product, "pen")) == (Decimal(7), (), 2)
        assert (await app.send(Price(sku="pen", price=Decimal(7)))).events == ()


async def test_its_events_reach_projections_and_handlers_as_any_others_do(url: str) -> None:
    class Note(Command):
        sku: str

    class Noted(Event, name="product.noted"):
        sku: str

    class Log(Aggregate, category="log", key="sku", persistence="state"):
        seen: int = 0

        @handle
        def note(self, command: Note) -> Iterator[Noted]:
            yield Noted(sku=command.sku)

        @apply
        def noted(self, _: Noted) -> None:
            self.seen += 1

    @event_handler
    def on_price(event: Priced) -> Iterator[Note]:
        yield Note(sku=event.sku)

    async with App(Product, Log, prices, on_price, store=url) as app:
        receipt = await app.send(Price(sku="pen", price=Decimal(1)))
        await app.settled(receipt)
        assert await app.views[prices].get("pen") == PriceRow(sku="pen", price=Decimal(1))
        assert (await app.load(Log, "pen")).seen == 1
        assert [e.type async for e in app.events()] == ["product.priced", "product.noted"]


async def test_versions_are_checked_and_a_command_sent_again_counts_once(url: str) -> None:
    async with App(Product, store=url) as app:
        first = await app.send(Price(sku="pen", price=Decimal(1)), key="k", expected=0)
        again = await app.send(Price(sku="pen", price=Decimal(1)), key="k", expected=0)
        assert (again.version, again.duplicate, again.events) == (1, True, first.events)
        with pytest.raises(ConcurrencyError):
            await app.send(Price(sku="pen", price=Decimal(2)), expected=0)
        with pytest.raises(Rejected):
            await app.send(Price(sku="pen", price=Decimal(-2)))
        assert values(await app.load(Product, "pen")) == (Decimal(1), (), 1)


async def test_many_commands_at_once_are_decided_one_on_top_of_the_other(url: str) -> None:
    async with App(Product, store=url) as app:
        await asyncio.gather(*(price(app, f"s{n % 3}", n + 1) for n in range(60)))
        found = {kept.identity: kept async for kept in app.states(Product)}
        assert {name: kept.version for name, kept in found.items()} == {"s0": 20, "s1": 20, "s2": 20}
        assert [values(kept.state)[2] for kept in found.values()] == [20, 20, 20]


async def test_two_processes_that_write_one_stream_lose_nothing(sqlite: str) -> None:
    async with App(Product, store=sqlite) as one, App(Product, store=sqlite) as two:
        await asyncio.gather(*(price((one, two)[n % 2], "pen", n) for n in range(1, 41)))
        assert values(await one.load(Product, "pen")) == values(await two.load(Product, "pen"))
        assert values(await one.load(Product, "pen"))[2] == 40


async def test_the_functional_form_keeps_its_states_too(url: str) -> None:
    class Stock(State):
        on_hand: int = 0

    class Receive(Command):
        sku: str
        quantity: int

    class Received(Event, name="stock.received"):
        quantity: int

    def decide(command: Receive, state: Stock) -> Iterator[Received]:
        yield Received(quantity=command.quantity)

    def evolve(state: Stock, event: Received) -> Stock:
        return Stock(on_hand=state.on_hand + event.quantity)

    stock = Decider(
        "stock", initial=Stock(), decide=decide, evolve=evolve, identify=lambda c: c.sku, persistence="state"
    )
    async with App(stock, store=url) as app:
        for n in range(3):
            await app.send(Receive(sku="pen", quantity=n + 1))
        assert await app.load(stock, "pen") == Stock(on_hand=6)
        [row] = await app.storage.states("stock")
        assert (row.version, row.data) == (3, b'{"on_hand":6}')


async def test_a_rule_among_streams_holds(url: str) -> None:
    ruled = product("state", rules=[unique("name")])
    async with App(ruled, store=url) as app:
        await app.send(Price(sku="pen", price=Decimal(1), name="Pen"))
        with pytest.raises(Taken):
            await app.send(Price(sku="pencil", price=Decimal(1), name="Pen"))
        assert [kept.identity async for kept in app.states(ruled)] == ["pen"]


# -- what does not fit is told ------------------------------------------------------------------------------------


def test_a_boundary_and_a_kept_state_contradict_each_other() -> None:
    def decide(command: Price, state: int) -> Iterator[Priced]:
        yield Priced(sku=command.sku, price=command.price)

    def evolve(state: int, event: Priced) -> int:
        return state + 1

    part = Decider(
        "p",
        initial=0,
        decide=decide,
        evolve=evolve,
        identify=lambda c: c.sku,
        boundary=lambda c: Criteria(types=["product.priced"]),
        persistence="state",
    )
    with pytest.raises(WiringError, match="boundary"):
        App(part, store="memory:")
    with pytest.raises(WiringError, match="persistence='rows'"):
        product("rows")  # type: ignore[arg-type]


def test_personal_data_that_is_enciphered_in_events_does_not_stand_in_a_row() -> None:
    class Named(Event, name="person.named"):
        name: Annotated[str, Personal]

    class Someone(Aggregate, category="person", key="sku", persistence="state"):
        name: str = ""

        @handle
        def drop(self, command: Drop) -> Iterator[Named]:
            yield Named(name=command.sku)

        @apply
        def named(self, event: Named) -> None:
            self.name = event.name

    App(Someone, store="memory:")
    with pytest.raises(WiringError, match="personal"):
        App(Someone, store="memory:", personal="memory:")


async def test_a_state_that_would_not_come_back_is_refused_before_anything_is_recorded(url: str) -> None:
    class Odd(Aggregate, category="odd", key="sku", persistence="state"):
        what: object = None

        @handle
        def set_price(self, command: Price) -> Iterator[Priced]:
            yield Priced(sku=command.sku, price=command.price)

        @apply
        def priced(self, event: Priced) -> None:
            self.what = object() if event.price > 1 else int(event.price)

    async with App(Odd, store=url) as app:
        await price(app, "a", 1)
        with pytest.raises(UnkeepableState):
            await price(app, "a", 2)
        assert await app.storage.stream_version("odd-a") == 1
        assert (await app.load(Odd, "a")).what == 1


async def test_a_state_of_another_shape_raises_instead_of_losing_a_field(sqlite: str) -> None:
    async with App(Product, store=sqlite) as app:
        await app.send(Price(sku="pen", price=Decimal(1), name="Pen"))

    class Changed(Aggregate, category="product", key="sku", persistence="state", state_version=2):
        price: Decimal | None = None
        labels: tuple[str, ...] = ()
        changes: int = 0
        colour: str = "black"

        @handle
        def drop(self, command: Drop) -> Iterator[Dropped]:
            yield Dropped(sku=command.sku)

        @apply
        def dropped(self, _: Dropped) -> None:
            self.price = None

    async with App(Changed, store=sqlite) as app:
        with pytest.raises(UnreadableState, match="version 1"):
            await app.send(Drop(sku="pen"))
    Changed.__daicho_state_version__ = 1
    async with App(Changed, store=sqlite) as app:
        with pytest.raises(UnreadableState, match="names"):
            await app.load(Changed, "pen")
    Changed.__daicho_state_version__ = 2

    @upcast("product", 1)
    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {"labels": data.pop("names"), **data}

    async with App(Changed, renamed, store=sqlite) as app:
        state = await app.load(Changed, "pen")
        assert (state.labels, state.price, state.colour) == (("Pen",), Decimal(1), "black")
        await app.send(Drop(sku="pen"))
        [row] = await app.storage.states("product")
        assert (row.schema_version, row.version) == (2, 2)


async def test_code_of_the_other_kind_does_not_start_and_is_told_the_command(sqlite: str) -> None:
    async with App(Product, store=sqlite) as app:
        await price(app, "pen", 1)
    with pytest.raises(WrongPersistence, match="daicho move product --to events"):
        await App(Evented, store=sqlite).start()
    async with App(Evented, store=sqlite.replace("app.db", "other.db")) as app:
        await price(app, "pen", 1)
    with pytest.raises(WrongPersistence, match="daicho move product --to state"):
        await App(Product, store=sqlite.replace("app.db", "other.db")).start()


# -- moving -------------------------------------------------------------------------------------------------------


async def test_moved_to_events_a_stream_goes_on_from_a_founding_fact(sqlite: str) -> None:
    async with App(Product, store=sqlite) as app:
        await app.send(Price(sku="pen", price=Decimal(1), name="Pen"))
        await price(app, "pen", 2)
        await price(app, "ink", 5)
        assert await moved(app, Product, "events") == 2
        assert await app.storage.states("product") == []
        await price(app, "pen", 3)  # the old code goes on
    with pytest.raises(WrongPersistence, match="daicho move product --to state"):
        await App(Product, store=sqlite).start()
    async with App(Evented, store=sqlite) as app:
        assert values(await app.load(Evented, "pen")) == (Decimal(3), ("Pen",), 3)
        assert (await app.send(Price(sku="pen", price=Decimal(4)))).version == 5
        assert [e.type async for e in app.events(stream="product-pen")] == [
            "product.priced",
            "product.priced",
            "daicho.founded",
            "product.priced",
            "product.priced",
        ]
        assert [values(await app.load(Evented, "pen", at=n))[0] for n in range(6)] == [None, 1, 2, 2, 3, 4]


async def test_moved_to_state_and_back_nothing_is_lost(sqlite: str) -> None:
    async with App(Evented, store=sqlite) as app:
        await price(app, "pen", 1, 2)
        await price(app, "ink", 3)
        assert await moved(app, Evented, "state") == 2
        await price(app, "pen", 4)  # the old code goes on, and keeps no row
        await price(app, "cap", 1)
    async with App(Product, store=sqlite) as app:
        assert values(await app.load(Product, "pen")) == (Decimal(4), (), 3)
        assert (await app.send(Price(sku="pen", price=Decimal(5)))).version == 4
        assert (await app.send(Price(sku="cap", price=Decimal(5)))).version == 2
        assert [(row.stream, row.version) for row in await app.storage.states("product")] == [
            ("product-cap", 2),
            ("product-ink", 1),
            ("product-pen", 4),
        ]
        assert await moved(app, Product, "state") == 0
        assert await moved(app, Product, "events") == 3
    async with App(Evented, store=sqlite) as app:
        assert values(await app.load(Evented, "pen")) == (Decimal(5), (), 4)


async def test_a_move_that_was_interrupted_is_finished_by_the_next(sqlite: str) -> None:
    async with App(Product, store=sqlite) as app:
        await asyncio.gather(*(price(app, f"s{n:03}", n + 1) for n in range(120)))
        steps: AsyncIterator[Any] = app.move(Product, to="events")
        assert (await anext(steps)).streams == 100
        await steps.aclose()  # type: ignore[attr-defined]
        assert len(await app.storage.states("product")) == 20
        await price(app, "s000", 7)
        await price(app, "s119", 7)
    with pytest.raises(WrongPersistence, match="--to events"):
        await App(Evented, store=sqlite).start()
    async with App(Product, store=sqlite) as app:  # the old code may, until it is done
        assert await moved(app, Product, "events") == 20
    async with App(Evented, store=sqlite) as app:
        found = {kept.identity: kept.state async for kept in app.states(Evented)}
    assert len(found) == 120
    told = [values(found[f"s{n:03}"]) for n in (0, 1, 119)]
    assert told == [(Decimal(7), (), 2), (Decimal(2), (), 1), (Decimal(7), (), 2)]


async def test_commands_of_both_kinds_of_code_go_on_while_it_moves(sqlite: str) -> None:
    async with App(Product, store=sqlite) as old:
        await asyncio.gather(*(price(old, f"s{n}", 1) for n in range(20)))

        async def busy() -> None:
            for amount in range(2, 12):
                await asyncio.gather(*(price(old, f"s{n}", amount) for n in range(25)))

        async def move() -> None:
            assert await moved(old, Product, "events") >= 20

        await asyncio.gather(busy(), move())
        async with App(Evented, store=sqlite) as new:
            await asyncio.gather(*(price((old, new)[n % 2], f"s{m}", 100 + n) for n in range(6) for m in range(5)))
            states = {kept.identity: kept.state.changes async for kept in new.states(Evented)}
            assert states == {f"s{n}": (11 if n < 20 else 10) + (6 if n < 5 else 0) for n in range(25)}


async def test_rows_of_a_crud_table_become_aggregates(url: str) -> None:
    class Genre(Row):
        code: str
        price: Decimal
        changes: int

    genres = Crud(Genre, key="code", name="genres")
    async with App(Product, genres, prices, store=url) as app:
        await app.crud(genres).put(*(Genre(code=f"g{n}", price=Decimal(n), changes=n) for n in range(5)))
        assert await moved(app, Product, "state", rows=genres) == 5
        assert await moved(app, Product, "state", rows=genres) == 0
        receipt = await app.send(Price(sku="g3", price=Decimal(30)))
        assert (receipt.version, values(await app.load(Product, "g3"))) == (2, (Decimal(30), (), 4))
        assert [e.type async for e in app.events(stream="product-g3")] == ["daicho.founded", "product.priced"]

    class Wide(Row):
        code: str
        weight: int

    wide = Crud(Wide, key="code", name="wide")
    async with App(Product, wide, store="memory:") as app:
        await app.crud(wide).put(Wide(code="a", weight=1))
        with pytest.raises(UnreadableState, match="weight"):
            await moved(app, Product, "state", rows=wide)
        assert await app.storage.head() == 0


# -- the past, and pruning ----------------------------------------------------------------------------------------


def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


async def test_any_version_can_be_shown_as_long_as_its_events_are_kept(url: str) -> None:
    time = clock()
    async with App(Product, store=url, clock=time) as app:
        for day in range(1, 6):
            await price(app, "pen", day)
            await time.advance(timedelta(days=1))
        assert [values(await app.load(Product, "pen", at=n))[0] for n in range(6)] == [None, 1, 2, 3, 4, 5]
        assert values(await app.load(Product, "pen", at=datetime(2026, 1, 3, 12, tzinfo=UTC)))[0] == 3
        assert values(await app.load(Product, "pen", at=datetime(2025, 1, 1, tzinfo=UTC)))[0] is None


async def test_old_events_go_and_the_state_versions_and_the_rest_of_the_past_stay(url: str) -> None:
    time = clock()
    async with App(Product, prices, store=url, clock=time) as app:
        for day in range(1, 11):
            await price(app, "pen", day)
            await time.advance(timedelta(days=1))
        await price(app, "ink", 1)
        await app.settle()
        report = await app.prune(Product, older_than=timedelta(days=4))
        assert (report.events, report.streams, report.held_by) == (5, 1, ())
        assert [e.version async for e in app.events(stream="product-pen")] == [1, 7, 8, 9, 10]
        assert values(await app.load(Product, "pen")) == (Decimal(10), (), 10)
        shown = [values(await app.load(Product, "pen", at=n))[0] for n in (0, 1, 6, 7, 8, 9, 10)]
        assert shown == [None, 1, 6, 7, 8, 9, 10]
        assert values(await app.load(Product, "pen", at=datetime(2026, 1, 7, 12, tzinfo=UTC)))[0] == 7
        for gone in (2, 5, datetime(2026, 1, 5, 12, tzinfo=UTC)):
            with pytest.raises(HistoryPruned):
                await app.load(Product, "pen", at=gone)
        assert (await app.send(Price(sku="pen", price=Decimal(11)))).version == 11
        await time.advance(timedelta(days=30))
        await app.settle()
        assert (await app.prune(Product, older_than=timedelta(days=1))).events == 4
        assert values(await app.load(Product, "pen", at=10))[0] == 10
        assert await app.views[prices].get("pen") == PriceRow(sku="pen", price=Decimal(11))
        with pytest.raises(HistoryPruned, match="prices"):
            async for _ in app.rebuild("prices"):
                pass
        with pytest.raises(ConfigurationError, match="cannot be pruned"):
            async with App(Evented, store="memory:") as other:
                await other.prune(Evented, older_than=timedelta())


async def test_what_a_reader_has_not_seen_stays(sqlite: str) -> None:
    async with App(Product, prices, store=sqlite) as app:
        await price(app, "pen", 1, 2, 3)
        await app.settle()
        await app.processors.pause("projection:prices@1")
        await price(app, "pen", 4, 5, 6, 7)
        report = await app.prune(Product, older_than=timedelta())
        assert (report.events, report.up_to) == (2, 3)
        assert [name.partition("@")[0] for name in report.held_by] == ["projection:prices"]
        await app.processors.resume("projection:prices@1")
        await app.settle()
        assert await app.views[prices].get("pen") == PriceRow(sku="pen", price=Decimal(7))
        assert (await app.prune(Product, older_than=timedelta())).events == 3


async def test_a_new_view_of_pruned_events_is_refused_not_left_short(sqlite: str) -> None:
    async with App(Product, store=sqlite) as app:
        await price(app, "pen", 1, 2, 3)
        await app.prune(Product, older_than=timedelta())
    with pytest.raises(HistoryPruned, match="prices"):
        await App(Product, prices, store=sqlite).start()


async def test_rules_go_on_after_pruning_and_new_ones_are_refused(sqlite: str) -> None:
    ruled = product("state", rules=[unique("name")])
    async with App(ruled, store=sqlite) as app:
        for sku in ("pen", "ink"):
            for n in range(1, 4):
                await app.send(Price(sku=sku, price=Decimal(n), name=f"{sku} {n // 2}"))
        await app.prune(ruled, older_than=timedelta())
    async with App(ruled, store=sqlite) as app:
        with pytest.raises(Taken):
            await app.send(Price(sku="cap", price=Decimal(1), name="pen 1"))
    async with App(Product, store=sqlite) as app:
        assert values(await app.load(Product, "pen")) == (Decimal(3), ("pen 0", "pen 1"), 3)
    with pytest.raises(HistoryPruned, match="price"):
        await App(product("state", rules=[unique("price")]), store=sqlite).start()


async def test_a_pruned_stream_is_moved_to_events_and_goes_on(sqlite: str) -> None:
    async with App(Product, store=sqlite) as app:
        await price(app, "pen", *range(1, 6))
        await app.prune(Product, older_than=timedelta())
        await moved(app, Product, "events")
    async with App(Evented, store=sqlite) as app:
        assert values(await app.load(Evented, "pen")) == (Decimal(5), (), 5)
        assert (await app.send(Price(sku="pen", price=Decimal(6)))).version == 7
        with pytest.raises(HistoryPruned):
            await app.load(Evented, "pen", at=3)
        assert values(await app.load(Evented, "pen", at=6))[0] == 5


async def test_an_app_that_only_sends_begins_a_category_as_well(sqlite: str) -> None:
    app = await App(Product, store=sqlite).start(processors=False)
    await price(app, "pen", 1, 2)
    assert await app.storage.standings() == {}
    await app.stop()
    async with App(Product, store=sqlite) as app:
        assert (await app.storage.standings())["product"].kind == "state"
        assert values(await app.load(Product, "pen")) == (Decimal(2), (), 2)


async def test_a_tenant_does_not_see_streams_of_another_also_after_pruning(sqlite: str) -> None:
    async with App(Product, store=sqlite, tenancy=Tenancy()) as app:
        for n in range(1, 5):
            await app.send(Price(sku="pen", price=Decimal(n)), tenant="acme")
        await app.prune(Product, older_than=timedelta())
    async with App(Product, store=sqlite, tenancy=Tenancy()) as app:
        with pytest.raises(NotFound):
            await app.send(Price(sku="pen", price=Decimal(9)), tenant="other")
        assert (await app.send(Price(sku="pen", price=Decimal(9)), tenant="acme")).version == 5


def test_synchronous_code_moves_prunes_and_lists_too(sqlite: str) -> None:
    with App(Product, store=sqlite).sync() as app:
        for n in range(1, 5):
            app.send(Price(sku="pen", price=Decimal(n)))
        assert app.prune(Product, older_than=timedelta()).events == 2
        assert [(kept.identity, kept.version) for kept in app.states(Product)] == [("pen", 4)]
        assert [step.done for step in app.move(Product, to="events")] == [False, True]


async def test_nothing_that_decides_or_hears_from_the_beginning_is_left_with_the_rest(sqlite: str) -> None:
    class Tell(Command):
        sku: str

    class Told(Event, name="told"):
        sku: str

    def decide(command: Tell, state: int) -> Iterator[Told]:
        yield Told(sku=command.sku)

    def evolve(state: int, event: Priced | Told) -> int:
        return state + 1

    bounded = Decider(
        "bounded",
        initial=0,
        decide=decide,
        evolve=evolve,
        identify=lambda c: c.sku,
        boundary=lambda c: Criteria(types=["product.priced"]),
    )

    @event_handler(from_start=True)
    def on_price(event: Priced) -> Iterator[Tell]:
        yield Tell(sku=event.sku)

    async with App(Product, bounded, store=sqlite) as app:
        await price(app, "pen", 1, 2, 3, 4)
        with pytest.raises(ConfigurationError, match="boundary"):
            await app.prune(Product, older_than=timedelta())
    async with App(Product, store=sqlite) as app:
        assert (await app.prune(Product, older_than=timedelta())).events == 2
    with pytest.raises(HistoryPruned, match="boundary"):
        await App(Product, bounded, store=sqlite).start()
    plain = Decider("plain", initial=0, decide=decide, evolve=evolve, identify=lambda c: c.sku)
    with pytest.raises(HistoryPruned, match="on_price"):
        await App(Product, on_price, plain, store=sqlite).start()
