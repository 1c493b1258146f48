"""Projections that are SQL: right figures, each event once, and nobody held up by what the database refuses."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    ConfigurationError,
    Event,
    Row,
    StoreFailed,
    WiringError,
    apply,
    handle,
    sql_projection,
    upcast,
)
from daicho.adapters.stores.postgres import PostgresStorage
from daicho.core.sql_projection import SqlProjection, written
from daicho.read import set_projector
from daicho.testing import crash_at
from daicho.testing.contracts.base import HOSTILE, eventually

# -- a till -----------------------------------------------------------------------------------------------------------


class Sold(Event, name="till.sold"):
    till: str
    sku: str | None
    cents: int


class Returned(Event, name="till.returned"):
    till: str
    sku: str | None
    cents: int


class Counted(Event, name="till.counted"):
    till: str


class Ring(Command):
    till: str
    sku: str | None = "pen"
    cents: int = 1
    what: Literal["sold", "returned", "counted"] = "sold"


class Till(Aggregate, category="till", key="till"):
    rung: int = 0

    @handle
    def ring(self, command: Ring) -> Iterator[Sold | Returned | Counted]:
        match command.what:
            case "sold":
                yield Sold(till=command.till, sku=command.sku, cents=command.cents)
            case "returned":
                yield Returned(till=command.till, sku=command.sku, cents=command.cents)
            case _:
                yield Counted(till=command.till)

    @apply
    def sold(self, event: Sold) -> None:
        self.rung += 1

    @apply
    def returned(self, event: Returned) -> None:
        self.rung += 1

    @apply
    def counted(self, event: Counted) -> None: ...


class Turnover(Row, index=("cents",)):
    sku: str
    cents: int
    events: int
    steps: int = 0


SQL = """
-- adds 100% of {what} was sold
with one as (
  select data->>'sku' as sku, case type when 'till.sold' then 1 else -1 end * CENTS as cents from {events}
), summed as (select sku, sum(cents) as cents, count(*) as events from one group by sku)
insert into {table} (_key, sku, cents, events, steps)
select sku, sku, cents, events, 1 from summed where true
on conflict (_key) do update set
  cents = {table}.cents + excluded.cents, events = {table}.events + excluded.events, steps = {table}.steps + 1
"""
"""A sku that is null can be no key: that is what these tests poison it with."""
LITE, PG = SQL.replace("CENTS", "(data->>'cents')"), SQL.replace("CENTS", "(data->>'cents')::bigint")


def turnover(**sql: str) -> SqlProjection[Turnover]:
    given = {"postgresql": PG, "sqlite": LITE, **sql}
    return sql_projection("turnover", row=Turnover, events=[Sold, Returned], sql=given)


SALES = turnover()
_MENDED = ("select sku, sku", "select coalesce(sku, 'none'), coalesce(sku, 'none')")
MENDED = turnover(postgresql=PG.replace(*_MENDED), sqlite=LITE.replace(*_MENDED))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh store, on each database that runs SQL."""
    found: str = request.getfixturevalue("sqlite" if request.param == "sqlite" else "postgres_url")
    return found


def run_by_hand(url: str, *statements: str) -> None:
    """As somebody with a client of the database's own."""
    if url.startswith("sqlite"):  # in a process of its own: two SQLite libraries in one undo each other's locks
        program = (
            "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as file:\n  [*map(file.execute, sys.argv[2:])]"
        )
        subprocess.run([sys.executable, "-c", program, "/" + urlsplit(url).path.lstrip("/"), *statements], check=True)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def ring(app: App, *skus: str | None, till: str = "1", **more: Any) -> None:
    for sku in skus:
        await app.send(Ring(till=till, sku=sku, **more))


async def figures(app: App, view: SqlProjection[Turnover] = SALES) -> dict[str, tuple[int, int]]:
    return {row.sku: (row.cents, row.events) for row in await app.views[view].find()}


async def expected(app: App) -> dict[str, tuple[int, int]]:
    """The same by a fold in Python, from the log."""
    found: dict[str, tuple[int, int]] = {}
    async for record in app.events():
        event = record.event
        if isinstance(event, (Sold, Returned)) and event.sku is not None:
            cents, events = found.get(event.sku, (0, 0))
            found[event.sku] = (cents + event.cents * (1 if isinstance(event, Sold) else -1), events + 1)
    return found


