"""Every verb of the command line on a real store, and what it says when it cannot."""

import asyncio
import contextlib
import csv
import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daicho.adapters.clock import SystemClock
from daicho.cli import main
from daicho.core.stored import NewEvent
from daicho.ports.event_store import AppendRequest, Selection, StoredEvent, StreamWrite
from daicho.wiring.urls import open_storage

APP = "tests.cli_app:make"
Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name in ("DAICHO_APP", "DAICHO_STORE", "CLI_APP_MENDED"):
        monkeypatch.delenv(name, raising=False)
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def run(store: str) -> Run:
    """Runs a verb with the app and the store."""

    def go(*args: str, app: str = APP, exit_code: int = 0, stdin: bytes | str | None = None) -> Result:
        before = [*(["--app", app] if app else []), *(["--store", store] if store else [])]
        result = CliRunner().invoke(main, [*before, *args], input=stdin)
        assert result.exit_code == exit_code, f"{result.output}\n{result.exception!r}"
        return result

    return go


@pytest.fixture
def shop(run: Run) -> Run:
    """Two orders, everything handled; one refusal."""
    run("send", "PlaceOrder", "--data", '{"order_id":"o1","sku":"pen","quantity":2}', "--actor", "ada", "--wait")
    run("send", "PlaceOrder", "--set", "order_id=o2", "--set", "sku=ink", "--set", "quantity=1", "--wait")
    run("send", "CancelOrder", "--set", "order_id=o1", "--actor", "bob", "--wait")
    run("send", "PlaceOrder", "--set", "order_id=o1", "--set", "sku=x", "--set", "quantity=1", exit_code=1)
    return run


def data_of(result: Result) -> Any:
    answer = json.loads(result.stdout)
    assert answer["version"] == 1
    assert answer["status"] == "ok"
    return answer["data"]


def error_of(result: Result) -> dict[str, Any]:
    answer = json.loads(result.stderr)
    assert (answer["version"], answer["status"]) == (1, "error")
    assert set(answer["error"]) == {"code", "name", "what", "why", "do", "data"}
    return answer["error"]


# -- send and query ---------------------------------------------------------------------------------------------------


def test_a_receipt_tells_what_came_of_it(run: Run) -> None:
    receipt = data_of(
        run("send", "PlaceOrder", "--set", "order_id=o1", "--set", "sku=pen", "--set", "quantity=2", "-ojson")
    )
    assert (receipt["stream"], receipt["version"], receipt["duplicate"]) == ("order-o1", 1, False)
    assert receipt["events"][0]["type"] == "order.placed"
    assert receipt["events"][0]["data"]["price"] == "1.50"


def test_a_key_makes_sending_again_harmless(run: Run) -> None:
    order = (
        "send",
        "PlaceOrder",
        "--set",
        "order_id=o1",
        "--set",
        "sku=pen",
        "--set",
        "quantity=2",
        "--key",
        "k",
        "-o",
        "json",
    )
    assert data_of(run(*order))["duplicate"] is False
    assert data_of(run(*order))["duplicate"] is True


def test_data_from_standard_input_and_business_time(run: Run) -> None:
    data = '{"order_id":"o1","sku":"pen","quantity":2}'
    run("send", "PlaceOrder", "--data", "-", "--occurred-at", "2011-12-09T12:50+09:00", stdin=data)
    [event] = data_of(run("get", "events", "-o", "json"))
    assert event["occurred_at"] == "2011-12-09T03:50:00.000000+00:00"


def test_a_refusal_is_exit_code_1(shop: Run) -> None:
    again = ("send", "PlaceOrder", "--set", "order_id=o1", "--set", "sku=x", "--set", "quantity=1")
    result = shop(*again, exit_code=1)
    assert result.stderr.startswith("error D100: order already exists")
    assert result.stdout == ""
    told = error_of(shop(*again, "-o", "json", exit_code=1))
    assert (told["code"], told["name"], told["data"]) == ("D100", "Rejected", {"order_id": "o1"})


def test_a_version_that_is_gone_is_exit_code_4(shop: Run) -> None:
    result = shop("send", "CancelOrder", "--set", "order_id=o2", "--expected", "7", exit_code=4)
    assert "D201" in result.stderr
    shop("send", "CancelOrder", "--set", "order_id=o2", "--expected", "absent", exit_code=4)
    shop("send", "CancelOrder", "--set", "order_id=o2", "--expected", "1")
    assert "write a number" in shop("send", "CancelOrder", "--expected", "x", exit_code=2).stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("PlaceOrder", "--data", '{"order_id":"o","sku":"x","quantity":"3"}'), "$.quantity"),
        (("PlaceOrder", "--data", '{"order_id":"o","sku":"x","quantity":0}'), "$.quantity"),
        (("PlaceOrder", "--set", "quantity=-"), "quantity"),
        (("PlaceOrder", "--data", "{"), "not JSON"),
        (("PlaceOrdr",), "did you mean PlaceOrder"),
        (("FindOrders",), "daicho query FindOrders"),
    ],
)
def test_a_wrong_command_is_exit_code_2_and_says_what(run: Run, args: tuple[str, ...], says: str) -> None:
    assert says in run("send", *args, exit_code=2).stderr


def test_a_bug_in_the_app_is_told_without_a_traceback(run: Run) -> None:
    bug = ("send", "PlaceOrder", "--set", "order_id=o", "--set", "sku=bug", "--set", "quantity=1")
    result = run(*bug, exit_code=1)
    assert "ZeroDivisionError: a bug in the app" in result.stderr
    assert "Traceback" not in result.output
    assert "Traceback" in run(*bug, "--debug", exit_code=1).stderr


