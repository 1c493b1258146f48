"""What insight counts, against counts made in other ways: by hand, and by SQL on the file itself."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from daicho.core.errors import InvalidMessage
from daicho.core.registry import Registry
from daicho.insight import Happening, Variant, buckets, cohorts, funnel, happenings, process_map, spread_of
from daicho.insight.drawing import (
    chart_of_answer,
    chart_of_cohorts,
    chart_of_funnel,
    chart_of_times,
    mermaid_of_map,
    short_time,
)
from daicho.ports.event_store import Selection
from daicho.read.history import History
from tests.cli_app import CancelOrder, PlaceOrder, make

START = datetime(2026, 1, 30, 12, tzinfo=UTC)


async def told(*lines: tuple[str, str, float]) -> AsyncIterator[Happening]:
    """Key, type, and seconds since the start."""
    for key, type_, seconds in lines:
        yield Happening(key, type_, START + timedelta(seconds=seconds))


ORDERS = (
    ("o1", "placed", 0),
    ("o2", "placed", 1),
    ("o1", "paid", 10),
    ("o3", "placed", 11),
    ("o1", "sent", 110),
    ("o2", "paid", 31),
    ("o2", "refused", 32),
    ("o3", "cancelled", 12),
)


async def test_a_map_counts_what_directly_followed_what_and_after_how_long() -> None:
    found = await process_map(told(*ORDERS))
    assert (found.cases, found.events, found.ways) == (3, 8, 3)
    assert found.types == {"placed": 3, "paid": 2, "sent": 1, "refused": 1, "cancelled": 1}
    assert found.starts == {"placed": 3}
    assert found.ends == {"sent": 1, "refused": 1, "cancelled": 1}
    assert [(e.before, e.after, e.count, e.took.median, e.took.most) for e in found.edges] == [
        ("placed", "paid", 2, 20.0, 30.0),
        ("paid", "refused", 1, 1.0, 1.0),
        ("paid", "sent", 1, 100.0, 100.0),
        ("placed", "cancelled", 1, 1.0, 1.0),
    ]
    assert found.variants[0] == Variant(steps=("placed", "paid", "sent"), cases=1, example="o1")


async def test_the_map_of_a_store_is_what_sql_counts_in_its_file(tmp_path: Path) -> None:
    app = make()
    app.url = f"sqlite:///{tmp_path / 'shop.db'}"
    async with app:
        for n in range(12):
            await app.send(PlaceOrder(order_id=f"o{n}", sku=f"s{n % 3}", quantity=1))
            if n % 4 == 0:
                await app.send(CancelOrder(order_id=f"o{n}"))
        await app.settle()
        history = History(app.storage, app.storage, Registry(()))
        found = await process_map(happenings(history.stored(Selection())))
        by_order = await process_map(happenings(history.stored(Selection()), by="order_id"))
    counted = (
        "select before, type, count(*) from (select type, lag(type) over (partition by {} order by position) as before "
        "from events) where before is not null group by 1, 2"
    )
    with sqlite3.connect(tmp_path / "shop.db") as file:
        streams = file.execute(counted.format("stream")).fetchall()
        orders = file.execute(counted.format("data ->> '$.order_id'")).fetchall()
    file.close()
    assert {(e.before, e.after, e.count) for e in found.edges} == set(streams)
    assert {(e.before, e.after, e.count) for e in by_order.edges} == set(orders)
    assert sum(e.count for e in by_order.edges) > sum(count for _, _, count in streams) / 2 > 0


async def test_a_funnel_follows_each_key_in_order_and_says_who_stopped_where() -> None:
    found = await funnel(told(*ORDERS), ["placed", "paid", "sent"])
    assert [(s.type, s.reached, s.stopped, s.examples) for s in found.steps] == [
        ("placed", 3, 1, ["o3"]),
        ("paid", 2, 1, ["o2"]),
        ("sent", 1, 0, []),
    ]
    assert [(round(s.of_first, 3), round(s.of_previous, 3)) for s in found.steps] == [
        (1.0, 1.0),
        (0.667, 0.667),
        (0.333, 0.5),
    ]
    assert [s.took and s.took.median for s in found.steps] == [None, 20.0, 100.0]
    assert found.took is not None
    assert found.took.median == 110.0


async def test_a_funnel_counts_a_step_only_behind_the_one_before_and_only_in_time() -> None:
    wrong_way = (("a", "paid", 0), ("a", "placed", 1), ("b", "placed", 0), ("b", "paid", 3600))
    assert [s.reached for s in (await funnel(told(*wrong_way), ["placed", "paid"])).steps] == [2, 1]
    quick = await funnel(told(*wrong_way), ["placed", "paid"], within=timedelta(minutes=59))
    assert [s.reached for s in quick.steps] == [2, 0]
    twice = await funnel(told(("a", "x", 0), ("a", "x", 5)), ["x", "x"])
    assert [s.reached for s in twice.steps] == [1, 1]
    nobody = await funnel(told(), ["x", "y"])
    assert [(s.reached, s.of_first, s.of_previous) for s in nobody.steps] == [(0, 0.0, 0.0), (0, 0.0, 0.0)]
    with pytest.raises(InvalidMessage):
        await funnel(told(), ["x"])


async def test_cohorts_tell_who_came_back_and_when() -> None:
    day = 86400
    found = await cohorts(
        told(
            ("ada", "joined", 0),  # 30 January
            ("bob", "joined", day),  # 31 January
            ("eve", "bought", day),  # never joined
            ("ada", "bought", 2 * day),  # 1 February
            ("cyd", "joined", 3 * day),  # 2 February
            ("ada", "bought", 3 * day),
            ("bob", "bought", 40 * day),  # 11 March
        ),
        "joined",
        "bought",
    )
    assert [(c.begins, c.keys, c.again) for c in found] == [
        (date(2026, 1, 1), 2, [0, 1, 1]),
        (date(2026, 2, 1), 1, [0, 0]),
    ]
    weekly = await cohorts(told(("ada", "joined", 0), ("ada", "bought", 3 * day)), "joined", "bought", every="week")
    assert [(c.begins, c.again) for c in weekly] == [(date(2026, 1, 26), [0, 1])]  # a Monday


def test_a_spread_is_of_all_that_was_measured() -> None:
    found = spread_of([4.0, 1.0, 2.0, 3.0, 10.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert (found.count, found.median, found.p90, found.least, found.most, found.total) == (10, 5.5, 9.0, 1, 10, 55)
    assert buckets([0.005, 0.5, 0.2, 70.0]) == [
        (0.001, 0.01, 1),
        (0.01, 0.1, 0),
        (0.1, 1.0, 2),
        (1.0, 10.0, 0),
        (10.0, 60.0, 0),
        (60.0, 600.0, 1),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.0000042, "4 µs"), (0.0032, "3.2 ms"), (59, "59 s"), (5400, "1.5 h"), (1e6, "12 d"), (-2, "-2.0 s")],
)
def test_a_time_is_told_short(seconds: float, text: str) -> None:
    assert short_time(seconds) == text


async def test_a_map_is_drawn_with_counts_and_times_and_names_cannot_break_it() -> None:
    drawn = mermaid_of_map(await process_map(told(("a", 'x"]; y', 0), ("a", "z", 3))))
    assert drawn.splitlines() == [
        "flowchart LR",
        '  begin(("1"))',
        '  n0["x#quot;]#59; y<br/>1"]',
        '  n1["z<br/>1"]',
        '  begin -->|"1"| n0',
        '  n0 -->|"1 · 3.0 s"| n1',
        "  style n0 fill:#f5a04a,stroke:#b8691b,color:#1d1d1d",
        "  style n1 fill:#f5a04a,stroke:#b8691b,color:#1d1d1d",
        "  linkStyle 1 stroke-width:5.0px",
    ]


async def test_charts_hold_the_figures() -> None:
    bars = chart_of_funnel(await funnel(told(*ORDERS), ["placed", "paid", "sent"]))
    assert bars["yAxis"]["data"] == ["placed", "paid", "sent"]
    assert [bar["value"] for bar in bars["series"][0]["data"]] == [3, 2, 1]
    assert bars["series"][0]["data"][1]["label"]["formatter"] == "2  66.7%"
    times = chart_of_times([0.5, 0.6, 5])
    assert (times["xAxis"]["data"], times["series"][0]["data"]) == (["100 ms – 1.0 s", "1.0 s – 10 s"], [2, 1])
    heat = chart_of_cohorts(await cohorts(told(("a", "x", 0), ("b", "x", 0), ("a", "y", 1)), "x", "y"))
    assert heat["series"][0]["data"] == [[0, 0, 50.0]]


@pytest.mark.parametrize(
    ("columns", "rows", "kind"),
    [
        (["day", "n"], [["2026-01-01", 1], ["2026-01-02", 2]], "line"),
        (["sku", "n"], [["pen", 1], ["ink", None]], "bar"),
        (["x", "y"], [[1, 2], [2, 3]], "line"),
        (["sku"], [["pen"]], None),
        (["n"], [[1]], None),
        (["sku", "n"], [], None),
    ],
)
def test_an_answer_is_drawn_as_what_it_is(
    columns: Sequence[str], rows: Sequence[Sequence[object]], kind: str | None
) -> None:
    chart = chart_of_answer(columns, rows)
    assert (chart and chart["series"][0]["type"]) == kind