async def parked_at(app: App) -> list[tuple[str, bool]]:
    return [(letter.stream, letter.error is not None) for letter in await app.dead_letters.list()]


# -- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["sqlite", "postgres_url", "pgbouncer_url"])
async def test_figures_are_those_of_a_fold(request: pytest.FixtureRequest, place: str) -> None:
    chance = random.Random(7)
    kinds = ("sold", "sold", "returned", "counted")
    async with App(Till, SALES, store=request.getfixturevalue(place)) as app:
        commands = [
            Ring(till=f"{n % 9}", sku=chance.choice(HOSTILE), cents=chance.randrange(10**6), what=chance.choice(kinds))
            for n in range(400)
        ]
        await asyncio.gather(*[app.send(command) for command in commands])
        await app.settle()
        assert await figures(app) == await expected(app)
        row = await app.views[SALES].get("100%")
        assert row is not None
        assert row.sku == "100%"
        assert await app.views[SALES].count(cents=row.cents) >= 1
        by_cents = await app.views[SALES].find(order_by="cents", descending=True, limit=3)
        assert by_cents == sorted(await app.views[SALES].find(), key=lambda each: -each.cents)[:3]


async def test_a_paced_rebuild_does_not_creep_through_what_lies_between_two_epochs(postgres_url: str) -> None:
    async with App(Till, SALES, store=postgres_url) as app:
        await ring(app, "pen", "ink", "pen")
        await app.settle()
    async with App(Till, store=postgres_url) as app:
        assert isinstance(app.storage, PostgresStorage)
        epoch = await app.storage.begin_epoch()
    async with App(Till, SALES, store=postgres_url) as app:
        await ring(app, "pen", "cap")
        await app.settle()
        assert (await app.lag())[0].events_behind == 0
        steps = [step async for step in app.projections.rebuild("turnover", at_most=40.0)]
        assert steps[-1].switched
        assert steps[-1].position.bit_length() > 48
        assert len(steps) < 10
        assert await figures(app) == {"pen": (3, 3), "ink": (1, 1), "cap": (1, 1)}
    assert epoch.epoch == 1


async def test_hostile_contents_are_data_and_nothing_else(url: str) -> None:
    skus = [
        '"}',
        "'; drop table events; --",
        "{table}",
        "{events}",
        '{"sku": "other"}',
        "\\u0041",
        "\n\t",
        "％",
        "1e400",
    ]
    async with App(Till, SALES, store=url) as app:
        await ring(app, *skus)
        await app.settle()
        assert await figures(app) == dict.fromkeys(skus, (1, 1))


async def test_a_projection_added_to_a_history_has_all_of_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_projector, "_PAGE", 37)
    async with App(Till, store=url) as app:
        await asyncio.gather(*[app.send(Ring(till=f"{n % 5}", sku=f"s{n % 7}", cents=n)) for n in range(300)])
    async with App(Till, SALES, store=url) as app:
        assert await figures(app) == await expected(app)  # an answer is complete, or it is not given
        assert max(row.steps for row in await app.views[SALES].find()) >= 300 // 37


async def test_a_step_without_its_events_runs_nothing(url: str) -> None:
    counted = sql_projection(
        "runs",
        row=Turnover,
        events=[Sold],
        sql="""insert into {table} (_key, sku, cents, events, steps)
        select 'all', 'all', 0, count(*), 1 from {events} where true
        on conflict (_key) do update set events = {table}.events + excluded.events, steps = {table}.steps + 1""",
    )
    async with App(Till, counted, store=url) as app:
        await ring(app, "pen", what="counted")
        await ring(app, "pen", what="returned")
        await app.settle()
        assert await app.views[counted].find() == []
        await ring(app, "pen")
        await app.settle()
        assert await app.views[counted].find() == [Turnover(sku="all", cents=0, events=1, steps=1)]
        [lag] = await app.lag()
        assert (lag.state, lag.events_behind) == ("live", 0)