def test_a_posted_command_is_pending_until_somebody_runs_it(run: Run) -> None:
    order = (
        "send",
        "PlaceOrder",
        "--set",
        "order_id=o1",
        "--set",
        "sku=pen",
        "--set",
        "quantity=2",
        "--post",
        "-o",
        "json",
    )
    posted = data_of(run(*order))
    assert posted["state"] == "pending"
    assert data_of(run("get", "commands", "-o", "json"))[0]["state"] == "pending"
    run("query", "CountOrders", "--wait")
    assert data_of(run("describe", posted["command_id"], "-o", "json"))["state"] == "done"
    assert data_of(run(*[x.replace("o1", "o2") for x in order], "--wait"))["state"] == "done"
    assert "order already exists" in run(*order, "--wait", exit_code=1).stderr


def test_a_query_prints_rows_or_a_value(shop: Run) -> None:
    assert shop("query", "FindOrders", "--wait").stdout.splitlines() == [
        "order_id  sku  quantity  status",
        "o2        ink  1         placed",
    ]
    assert data_of(shop("query", "FindOrders", "--set", "status=cancelled", "-o", "json")) == [
        {"order_id": "o1", "sku": "pen", "quantity": 2, "status": "cancelled"}
    ]
    assert shop("query", "CountOrders").stdout == "2\n"
    assert data_of(shop("query", "CountOrders", "-o", "json")) == 2
    assert "an empty answer" in shop("query", "FindOrders", "--set", "status=lost").stderr
    assert "daicho send" in shop("query", "PlaceOrder", exit_code=2).stderr
    assert "did you mean FindOrders" in shop("query", "FindOrder", exit_code=2).stderr


def test_a_query_is_asked_of_the_past_by_position_or_time(shop: Run) -> None:
    placed = {"order_id": "o1", "sku": "pen", "quantity": 2, "status": "placed"}
    assert data_of(shop("query", "FindOrders", "--as-of", "1", "-o", "json")) == [placed]
    assert shop("query", "CountOrders", "--as-of", "0").stdout == "0\n"
    assert shop("query", "CountOrders", "--as-of", "2020-01-01").stdout == "0\n"
    assert shop("query", "CountOrders", "--as-of", "0s").stdout == "2\n"
    assert "the register ends at 5" in shop("query", "CountOrders", "--as-of", "6", exit_code=2).stderr
    assert "not both" in shop("query", "CountOrders", "--as-of", "1", "--wait", exit_code=2).stderr


def test_where_a_row_came_from_is_told_event_by_event(shop: Run, store: str) -> None:
    lines = [line.split(None, 3) for line in shop("lineage", "orders", "o1").stdout.splitlines()]
    assert lines[0][:3] == ["orders", "o1", "generation"]
    assert [(line[0], line[3]) for line in lines[2:]] == [
        ("1", 'order.placed     ada    order_id: "o1", sku: "pen", quantity: 2, status: "placed"'),
        ("5", 'order.cancelled  bob    status: "placed" -> "cancelled"'),
    ]
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        connection.execute("update orders__1 set quantity = 200 where _key = 'o1'")
    connection.close()
    told = shop("lineage", "orders", "o1", exit_code=1).stdout.splitlines()[-1]
    assert told == "the stored row differs from what these events make: quantity: 2 -> 200"
    found = data_of(shop("lineage", "orders", "o1", "-o", "json", exit_code=1))
    assert (found["differs"], found["row"]["quantity"], found["folded"]["quantity"]) == (["quantity"], 200, 2)
    assert [step["position"] for step in found["steps"]] == [1, 5]
    assert found["steps"][1]["changes"] == [{"field": "status", "before": "placed", "after": "cancelled"}]
    assert "never was one" in shop("lineage", "orders", "o9", exit_code=1).stderr
    assert "there is no view" in shop("lineage", "others", "o1", exit_code=2).stderr


def test_a_lineage_marks_what_is_parked(run: Run) -> None:
    run("send", "PlaceOrder", "--set", "order_id=o1", "--set", "sku=bomb", "--set", "quantity=1")
    run("query", "CountOrders", "--wait")
    [line] = run("lineage", "orders", "o1").stdout.splitlines()[2:]
    assert line.endswith("parked: RuntimeError: bombs cannot be shown")


def test_a_stale_answer_says_so(shop: Run) -> None:
    shop("send", "CancelOrder", "--set", "order_id=o2")
    assert "1 event behind" in shop("query", "CountOrders").stderr
    assert shop("query", "CountOrders", "--wait").stderr == ""


# -- get ------------------------------------------------------------------------------------------------------------


def test_lists_need_no_app(shop: Run) -> None:
    assert shop("get", "streams", app="").stdout.splitlines() == [
        "stream     version", "order-o1   2", "order-o2   1", "stock-ink  1", "stock-pen  1",
    ]  # fmt: skip
    assert data_of(shop("get", "streams", "--category", "stock", "-o", "json", app="")) == [
        {"stream": "stock-ink", "version": 1},
        {"stream": "stock-pen", "version": 1},
    ]
    types = {row["type"]: row["events"] for row in data_of(shop("get", "types", "-o", "json", app=""))}
    assert types == {"order.placed": 2, "order.cancelled": 1, "stock.reserved": 2}
    refused = data_of(shop("get", "commands", "--state", "rejected", "-o", "json", app=""))
    assert [row["reason"] for row in refused] == ["order already exists"]
    names = [row["processor"] for row in data_of(shop("get", "projections", "-o", "json", app=""))]
    assert names == ["projection:orders@1", "reaction:reserve_stock"]
    assert "nothing is parked" in shop("get", "deadletters", app="").stderr


