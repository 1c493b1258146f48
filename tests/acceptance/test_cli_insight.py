"""`daicho sql` and `daicho insight` on a store that commands made."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daicho.cli import main

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('insight') / 'shop.db'}"
    for n in (1, 2, 3):
        told = f'{{"order_id":"o{n}","sku":"pen","quantity":{n}}}'
        call(url, "--app", "tests.cli_app:make", "send", "PlaceOrder", "--data", told, "--wait")
    call(url, "--app", "tests.cli_app:make", "send", "CancelOrder", "--set", "order_id=o2", "--wait")
    return url


def call(store: str, *args: str, exit_code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["--store", store, *args], input=stdin)
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result


def data(result: Result) -> Any:
    return json.loads(result.stdout)["data"]


def test_sql_answers_from_events_and_with_an_app_from_views(store: str) -> None:
    by_type = "select type, count(*) as n from events group by 1 order by 2 desc, 1"
    assert data(call(store, "sql", by_type, "-ojson")) == [
        {"type": "order.placed", "n": 3},
        {"type": "stock.reserved", "n": 3},
        {"type": "order.cancelled", "n": 1},
    ]
    answer = call(
        store, "--app", "tests.cli_app:make", "sql", "-", "-ocsv", stdin="select order_id, status from orders"
    )
    assert sorted(csv.reader(io.StringIO(answer.stdout)))[:3] == [
        ["o1", "placed"],
        ["o2", "cancelled"],
        ["o3", "placed"],
    ]


def test_sql_tells_what_there_is_and_takes_nothing_that_writes(store: str, tmp_path: Path) -> None:
    tables = data(call(store, "--app", "tests.cli_app:make", "sql", "--tables", "-ojson"))
    assert {"table": "orders", "column": "quantity", "type": "BIGINT"} in tables
    refused = call(store, "sql", "delete from events", "-ojson", exit_code=1)
    assert json.loads(refused.stderr)["error"]["code"] == "D875"
    assert data(call(store, "sql", "select count(*) as n from events", "-ojson")) == [{"n": 7}]
    cut = call(store, "sql", "select position from events order by 1", "--limit", "2")
    assert "the first 2 rows" in cut.stderr
    twice = data(call(store, "sql", "select 1 as a, 2 as a", "-ojson"))
    assert twice == [{"a": 1, "a_2": 2}]
    call(store, "sql", exit_code=2)


def test_the_map_of_a_field_leads_through_several_aggregates(store: str) -> None:
    found = data(call(store, "insight", "map", "--by", "order_id", "-ojson"))
    assert {(e["before"], e["after"], e["count"]) for e in found["edges"]} == {
        ("order.placed", "stock.reserved", 3),
        ("stock.reserved", "order.cancelled", 1),
    }
    assert call(store, "insight", "map", "--by", "order_id", "--mermaid").stdout.startswith("flowchart LR\n")
    ways = call(store, "insight", "map", "--by", "order_id", "--variants", "-ocsv").stdout
    assert "2,order.placed > stock.reserved,o1" in ways
    table = call(store, "insight", "map", "--category", "order").stdout
    assert "order.placed" in table
    assert "stock" not in table


def test_a_funnel_and_cohorts_from_the_command_line(store: str) -> None:
    steps = data(
        call(
            store,
            "insight",
            "funnel",
            "order.placed",
            "stock.reserved",
            "order.cancelled",
            "--by",
            "order_id",
            "-ojson",
        )
    )["steps"]
    assert [(step["type"], step["reached"]) for step in steps] == [
        ("order.placed", 3),
        ("stock.reserved", 3),
        ("order.cancelled", 1),
    ]
    assert "33.3%" in call(store, "insight", "funnel", "order.placed", "order.cancelled", "--within", "1h").stdout
    rows = data(call(store, "insight", "cohorts", "order.placed", "order.cancelled", "-ojson"))
    assert [(row["keys"], row["+0"]) for row in rows] == [(3, 1)]
    nothing = call(store, "insight", "funnel", "a", "b", "-ojson", exit_code=1)
    assert json.loads(nothing.stderr)["error"]["code"] == "D500"