async def test_dates_and_decimals_add_up_exactly_on_postgresql(postgres_url: str) -> None:
    class Sales(Row):
        day: date
        total: Decimal

    class Placed(Event, name="shop.placed"):
        at: datetime
        total: Decimal

    class Place(Command):
        at: datetime
        total: Decimal
        shop: str = "1"

    class Shop(Aggregate, category="shop", key="shop"):
        @handle
        def place(self, command: Place) -> Iterator[Placed]:
            yield Placed(at=command.at, total=command.total)

        @apply
        def placed(self, event: Placed) -> None: ...

    sales = sql_projection(
        "sales",
        row=Sales,
        events=[Placed],
        sql={
            "postgresql": """
            insert into {table} (_key, day, total)
            select day::text, day, sum(total)
            from (select (data->>'at')::date as day, (data->>'total')::numeric as total from {events}) as placed
            group by day
            on conflict (_key) do update set total = {table}.total + excluded.total"""
        },
    )
    totals = [Decimal("0.10"), Decimal("0.20"), Decimal("1234567890123456789.01"), Decimal("-0.003")]
    async with App(Shop, sales, store=postgres_url) as app:
        for n, total in enumerate(totals):
            await app.send(Place(at=datetime(2026, 1, 1 + n % 2, 12, tzinfo=UTC), total=total))
        await app.settle()
        found = await app.views[sales].find(order_by="day")
        first, second = date(2026, 1, 1), date(2026, 1, 2)
        assert found == [
            Sales(day=first, total=totals[0] + totals[2]),
            Sales(day=second, total=totals[1] + totals[3]),
        ]
        assert await app.views[sales].find(day=second, total=Decimal("0.197")) == found[1:]


async def test_several_statements_share_the_step(url: str) -> None:
    tops = sql_projection(
        "tops",
        row=Turnover,
        events=[Sold, Returned],
        sql={
            "postgresql": [PG, "update {table} set steps = 0", "delete from {table} where cents < 10"],
            "sqlite": [LITE, "update {table} set steps = 0", "delete from {table} where cents < 10"],
        },
    )
    async with App(Till, tops, store=url) as app:
        await ring(app, "pen", "ink", cents=9)
        await ring(app, "cap", cents=11)
        await app.settle()
        assert await app.views[tops].find() == [Turnover(sku="cap", cents=11, events=1)]


async def test_former_names_and_versions_are_seen_as_they_are_stored(url: str) -> None:
    class Bought(Event, name="till.bought"):
        till: str
        article: str

    class Buy(Command):
        till: str

    class Old(Aggregate, category="till", key="till"):
        @handle
        def buy(self, command: Buy) -> Iterator[Bought]:
            yield Bought(till=command.till, article="pen")

        @apply
        def bought(self, event: Bought) -> None: ...

    @upcast("till.bought", 1, to=("till.sold", 1))
    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {"till": data["till"], "sku": data["article"], "cents": 3}

    both = sql_projection(
        "both",
        row=Turnover,
        events=[Sold],
        sql="""insert into {table} (_key, sku, cents, events, steps)
        select stream || version, coalesce(data->>'sku', data->>'article'), schema_version, 1, 1 from {events}""",
    )
    async with App(Old, store=url) as app:
        await app.send(Buy(till="1"))
    async with App(Till, renamed, both, store=url) as app:
        await ring(app, "ink")
        await app.settle()
        found = await app.views[both].find()
    assert [(row.sku, row.cents) for row in found] == [("pen", 1), ("ink", 1)]


# -- once -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["projection.before", "projection.after"])
async def test_each_event_counts_once_over_crashes(url: str, point: str) -> None:
    for n in range(1, 5):
        crash = crash_at(point, nth=n)
        async with crash.of(App(Till, SALES, store=url, probe=crash)) as app:
            while True:
                await ring(app, "pen", "ink", till=f"{n}")
                await app.settle()
    async with App(Till, SALES, store=url) as app:
        await app.settle()
        assert await figures(app) == await expected(app)
        assert (await figures(app))["pen"][1] >= 4