@pytest.mark.parametrize(
    ("filters", "positions"),
    [
        ((), [1, 2, 3, 4, 5]),
        (("--category", "order"), [1, 3, 5]),
        (("--stream", "order-o1"), [1, 5]),
        (("--type", "order.*"), [1, 3, 5]),
        (("--type", "order.placed", "--type", "stock.reserved"), [1, 2, 3, 4]),
        (("--type", "*.placed", "--stream", "order-o2"), [3]),
        (("--actor", "ada"), [1, 2]),
        (("--after", "3"), [4, 5]),
        (("--newest", "--limit", "2"), [5, 4]),
        (("--since", "1h", "--limit", "1"), [1]),
        (("--until", "2001-01-01"), []),
        (("--limit", "0"), [1, 2, 3, 4, 5]),
    ],
)
def test_events_are_filtered(shop: Run, filters: tuple[str, ...], positions: list[int]) -> None:
    found = data_of(shop("get", "events", *filters, "-o", "json"))
    assert [event["position"] for event in found] == positions


def test_every_output_holds_the_same(shop: Run) -> None:
    told = data_of(shop("get", "events", "-o", "json"))
    lines = [json.loads(line) for line in shop("get", "events", "-o", "jsonl").stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(shop("get", "events", "-o", "csv").stdout)))
    assert told == lines
    assert [row["event_id"] for row in rows] == [event["event_id"] for event in told]
    assert json.loads(rows[0]["data"]) == told[0]["data"]
    table = shop("get", "events").stdout
    assert len(table.splitlines()) == 6
    assert max(map(len, table.splitlines())) > 100, "nothing is cut where no terminal is"


def test_a_cut_list_says_so(shop: Run) -> None:
    assert "--limit" in shop("get", "events", "--limit", "2").stderr
    assert json.loads(shop("get", "events", "--limit", "2", "-o", "json").stdout)["more"] is True
    assert "more" not in json.loads(shop("get", "events", "-o", "json").stdout)


def test_unknown_names_come_with_names_that_look_alike(shop: Run) -> None:
    for verb in (("get", "events", "--stream"), ("tail", "--stream"), ("show",), ("trace",)):
        result = shop(*verb, "ordr-o1", exit_code=1)
        assert "D500" in result.stderr
        assert "did you mean order-o1" in result.stderr


# -- one thing --------------------------------------------------------------------------------------------------------


def test_describe_a_stream(shop: Run) -> None:
    told = data_of(shop("describe", "order-o1", "-o", "json"))
    assert (told["version"], told["first_event"], told["last_event"]) == (2, "order.placed", "order.cancelled")
    assert told["who"] == ["ada", "bob"]
    assert told["state"] == {"status": "cancelled", "lines": [{"sku": "pen", "quantity": 2}]}
    assert "state" not in data_of(shop("describe", "order-o1", "-o", "json", app=""))
    assert "status  cancelled" in shop("describe", "order-o1").stdout


def test_describe_an_event_a_command_and_a_flow(shop: Run) -> None:
    event = data_of(shop("get", "events", "-o", "json"))[1]
    assert data_of(shop("describe", event["event_id"], "-o", "json"))["type"] == "stock.reserved"
    command = data_of(shop("describe", event["causation_id"], "-o", "json"))
    assert (command["name"], command["state"]) == ("Reserve", "done")
    assert [e["type"] for e in command["events"]] == ["stock.reserved"]
    [refused] = data_of(shop("get", "commands", "-o", "json"))
    assert data_of(shop("describe", refused["command_id"], "-o", "json"))["reason"] == "order already exists"
    shop("describe", "018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e11", exit_code=1)


def test_describe_messages_needs_no_store(run: Run) -> None:
    told = data_of(run("describe", "PlaceOrder", "-o", "json"))
    assert (told["kind"], told["handled_by"], told["may_record"]) == ("command", "Order", ["order.placed"])
    assert told["about"] == "Somebody wants something."
    assert told["routes"] == ["POST /orders"]
    run("send", "PlaceOrder", "--data", json.dumps(told["example"]))
    told = data_of(run("describe", "order.placed", "-o", "json"))
    assert (told["recorded_by"], told["projections"]) == (["PlaceOrder"], ["orders"])
    assert told["event_handlers"] == [{"handler": "reserve_stock", "sends": "Reserve"}]
    assert told["upcast_from"] == ["order.placed version 1"]
    assert data_of(run("describe", "OrderPlaced", "-o", "json")) == told, "by its class name as well"
    assert data_of(run("describe", "FindOrders", "-o", "json"))["kind"] == "query"


def test_describe_a_projection_an_event_handler_a_stored_type(shop: Run) -> None:
    told = data_of(shop("describe", "orders", "-o", "json"))
    assert told["events"] == ["order.cancelled", "order.placed"]
    assert told["projection:orders@1"]["live"] is True
    assert data_of(shop("describe", "reserve_stock", "-o", "json"))["sends"] == ["Reserve"]
    told = data_of(shop("describe", "order.placed", "-o", "json", app=""))
    assert told["versions"] == [{"schema_version": 2, "events": 2}]


def test_describe_suggests(shop: Run) -> None:
    for wrong, right in (("PlacOrder", "PlaceOrder"), ("order-o11", "order-o1"), ("ordrs", "orders")):
        assert right in shop("describe", wrong, exit_code=1).stderr
        assert wrong in error_of(shop("describe", wrong, "-o", "json", exit_code=1))["what"]