async def test_an_error_before_the_commit_takes_rows_and_checkpoint_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(Till, SALES, store=url) as app:
        apply_set, times = app.storage.apply_set, 0  # type: ignore[attr-defined]

        async def breaks(step: Any) -> None:
            nonlocal times
            times += 1
            if times == 1:
                raise StoreFailed("not now")
            await apply_set(step)
            if times == 2:  # the commit went through, and the answer was lost
                raise StoreFailed("lost")

        monkeypatch.setattr(app.storage, "apply_set", breaks)
        await ring(app, "pen")
        await app.settle()
        assert await figures(app) == {"pen": (1, 1)}


async def test_two_apps_on_one_store_count_each_event_once(url: str) -> None:
    async with App(Till, SALES, store=url) as one, App(Till, SALES, store=url) as two:
        for n in range(20):
            await ring(one if n % 2 else two, "pen", till=f"{n % 3}")
        await one.settle()
        await two.settle()
        assert await figures(one) == await figures(two) == {"pen": (20, 20)}


async def test_who_loses_the_lease_in_the_middle_writes_nothing(url: str) -> None:
    async with App(Till, SALES, store=url) as one:
        await ring(one, "pen")
        await one.settle()
        # by hand, as `daicho projection` does: from the beginning again, with another owner
        await one.storage.rewind("projection:turnover@1", 0)
        await ring(one, "ink")
        await one.settle()
        found = await figures(one)
    assert found == {"pen": (2, 2), "ink": (1, 1)}  # once for each time that the checkpoint passed it


# -- what the database refuses ----------------------------------------------------------------------------------------


async def test_a_poisoned_event_parks_its_stream_and_no_other(url: str) -> None:
    async with App(Till, SALES, store=url) as app:
        for till in ("1", "2", "3"):
            await ring(app, "pen", "ink", till=till)
        await ring(app, None, "pen", till="2")
        await ring(app, "pen", till="3")
        await app.settle()
        assert await figures(app) == {"pen": (4, 4), "ink": (3, 3)}
        await ring(app, "cap", till="2")
        await ring(app, "cap", till="1")
        await app.settle()
        assert await figures(app) == {"pen": (4, 4), "ink": (3, 3), "cap": (1, 1)}
        assert await parked_at(app) == [("till-2", True), ("till-2", False), ("till-2", False)]
        [letter, *_] = await app.dead_letters.list()
        assert letter.key == "till-2"
        assert "StepRefused" in (letter.error or "")
        assert "null" in (letter.error or "").lower()
        [lag] = await app.lag()
        assert (lag.state, lag.parked, lag.events_behind) == ("live", 3, 0)


async def test_one_poisoned_event_in_a_long_history_is_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_projector, "_PAGE", 100)
    chance = random.Random(3)
    async with App(Till, store=url) as app:
        for n in range(6):
            skus: list[str | None] = [f"s{chance.randrange(5)}" for _ in range(80)]
            if n in (2, 4):
                skus[chance.randrange(80)] = None
            await asyncio.gather(*[app.send(Ring(till=f"{k}-{n}", sku=sku, cents=k)) for k, sku in enumerate(skus)])
    async with App(Till, SALES, store=url) as app:
        await app.settle()
        assert await figures(app) == await expected(app)
        assert [error for _, error in await parked_at(app)] == [True, True]


async def test_after_it_was_mended_a_retry_brings_what_was_parked(url: str) -> None:
    async with App(Till, SALES, store=url) as app:
        await ring(app, "pen", None, "ink", "pen")
        await app.settle()
        assert await app.dead_letters.retry() == 3
        await app.dead_letters.retried()
        assert len(await parked_at(app)) == 3  # nothing was mended
        assert [letter.attempts for letter in await app.dead_letters.list()] == [2, 2, 2]
    async with App(Till, MENDED, store=url) as app:
        assert await figures(app, MENDED) == {"pen": (1, 1)}
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        assert await figures(app, MENDED) == {"pen": (2, 2), "none": (1, 1), "ink": (1, 1)}
        await ring(app, "cap")
        await app.settle()
        assert (await figures(app, MENDED))["cap"] == (1, 1)
        assert await parked_at(app) == []


async def test_a_skipped_event_lets_its_followers_through(url: str) -> None:
    async with App(Till, SALES, store=url) as app:
        await ring(app, None, "pen")
        await app.settle()
        [poison, _] = await app.dead_letters.list()
        await app.dead_letters.skip(poison.number, "no sku on the receipt")
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        await ring(app, "ink")
        await app.settle()
        assert await figures(app) == {"pen": (1, 1), "ink": (1, 1)}


async def test_once_all_letters_of_a_stream_are_skipped_it_goes_on(url: str) -> None:
    async with App(Till, SALES, store=url) as app:
        await ring(app, None)
        await app.settle()
        [poison] = await app.dead_letters.list()
        await app.dead_letters.skip(poison.number, "no sku on the receipt")
        await ring(app, "pen")
        await app.settle()
        assert await figures(app) == {"pen": (1, 1)}
        assert await parked_at(app) == []


async def test_what_is_broken_for_every_event_parks_none(url: str) -> None:
    prefix = "" if url.startswith("sqlite") else "public."
    joined = sql_projection(
        "joined",
        row=Turnover,
        events=[Sold],
        sql=f"""insert into {{table}} (_key, sku, cents, events)
        select event_id, label, 1, 1 from {{events}} join {prefix}labels on code = data->>'sku'""",
    )
    async with App(Till, store=url):
        pass
    run_by_hand(
        url, f"create table {prefix}labels (code text, label text)", f"insert into {prefix}labels values ('p', 'Pen')"
    )
    async with App(Till, joined, store=url) as app:
        await ring(app, "p")
        await app.settle()
        run_by_hand(url, f"alter table {prefix}labels rename to gone")
        await ring(app, "p", "p")

        async def state() -> str:
            [lag] = await app.lag()
            return lag.state + (lag.error or "")

        assert "labels" in await eventually(state, lambda told: told.startswith("failing"))
        assert await parked_at(app) == []
        run_by_hand(url, f"alter table {prefix}gone rename to labels")
        await app.settle()
        assert [row.sku for row in await app.views[joined].find()] == ["Pen"] * 3


async def test_what_is_refused_only_together_goes_through_in_pieces(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alone = sql_projection(
        "alone",
        row=Turnover,
        events=[Sold],
        sql="""insert into {table} (_key, sku, cents, events)
        select case count(*) when 1 then max(event_id) end, 'x', 0, count(*) from {events} group by stream""",
    )
    async with App(Till, store=url) as app:
        await ring(app, *["pen"] * 13)
    async with App(Till, alone, store=url) as app:
        await app.settle()
        assert await app.views[alone].count() == 13
        assert await parked_at(app) == []
    assert "refused together, what went through in pieces" in caplog.text


async def test_what_sql_cannot_read_is_parked(postgres_url: str) -> None:
    async with App(Till, SALES, store=postgres_url) as app:
        await ring(app, "pen", "a\0b", "ink")
        await ring(app, "pen", till="2")
        await app.settle()
        assert await figures(app) == {"pen": (2, 2)}
        assert await parked_at(app) == [("till-1", True), ("till-1", False)]
        [letter, _] = await app.dead_letters.list()
        assert "SQL cannot read this event" in (letter.error or "")


async def test_a_value_that_does_not_fit_its_type_is_parked(postgres_url: str) -> None:
    class Dated(Row):
        day: str

    dated = sql_projection(
        "dated", row=Dated, events=[Sold],
        sql="insert into {table} (_key, day) select event_id, ((data->>'sku')::date)::text from {events}",
    )  # fmt: skip
    async with App(Till, dated, store=postgres_url) as app:
        await ring(app, "2026-01-31", "2026-02-31", "2026-03-01")
        await ring(app, "2026-04-01", till="2")
        await app.settle()
        assert sorted(row.day for row in await app.views[dated].find()) == ["2026-01-31", "2026-04-01"]
        [letter, _] = await app.dead_letters.list()
        assert 'out of range: "2026-02-31"' in (letter.error or "")


# -- builds -----------------------------------------------------------------------------------------------------------


async def test_a_rebuild_runs_beside_the_live_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_projector, "_PAGE", 20)
    async with App(Till, SALES, store=url) as app:
        await asyncio.gather(*[app.send(Ring(till=f"{n % 4}", sku=f"s{n % 3}", cents=n)) for n in range(100)])
        await app.settle()
        steps = 0
        async for step in app.rebuild("turnover"):
            steps += 1
            if not step.switched:
                await ring(app, "meanwhile", till=f"m{steps}")
                assert step.generation == 2
        assert step.switched
        assert step.events >= 100
        assert steps > 5
        await ring(app, "after")
        await app.settle()
        assert await figures(app) == await expected(app)
        assert await app.storage.live_generation("turnover") == 2
        assert [lag.processor for lag in await app.lag()] == ["projection:turnover@2"]