def test_show_now_then_and_the_difference(shop: Run) -> None:
    assert data_of(shop("show", "order-o1", "-o", "json"))["state"]["status"] == "cancelled"
    assert data_of(shop("show", "order-o1", "--at", "1", "-o", "json"))["state"]["status"] == "placed"
    assert data_of(shop("show", "order-o1", "--at", "2001-01-01", "-o", "json"))["state"]["status"] == "absent"
    assert "status  cancelled" in shop("show", "order-o1").stdout
    assert shop("show", "order-o1", "--diff", "1..").stdout.splitlines()[1:] == [
        '- status: "placed"',
        '+ status: "cancelled"',
    ]
    told = data_of(shop("show", "order-o1", "--diff", "0..1", "-o", "json"))
    assert {change["field"] for change in told["changes"]} == {
        "status", "lines", "lines[0].sku", "lines[0].quantity",
    }  # fmt: skip
    assert "no difference" in shop("show", "order-o1", "--diff", "2..2").stdout


def test_show_without_an_app_shows_events(shop: Run) -> None:
    result = shop("show", "order-o1", app="")
    assert "order.cancelled" in result.stdout
    assert "--app" in result.stderr
    assert len(data_of(shop("show", "order-o1", "--at", "1", "-o", "json", app=""))) == 1


def test_show_refuses_what_is_not_there(shop: Run) -> None:
    assert "has 2 versions, not 9" in shop("show", "order-o1", "--at", "9", exit_code=1).stderr
    shop("show", "order-o1", "--diff", "1", exit_code=2)
    shop("show", "order-o1", "--at", "later", exit_code=2)
    shop("show", "order-o1", "--at", "1", "--diff", "1..2", exit_code=2)
    shop("show", "order-o1", "--diff", "1..2", app="", exit_code=2)


def test_trace_is_a_tree_from_any_of_its_ids(shop: Run) -> None:
    lines = shop("trace", "order-o1").stdout.splitlines()
    assert [line.split("ms  ")[1] for line in lines[1:]] == [
        "PlaceOrder  by ada",
        "└─ order.placed  order-o1 v1 @1",
        "   └─ Reserve  (reserve_stock)",
        "      └─ stock.reserved  stock-pen v1 @2",
    ]
    told = data_of(shop("trace", "order-o1", "-o", "json"))
    inner = told["roots"][0]["children"][0]["children"][0]["children"][0]
    assert inner["name"] == "stock.reserved"
    assert shop("trace", inner["id"]).stdout == shop("trace", told["correlation_id"]).stdout
    assert shop("trace", "order-o1", "--mermaid").stdout.startswith("sequenceDiagram\n    actor a0 as ada\n")
    assert len(shop("trace", "order-o1", "-o", "jsonl").stdout.splitlines()) == 4
    assert '"sku":"pen"' in shop("trace", "order-o1", "--data", app="").stdout
    shop("trace", "018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e11", exit_code=1)


def test_trace_shows_what_was_refused_on_the_way(shop: Run) -> None:
    shop("send", "PlaceOrder", "--set", "order_id=o3", "--set", "sku=pen", "--set", "quantity=99", "--wait")
    assert "✗ Reserve" in shop("trace", "order-o3").stdout
    assert "rejected: only 100 in all" in shop("trace", "order-o3").stdout
    assert "--x" in shop("trace", "order-o3", "--mermaid").stdout


def test_tail_is_the_end(shop: Run) -> None:
    assert [e["position"] for e in data_of(shop("tail", "-n", "2", "-o", "json"))] == [4, 5]
    assert [e["position"] for e in data_of(shop("tail", "--type", "order.*", "-n", "2", "-o", "json"))] == [3, 5]
    assert data_of(shop("tail", "-n", "0", "-o", "json")) == []


# -- what the app makes of old and strange events ----------------------------------------------------------------------


def append(store: str, *events: NewEvent, stream: str = "order-old") -> None:
    async def go() -> None:
        storage = open_storage(store, SystemClock())
        await storage.open()
        [answer] = await storage.append([AppendRequest(writes=(StreamWrite(stream=stream, events=events),))])
        assert not isinstance(answer, Exception)
        await storage.close()

    asyncio.run(go())


def new_event(n: int, type_: str, version: int, data: bytes) -> NewEvent:
    identity = f"018f4c9e-7a34-7cc1-8f2e-{n:012d}"
    return NewEvent(
        event_id=identity,
        type=type_,
        schema_version=version,
        data=data,
        occurred_at="2011-12-09T12:50:00.000000+00:00",
        correlation_id=identity,
        causation_id=identity,
    )


def test_events_are_raw_without_an_app_and_upcast_with_one(run: Run, store: str) -> None:
    append(store, new_event(1, "order.placed", 1, b'{"order_id":"old","sku":"pen","quantity":1}'))
    assert "price" not in data_of(run("get", "events", "-o", "json", app=""))[0]["data"]
    assert data_of(run("get", "events", "-o", "json"))[0]["data"]["price"] == "0.00"


def test_what_the_app_cannot_read_is_shown_raw_and_found_by_the_doctor(run: Run, store: str) -> None:
    append(store, new_event(1, "order.sung", 3, b"\x81\xa1a\x01"))
    [event] = data_of(run("get", "events", "-o", "json"))
    assert event["data"] == {"a": 1}
    assert "unknown" in event["problem"]
    [row] = data_of(run("get", "types", "-o", "json"))
    assert (row["type"], row["readable"]) == ("order.sung", False)
    assert "D221" in run("show", "order-old", exit_code=3).stderr
    told = data_of(run("doctor", "-o", "json", exit_code=1))
    [problem] = [finding for finding in told["findings"] if finding["what"] == "event type"]
    assert "order.sung version 3" in problem["detail"]
    run("doctor", app="")