async def test_an_interrupted_rebuild_goes_on_and_other_sql_starts_anew(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_projector, "_PAGE", 20)
    async with App(Till, SALES, store=url) as app:
        await asyncio.gather(*[app.send(Ring(till=f"{n % 4}", sku=f"s{n % 3}", cents=n)) for n in range(100)])
        await app.settle()
        async for step in app.rebuild("turnover"):
            assert step.events == 20
            break
        last = [step async for step in app.rebuild("turnover")][-1]
        assert (last.events, last.generation) == (80, 2)
        assert await figures(app) == await expected(app)
        async for _ in app.rebuild("turnover"):
            break
    async with App(Till, MENDED, store=url) as app:
        last = [step async for step in app.rebuild("turnover")][-1]
        assert (last.events, last.generation) == (100, 4)
        assert await figures(app, MENDED) == await expected(app)


async def test_another_row_class_is_built_anew(url: str) -> None:
    class Wider(Row):
        sku: str
        cents: int
        events: int
        steps: int
        note: str

    def with_note(sql: str) -> str:
        return sql.replace("events, steps)\n", "events, steps, note)\n").replace(
            "events, 1 from", "events, 1, 'n' from"
        )

    wider = sql_projection(
        "turnover",
        row=Wider,
        events=[Sold, Returned],
        sql={"postgresql": with_note(PG), "sqlite": with_note(LITE)},
    )
    async with App(Till, SALES, store=url) as app:
        await ring(app, "pen", "pen")
        await app.settle()
    async with App(Till, wider, store=url) as app:
        assert await app.views[wider].find() == [Wider(sku="pen", cents=2, events=2, steps=1, note="n")]


def test_other_sql_is_other_code_and_the_same_is_the_same() -> None:
    codes = [App(Till, each, store="memory:").model.folds[0].code for each in (SALES, turnover(), MENDED)]
    assert codes[0] == codes[1] != codes[2]


# -- wiring -----------------------------------------------------------------------------------------------------------


async def start(url: str, part: Any, **more: Any) -> None:
    async with App(Till, part, store=url, **more):
        pass


async def test_a_store_without_a_database_refuses_at_start() -> None:
    with pytest.raises(ConfigurationError, match="the projection 'turnover' is SQL, which memory: does not run"):
        await start("memory:", SALES)


async def test_a_dialect_without_sql_is_refused_at_start(url: str) -> None:
    own, other = ("sqlite", "postgresql") if url.startswith("sqlite") else ("postgresql", "sqlite")
    part = sql_projection("turnover", row=Turnover, events=[Sold], sql={other: SQL})
    with pytest.raises(ConfigurationError, match=f"'turnover' has no SQL for {own}") as caught:
        await start(url, part)
    assert other in caught.value.why


async def test_packed_events_are_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="this App stores events as msgpack"):
        await start(url, SALES, codec="msgpack")


async def test_sql_that_cannot_run_is_refused_at_start_in_the_databases_words(url: str) -> None:
    async with App(Till, store=url) as app:
        await ring(app, "pen")
    for wrong, told in (("skuu, sku", "skuu"), ("sku sku sku", "sku")):
        broken = {key: text.replace("select sku, sku", f"select {wrong}") for key, text in SALES_SQL.items()}
        with pytest.raises(WiringError, match="refuses the SQL of the projection 'turnover'") as caught:
            await start(url, turnover(**broken))
        assert told in caught.value.why
        if not url.startswith("sqlite"):
            assert "LINE 7:" in caught.value.why
    async with App(Till, SALES, store=url) as app:  # nothing of it was left
        await app.settle()
        assert await figures(app) == {"pen": (1, 1)}


SALES_SQL = {"postgresql": PG, "sqlite": LITE}


async def test_a_rebuild_with_sql_that_cannot_run_leaves_the_live_one(url: str) -> None:
    async with App(Till, SALES, store=url) as app:
        await ring(app, "pen")
        await app.settle()
    looking = App(Till, turnover(postgresql="select {table}, {events}", sqlite="select {table}, {events}"), store=url)
    await looking.start(processors=False)
    try:
        with pytest.raises(WiringError, match="refuses the SQL"):
            async for _ in looking.rebuild("turnover"):
                pass
        assert await figures(looking) == {"pen": (1, 1)}
    finally:
        await looking.stop()


INTO = "insert into {table} (_key) select 'x' from {events}"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"sql": "insert into turnover select * from {events}"}, "does not name {table}"),
        ({"sql": "insert into {table} select * from events"}, "does not name {events}"),
        ({"sql": ""}, "does not name {table}"),
        ({"sql": []}, "does not name {table}"),
        ({"sql": [INTO, " -- nothing\n /* at all */ "]}, "a statement of 'x' is empty"),
        ({"sql": [INTO, " /* now */ Commit and chain"]}, "a statement of 'x' is `commit`"),
        ({"sql": ["begin", INTO]}, "a statement of 'x' is `begin`"),
        ({"sql": [INTO, "savepoint a"]}, "a statement of 'x' is `savepoint`"),
        ({"sql": {}}, "'x' has no SQL"),
        ({"sql": {"mysql": INTO}}, "'mysql' is no dialect"),
        ({"events": []}, "'x' names no events"),
        ({"events": [Ring]}, "is no class of events"),
        ({"events": ["till.sold"]}, "is no class of events"),
        ({"row": Sold}, "is no class of rows"),
        ({"row": "Turnover"}, "is no class of rows"),
    ],
)
def test_what_can_be_no_projection_is_refused_where_it_is_declared(given: dict[str, Any], what: str) -> None:
    whole: dict[str, Any] = {"row": Turnover, "events": [Sold], "sql": INTO, **given}
    with pytest.raises(WiringError) as caught:
        sql_projection("x", **whole)
    assert what in caught.value.what


async def test_a_statement_that_ends_the_transaction_unseen_is_refused(url: str) -> None:
    sneaky = sql_projection("x", row=Turnover, events=[Sold], sql=f"{INTO}; commit")
    with pytest.raises(WiringError, match="refuses the SQL"):
        await start(url, sneaky)
    async with App(Till, SALES, store=url) as app:
        await ring(app, "pen")
        await app.settle()
        assert await figures(app) == {"pen": (1, 1)}


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("select 1 from {events}", "with daicho_events as (E) select 1 from daicho_events"),
        ("  select 1\nfrom {events}", "  with daicho_events as (E) select 1\nfrom daicho_events"),
        ("WITH a AS (select 1) select {events}.x", "with daicho_events as (E), a AS (select 1) select daicho_events.x"),
        ("With  Recursive a as (1) {events}", "with recursive daicho_events as (E), a as (1) daicho_events"),
        (
            "-- with\n/* {table} */ with\na as (1) {events}",
            '-- with\n/* "T" */ with daicho_events as (E),\na as (1) daicho_events',
        ),
        ("withdraw {events}", "with daicho_events as (E) withdraw daicho_events"),
        ("{table}{events}{other}{{table}}", 'with daicho_events as (E) "T"daicho_events{other}{"T"}'),
    ],
)
def test_events_become_a_common_table_that_leaves_lines_where_they_are(statement: str, text: str) -> None:
    assert written(statement, table='"T"', events="E") == (text, True)


def test_a_statement_without_events_stays_as_it_is() -> None:
    assert written("delete from {table} where 1 % 2", table="T", events="E", own=lambda t: t.replace("%", "%%")) == (
        "delete from T where 1 %% 2",
        False,
    )


def test_tools_see_it_like_any_projection() -> None:
    [fold] = App(Till, SALES, store="memory:").model.folds
    assert (fold.name, fold.events, fold.part.row_type, fold.part.inline) == (
        "turnover",
        (Sold, Returned),
        Turnover,
        False,
    )