# -- projections, dead letters, doctor --------------------------------------------------------------------------------


def test_a_projection_is_rebuilt_and_switched(shop: Run) -> None:
    told = data_of(shop("projection", "rebuild", "orders", "-o", "json"))
    assert (told["switched"], told["generation"], told["events"]) == (True, 2, 3)
    found = [row for row in data_of(shop("projection", "list", "-o", "json")) if row["name"] == "orders"]
    assert [(row["processor"], row["live"], row["code"], row["events_behind"]) for row in found] == [
        ("projection:orders@1", False, "same", 0),
        ("projection:orders@2", True, "same", 0),
    ]
    assert shop("query", "CountOrders").stdout == "2\n"
    assert "D302" in shop("projection", "rebuild", "nothing", exit_code=2).stderr


def test_a_projection_is_deployed_compared_switched_and_rolled_back(shop: Run) -> None:
    told = data_of(shop("projection", "deploy", "orders", "--at-most", "100000", "-o", "json"))
    assert (told["switched"], told["generation"], told["events"]) == (False, 2, 3)
    told = data_of(shop("projection", "diff", "orders", "-o", "json"))
    assert (told["same"], told["equal"], told["live"], told["built"]) == (True, 2, 1, 2)
    told = data_of(shop("projection", "switch", "orders", "-o", "json"))
    assert (told["number"], told["live"], told["own"]) == (2, True, True)
    assert "D306" in shop("projection", "switch", "orders", exit_code=1).stderr
    assert "number" in shop("projection", "rollback", "orders").stdout
    assert "D306" in shop("projection", "rollback", "orders", exit_code=1).stderr
    assert shop("query", "CountOrders").stdout == "2\n"


def test_a_row_that_was_changed_by_hand_is_told_by_the_exit_code(shop: Run, store: str) -> None:
    assert data_of(shop("projection", "verify", "orders", "-o", "json"))["same"] is True
    with contextlib.closing(sqlite3.connect(store.removeprefix("sqlite:///").partition("?")[0])) as connection:
        connection.execute("delete from orders__1 where _key = 'o1'")
        connection.commit()
    told = data_of(shop("projection", "verify", "orders", "-o", "json", exit_code=1))
    assert (told["same"], told["added"], told["added_keys"]) == (False, 1, ["o1"])
    assert "added_keys" in shop("projection", "verify", "orders", exit_code=1).stdout


def test_looking_changes_nothing(shop: Run, store: str) -> None:
    """Also with an app whose parts the store has never seen."""
    path = store.removeprefix("sqlite:///").partition("?")[0]

    def contents() -> list[Any]:
        connection = sqlite3.connect(path)
        tables = ("daicho_checkpoints", "daicho_tables", "events", "daicho_commands")
        found: list[Any] = [connection.execute(f"select * from {table}").fetchall() for table in tables]
        connection.close()
        return found

    before = contents()
    looks = ("get events", "get projections", "get types", "tail", "describe order-o1", "trace order-o1", "doctor")
    for look in looks:
        for app in (APP, "", "examples.quickstart:shop"):
            CliRunner().invoke(main, ["--app", app, "--store", store, *look.split()])
    assert contents() == before


def bomb(run: Run) -> int:
    run("send", "PlaceOrder", "--set", "order_id=b1", "--set", "sku=bomb", "--set", "quantity=1", "--wait", exit_code=1)
    [letter] = data_of(run("dlq", "list", "-o", "json"))
    assert letter["error"] == "RuntimeError: bombs cannot be shown"
    return int(letter["number"])


def test_a_parked_event_is_shown_and_retried(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    number = str(bomb(run))
    run("send", "CancelOrder", "--set", "order_id=b1", "--wait", exit_code=1)
    told = data_of(run("dlq", "show", number, "-o", "json", app=""))
    assert "Traceback" in told["trace"]
    assert told["event"]["sku"] == "bomb"
    assert len(told["waiting_behind_it"]) == 1
    assert "bombs cannot be shown" in run("dlq", "show", number).stdout
    run("doctor", exit_code=1)
    run("dlq", "retry", number, exit_code=1)
    monkeypatch.setenv("CLI_APP_MENDED", "1")
    told = data_of(run("dlq", "retry", "--processor", "orders", "-o", "json"))
    assert [letter["state"] for letter in told] == ["retried", "retried"]
    run("doctor")
    assert data_of(run("query", "FindOrders", "--set", "status=cancelled", "-o", "json"))[0]["order_id"] == "b1"
    assert "nothing is parked" in run("dlq", "retry", "--all").stderr


def test_without_an_app_a_retry_is_only_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    number = str(bomb(run))
    assert data_of(run("dlq", "retry", number, "-o", "json", app=""))["asked"] == 1
    assert data_of(run("dlq", "list", "-o", "json"))[0]["state"] == "retry"


def test_skipping_asks_and_keeps_the_reason(run: Run) -> None:
    number = str(bomb(run))
    assert "Aborted" in run("dlq", "skip", number, "--reason", "a test", stdin="n\n", exit_code=1).stderr
    run("dlq", "skip", number, "--reason", " ", exit_code=2)
    run("dlq", "skip", number, exit_code=2)
    skipped = run("dlq", "skip", number, "--reason", "a test", "-o", "json", stdin="y\n")
    assert data_of(skipped) == {"skipped": int(number), "reason": "a test"}  # the question is not among it
    assert data_of(run("dlq", "list", "-o", "json")) == []
    assert data_of(run("dlq", "show", number, "-o", "json"))["reason"] == "a test"
    assert "D405" in run("dlq", "skip", number, "--reason", "again", "--yes", exit_code=1).stderr
    assert "D405" in run("dlq", "show", "77", exit_code=1).stderr
    run("dlq", "retry", exit_code=2)
    run("dlq", "retry", "1", "--all", exit_code=2)


def test_a_parked_event_can_be_tried_without_any_effect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    number = str(bomb(run))
    run("send", "CancelOrder", "--set", "order_id=b1", "--wait", exit_code=1)
    text = run("dlq", "try", number, exit_code=1).stdout
    assert "it raises RuntimeError: bombs cannot be shown" in text
    assert "it would stay parked" in text
    monkeypatch.setenv("CLI_APP_MENDED", "1")
    text = run("dlq", "try", number).stdout
    assert "row b1: new" in text
    assert "status: placed -> cancelled" in text
    assert "all of it would go through; nothing was changed" in text
    told = data_of(run("dlq", "try", number, "--only", "-o", "json"))
    assert [step["rows"][0]["before"] for step in told["steps"]] == [None]
    assert len(data_of(run("dlq", "list", "-o", "json"))) == 2
    assert data_of(run("query", "FindOrders", "-o", "json")) == []
    assert "D405" in run("dlq", "try", "77", exit_code=1).stderr


def test_letters_that_were_dealt_with_are_purged_and_others_never(run: Run) -> None:
    number = str(bomb(run))
    assert run("dlq", "purge", "--older-than", "0s", "--yes").stdout == "purged 0\n"
    run("dlq", "skip", number, "--reason", "a test", "--yes")
    assert run("dlq", "purge", "--older-than", "30d", "--yes").stdout == "purged 0\n"
    assert "Aborted" in run("dlq", "purge", "--older-than", "0s", stdin="n\n", exit_code=1).stderr
    assert run("dlq", "purge", "--older-than", "0s", "--yes").stdout == "purged 1\n"
    run("dlq", "purge", exit_code=2)
    run("dlq", "purge", "--older-than", "0s", "--state", "parked", exit_code=2)


def test_health_is_one_word_and_its_exit_code(shop: Run, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop("health").stdout == "ok\n"
    assert data_of(shop("health", "-o", "json")) == {"status": "ok", "problems": []}
    bomb(shop)
    for app in (APP, ""):
        told = data_of(shop("health", "-o", "json", app=app, exit_code=1))
        assert (told["status"], [problem["what"] for problem in told["problems"]]) == ("degraded", ["parked events"])
    text = shop("health", exit_code=1).stdout
    assert text.startswith("degraded\nparked events: 1 of projection:orders@1; the first: order.placed")
    Path(store.removeprefix("sqlite:///")).write_bytes(b"no database" * 1000)
    assert data_of(shop("health", "-o", "json", exit_code=2))["status"] == "down"
    Path(store.removeprefix("sqlite:///")).unlink()
    assert shop("health", exit_code=2).stdout.startswith("down\nstore: there is no store")


def test_health_and_doctor_agree_about_readers_that_are_late(shop: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shop("send", "CancelOrder", "--set", "order_id=o2")
    assert shop("health").stdout == "ok\n"
    text = shop("health", "--late", "0", exit_code=1).stdout
    assert "projection:orders@1: stopped at position 5, 1 event," in text
    assert "do: start the app" in text


def test_the_doctor_is_content(shop: Run) -> None:
    assert data_of(shop("doctor", "-o", "json"))["problems"] == 0
    assert "all 3 in the store can be read by the app" in shop("doctor").stdout


def test_the_doctor_finds_readers_that_nobody_runs(shop: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shop("send", "CancelOrder", "--set", "order_id=o2")
    shop("doctor")
    monkeypatch.setattr("daicho.cli.doctor._LATE", 0.0)
    text = shop("doctor", exit_code=1).stdout
    assert "PROBLEM  projection:orders@1: stopped at position 5, 1 event," in text
    assert "do: start the app" in text


def test_code_that_changed_since_the_rows_were_built_is_found(shop: Run, store: str) -> None:
    path = store.removeprefix("sqlite:///")
    connection = sqlite3.connect(path)
    connection.execute("update daicho_checkpoints set fold = 'another' where processor = 'projection:orders@1'")
    connection.commit()
    connection.close()
    assert data_of(shop("projection", "list", "-o", "json"))[0]["code"] == "changed"
    assert "do: daicho projection rebuild orders" in shop("doctor", exit_code=1).stdout
    shop("projection", "rebuild", "orders")
    shop("doctor")


# -- keep and move -----------------------------------------------------------------------------------------------------


def events_in(store: str) -> list[StoredEvent]:
    async def go() -> list[StoredEvent]:
        storage = open_storage(store, SystemClock())
        await storage.open()
        found = await storage.read(Selection(), limit=100_000)
        await storage.close()
        return found

    return asyncio.run(go())


def alike(events: list[StoredEvent]) -> list[tuple[Any, ...]]:
    names = [name for name in StoredEvent.__struct_fields__ if name != "recorded_at"]
    return [tuple(getattr(event, name) for name in names) for event in events]


@pytest.mark.parametrize("form", ["jsonl", "cloudevents"])
@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_exported_and_imported_a_history_is_the_same(
    shop: Run, store: str, tmp_path: Path, form: str, name: str
) -> None:
    append(store, *[new_event(n, "odd.one", 1, bytes([0x81, 0xA1, 0x61, n])) for n in range(1, 4)], stream="odd-1")
    append(store, new_event(9, "odd.two", 2, '{"a": 1.0, "ö": "\\u00e9"}'.encode()), stream="odd-2")
    shop("export", name, "--format", form)
    other = f"sqlite:///{tmp_path / 'other.db'}?durability=relaxed"
    for new in (9, 0):  # the second time, nothing is new
        result = CliRunner().invoke(main, ["--store", other, "import", name])
        assert result.exit_code == 0, result.output
        assert f"imported {new} event" in result.stderr
        assert alike(events_in(other)) == alike(events_in(store))
    assert [p.name for p in tmp_path.glob("*.partial")] == []


def test_an_import_goes_on_where_one_ended(run: Run, store: str, tmp_path: Path) -> None:
    for n in range(6):
        append(store, new_event(n, "odd.one", 1, b"{}"), stream=f"odd-{n // 4}")
    lines = run("export", "-", app="").stdout_bytes.splitlines(keepends=True)
    other = f"sqlite:///{tmp_path / 'other.db'}?durability=relaxed"
    for part, new in ((lines[:2], 2), (lines[:3], 1), (lines, 3)):
        result = CliRunner().invoke(main, ["--store", other, "import", "-"], input=b"".join(part))
        assert f"imported {new} event" in result.stderr, result.output
    assert alike(events_in(other)) == alike(events_in(store))


def test_an_import_that_does_not_fit_is_refused(shop: Run, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}?durability=relaxed"
    tail = shop("export", "-", "--after", "1", "--stream", "order-o1").stdout
    result = CliRunner().invoke(main, ["--store", other, "import", "-"], input=tail)
    assert result.exit_code == 4
    assert "order-o1 is at version 0" in result.stderr
    result = CliRunner().invoke(main, ["--store", other, "import", "-"], input='{"a": 1}\n')
    assert result.exit_code == 2
    assert "line 1 is not an exported event" in result.stderr
    gap = shop("export", "-").stdout.splitlines()
    broken = gap[0].replace('"version":1', '"version":3')
    result = CliRunner().invoke(main, ["--store", other, "import", "-"], input=f"{gap[0]}\n{broken}\n")
    assert result.exit_code == 2
    assert "not consecutive" in result.stderr
    assert CliRunner().invoke(main, ["import", "-"], input="").exit_code == 2
    assert CliRunner().invoke(main, ["--store", other, "import", "no.jsonl"]).exit_code == 1
    shop("export", "short.gz")
    whole = Path("short.gz").read_bytes()
    Path("short.gz").write_bytes(whole[: len(whole) // 2])
    result = CliRunner().invoke(main, ["--store", other, "import", "short.gz"])
    assert "cut short or damaged" in result.stderr


def test_an_export_never_overwrites_unless_told(shop: Run) -> None:
    shop("export", "a.jsonl", "--type", "order.*")
    assert len(Path("a.jsonl").read_text().splitlines()) == 3
    assert "--force" in shop("export", "a.jsonl", exit_code=2).stderr
    shop("export", "a.jsonl", "--force", app="")
    assert len(Path("a.jsonl").read_text().splitlines()) == 5


def test_a_backup_is_a_store(shop: Run, store: str, tmp_path: Path) -> None:
    shop("backup", "copy.db", app="")
    assert alike(events_in(f"sqlite:///{tmp_path / 'copy.db'}")) == alike(events_in(store))
    assert "exists" in shop("backup", "copy.db", exit_code=3).stderr


def test_what_comes_and_goes_is_told_to_programs_too(shop: Run, tmp_path: Path) -> None:
    told = data_of(shop("export", "all.jsonl", "-o", "json"))
    assert (told["file"], told["events"]) == ("all.jsonl", 5)
    other = f"sqlite:///{tmp_path / 'other.db'}?durability=relaxed"
    for new, old in ((5, 0), (0, 5)):
        told = data_of(CliRunner().invoke(main, ["--store", other, "import", "all.jsonl", "-o", "json"]))
        assert (told["imported"], told["there_already"]) == (new, old)
    told = data_of(shop("backup", "copy.db", "-o", "json"))
    assert (told["file"], told["bytes"]) == ("copy.db", Path("copy.db").stat().st_size)
    at = f"sqlite:///{tmp_path / 'again.db'}"
    for kept in (None, str(tmp_path / "again.db.before-restore")):
        told = data_of(CliRunner().invoke(main, ["--store", at, "restore", "copy.db", "--force", "-o", "json"]))
        assert told == {"store": str(tmp_path / "again.db"), "head": "position 5", "kept": kept}
    assert "name a FILE" in shop("export", "-", "-o", "json", exit_code=2).stderr  # events go there


# -- settings and what is wrong with them ------------------------------------------------------------------------------


def test_config_says_where_each_setting_came_from(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("daicho.toml").write_text('app = "tests.cli_app:app"\nstore = "sqlite:///file.db"\n')
    monkeypatch.setenv("DAICHO_STORE", store)
    told = data_of(CliRunner().invoke(main, ["config", "--origin", "-o", "json"]))
    told = [each for each in told if not each["origin"].startswith("environment: unknown")]
    assert told[:2] == [
        {"setting": "app", "value": "tests.cli_app:app", "origin": "file (daicho.toml)"},
        {"setting": "store", "value": store, "origin": "environment (DAICHO_STORE)"},
    ]
    assert {each["origin"] for each in told[2:]} == {"not set"}, "those of `daicho run`"
    assert "not set" not in CliRunner().invoke(main, ["config"]).stdout
    secret = CliRunner().invoke(main, ["config", "--store", "postgresql://ada:secret@host/shop"]).stdout
    assert "postgresql://ada:***@host/shop" in secret
    result = CliRunner().invoke(main, ["config", "--origin", "--store", "sqlite:///x.db"])
    assert "command line (--store)" in result.stdout, "a global option may also stand behind the verb"


def test_every_verb_refuses_a_setting_that_there_is_not(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("daicho.toml").write_text(f'stor = "{store}"\n')
    for verb in (["get", "streams"], ["key", "list"], ["init", "new"], ["up", "--topology", "1:1"], ["run"]):
        result = CliRunner().invoke(main, verb)
        assert (result.exit_code, "did you mean `store`?" in result.stderr) == (2, True), f"{verb}: {result.output}"
    monkeypatch.setenv("DAICHO_STORR", "postgresql://ada:secret@host/shop")
    shown = CliRunner().invoke(main, ["config", "--origin"])
    assert "daicho.toml: unknown: did you mean store?" in shown.stdout
    assert "environment: unknown: did you mean DAICHO_STORE?" in shown.stdout
    assert "ada" not in shown.output, "what nobody knows may hold a password"
    assert "DAICHO_STORR (environment) is unknown" in CliRunner().invoke(main, ["config"]).stderr
    assert CliRunner().invoke(main, ["explain", "D130"]).exit_code == 0


def test_doctor_names_variables_that_are_nearly_settings(shop: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAICHO_SERVICE_HOST", "10.0.0.1")
    assert "DAICHO_SERVICE_HOST is set, and no setting" in shop("doctor").stdout
    monkeypatch.setenv("DAICHO_VEIWS", "x")
    assert "did you mean DAICHO_VIEWS?" in shop("doctor", exit_code=1).stdout


def test_an_app_object_works_as_well_as_a_function(run: Run) -> None:
    run("describe", "PlaceOrder", app="tests.cli_app:app")
    run("describe", "PlaceOrder", app="tests.cli_app")


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("", "no app was named"),
        ("no_such_module:app", "there is no module 'no_such_module'"),
        ("tests.cli_app:nothing", "it has the Apps app"),
        ("tests.cli_app:not_an_app", "is a int, not an App"),
        ("tests.cli_app:with_price.function", "cannot be called without arguments"),
        ("broken:app", "ValueError: on import"),
    ],
)
def test_a_wrong_app_is_exit_code_2(run: Run, app: str, says: str) -> None:
    Path("broken.py").write_text("raise ValueError('on import')\n")
    assert says in run("send", "PlaceOrder", app=app, exit_code=2).stderr


def test_a_wrong_store_is_told(tmp_path: Path, store: str) -> None:
    def fails(url: str, code: int, says: str) -> None:
        result = CliRunner().invoke(main, ["get", "streams", "--store", url])
        assert result.exit_code == code, result.output
        assert says in result.stderr
        assert "Traceback" not in result.output

    fails("nonsense", 2, "D131")
    fails("mysql://x", 2, "D131")
    fails("memory:", 2, "cannot be looked at")
    fails("sqlite:///no/folder/x.db", 2, "mkdir")
    fails(f"sqlite:///{tmp_path / 'typo.db'}", 3, "there is no store")
    assert not (tmp_path / "typo.db").exists(), "a look never creates a store"
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("create table theirs (x)")
    connection.close()
    fails(f"sqlite:///{foreign}", 3, "belongs to another program")
    (tmp_path / "text.db").write_text("this is no database, but long enough to look like one" * 10)
    fails(f"sqlite:///{tmp_path / 'text.db'}", 3, "error D20")
    assert "no store was named" in CliRunner().invoke(main, ["get", "streams"]).stderr


def test_wrong_usage_is_exit_code_2_also_in_json(run: Run) -> None:
    assert "did you mean events" in run("get", "evnts", exit_code=2).stderr
    assert "did you mean describe" in run("descibe", exit_code=2).stderr
    told = error_of(run("get", "events", "--nonsense", "-o", "json", exit_code=2))
    assert "--nonsense" in told["what"]
    run("get", "events", "-o", "xml", exit_code=2)
    run("get", "events", "--limit", "-1", exit_code=2)


def test_version(run: Run) -> None:
    assert run("--version").stdout.startswith("daicho 0.")


# -- processor ----------------------------------------------------------------------------------------------------


def standing(run: Run, name: str) -> dict[str, Any]:
    [found] = [each for each in data_of(run("processor", "list", "-o", "json")) if each["name"] == name]
    return found


def test_a_processor_that_is_paused_from_outside_stays_where_it_is(shop: Run) -> None:
    before = standing(shop, "orders")["position"]
    assert "paused orders" in shop("processor", "pause", "orders").stdout
    shop("send", "PlaceOrder", "--set", "order_id=o9", "--set", "sku=x", "--set", "quantity=1")
    assert (standing(shop, "orders")["state"], standing(shop, "orders")["position"]) == ("paused", before)
    assert data_of(shop("processor", "resume", "orders", "-o", "json")) == {"resumed": "orders"}
    shop("send", "PlaceOrder", "--set", "order_id=o10", "--set", "sku=x", "--set", "quantity=1", "--wait")
    assert standing(shop, "orders")["position"] > before + 1
    assert "no processor 'nobody'" in shop("processor", "pause", "nobody", exit_code=1).stderr


def test_a_projection_is_not_rewound(shop: Run) -> None:
    refused = shop("processor", "rewind", "orders", "--to", "0", "--yes", exit_code=2)
    assert "projection rebuild orders" in refused.stderr
