"""`daicho adopt` and `daicho eject`: coming from other systems, and going."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daicho.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    for name in ("DAICHO_APP", "DAICHO_STORE"):
        monkeypatch.delenv(name, raising=False)

    def go(*args: str, app: str = "tests.cli_app:make", exit_code: int = 0) -> Result:
        before = [*(["--app", app] if app else []), "--store", f"sqlite:///{tmp_path}/shop.db"]
        result = CliRunner().invoke(main, [*before, *args])
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result

    return go


def rows_of(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(sql).fetchall()


def events(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("get", "events", "-o", "json").stdout)["data"]
    return found


# -- eject ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(run: Run) -> Run:
    """Two orders, the second cancelled."""
    for order, sku in (("o1", "pen'x"), ("o2", "墨")):
        run("send", "PlaceOrder", "--set", f"order_id={order}", "--set", f"sku={sku}", "--set", "quantity=2", "--wait")
    run("send", "CancelOrder", "--set", "order_id=o2", "--wait")
    return run


EXPECTED = {
    'select count(*), max(position) from "events"': [(5, 5)],
    'select "order_id", "sku", "quantity" from "event_order_placed" order by "position"': [
        ("o1", "pen'x", 2),
        ("o2", "墨", 2),
    ],
    'select "stream", "version" from "event_order_cancelled"': [("order-o2", 2)],
    'select "order_id", "status" from "orders" order by "order_id"': [("o1", "placed"), ("o2", "cancelled")],
    'select "stream", "version" from "state_order" order by "stream"': [("order-o1", 1), ("order-o2", 2)],
}


def test_everything_is_there_as_plain_tables(shop: Run, tmp_path: Path) -> None:
    told = shop("eject", "out.db")
    assert "up to position 5, compared with the store" in told.stderr
    assert {sql: rows_of(tmp_path / "out.db", sql) for sql in EXPECTED} == EXPECTED
    [(state,)] = rows_of(tmp_path / "out.db", "select state from state_order where stream = 'order-o2'")
    assert json.loads(state)["status"] == "cancelled"
    assert "--force" in shop("eject", "out.db", exit_code=2).stderr
    shop("eject", "out.db", "--force")
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out.db"]


def test_the_register_alone_needs_no_app(shop: Run, tmp_path: Path) -> None:
    assert [row["table"] for row in json.loads(shop("eject", "out.db", "-o", "json", app="").stdout)["data"]] == [
        "events"
    ]
    [(data,)] = rows_of(tmp_path / "out.db", "select data from events where position = 1")
    assert json.loads(data)["price"] == "1.50"


def test_sql_is_loaded_by_sqlite(shop: Run, tmp_path: Path) -> None:
    shop("eject", "out.sql")
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript((tmp_path / "out.sql").read_text())
        assert {sql: database.execute(sql).fetchall() for sql in EXPECTED} == EXPECTED


def test_sql_is_loaded_by_postgresql(shop: Run, tmp_path: Path, postgres_url: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    shop("eject", "out.sql")
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute((tmp_path / "out.sql").read_text())
        assert {sql: database.execute(sql).fetchall() for sql in EXPECTED} == EXPECTED
        assert str(database.execute('select sum("price") from "event_order_placed"').fetchone()[0]) == "3.00"


def test_what_differs_from_the_store_gets_no_name(shop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def another(*_: object) -> str:
        return "another"

    monkeypatch.setattr("daicho.leaving.ejecting._Writer.digest", another)
    assert "what was written is not what was read" in shop("eject", "out.db", exit_code=3).stderr
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_a_view_that_nobody_has_run_is_empty_and_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order_id,sku,quantity,price\nc-1,pen,3,1.50\n")
    run("adopt", "orders.csv", "orders", "--event", "order.placed")
    assert "orders had not come so far" in run("eject", "out.db").stderr
    assert rows_of(tmp_path / "out.db", 'select count(*) from "orders"') == [(0,)]


# -- adopt ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> str:
    """Orders of another system."""
    with closing(sqlite3.connect(tmp_path / "old.db")) as database:
        database.execute("create table bestellung (nr text primary key, artikel text, menge int, preis text, am text)")
        database.execute("insert into bestellung values ('a-1', 'pen', 3, '1.50', '2020-01-02 03:04:05')")
        database.execute("insert into bestellung values ('a-2', 'ink', 4, '2', '2020-01-03T00:00:00+09:00')")
        database.execute("create table orders (order_id text primary key, sku text, quantity int, price text)")
        database.commit()
    return f"sqlite:///{tmp_path}/old.db"


MAPPED = ("--set", "order_id=nr", "--set", "sku=artikel", "--set", "quantity=menge", "--set", "price=preis")


def test_rows_become_events_with_their_times_once(run: Run, old: str) -> None:
    adopt = ("adopt", old, "bestellung", "--event", "order.placed", *MAPPED, "--at", "am")
    assert "2 rows can be adopted; nothing was appended" in run(*adopt, "--dry-run").stderr
    assert "2 new, 0 were there already" in run(*adopt).stderr
    assert "0 new, 2 were there already" in run(*adopt).stderr
    first, second = events(run)
    assert (first["stream"], first["occurred_at"][:19]) == ("order-a-1", "2020-01-02T03:04:05")
    assert (second["stream"], second["occurred_at"][:19]) == ("order-a-2", "2020-01-02T15:00:00")
    assert second["data"] == {"order_id": "a-2", "sku": "ink", "quantity": 4, "price": "2", "ship_to": None}
    run("send", "CancelOrder", "--set", "order_id=a-1", "--wait")  # an aggregate like any other
    assert "0 new, 2 were there already" in run(*adopt).stderr


def test_a_stream_that_begins_otherwise_is_left_alone_and_named(run: Run, old: str) -> None:
    run("send", "PlaceOrder", "--set", "order_id=a-1", "--set", "sku=own", "--set", "quantity=1")
    done = run("adopt", old, "bestellung", "--event", "order.placed", *MAPPED, exit_code=4)
    assert "1 new, 0 were there already" in done.stderr
    assert "1 left out, whose streams begin with something else: order-a-1" in done.stderr
    assert [event["data"]["sku"] for event in events(run)] == ["own", "ink"]


def test_without_a_table_it_is_told_what_could_become_what(run: Run, old: str) -> None:
    found = json.loads(run("adopt", old, "-o", "json").stdout)["data"]
    assert [(each["table"], each["rows"], each["key"]) for each in found] == [
        ("bestellung", 2, "nr"),
        ("orders", 0, "order_id"),
    ]
    assert [each["events"][:1] for each in found] == [[], ["order.placed"]]


def test_a_csv_file_is_a_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order_id,sku,quantity,price\nc-1,pen,3,1.50\n", encoding="utf-8-sig")
    run("adopt", "orders.csv", "orders", "--event", "order.placed")
    assert events(run)[0]["data"]["quantity"] == 3


def test_rows_of_postgresql_are_adopted(run: Run, postgres_url: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute(
            "create table orders (order_id text primary key, sku text, quantity int, price numeric, at timestamptz)"
        )
        database.execute("insert into orders values ('p-1', 'pen', 3, 1.50, '2020-01-02T03:04:05Z')")
    run("adopt", postgres_url, "orders", "--event", "order.placed", "--at", "at")
    [event] = events(run)
    assert (event["data"]["price"], event["occurred_at"][:19]) == ("1.50", "2020-01-02T03:04:05")


@pytest.mark.parametrize(
    ("args", "told", "code"),
    [
        (("nothing.db",), "is no place that rows can be taken from", 2),
        (("sqlite:///nothing.db",), "there is no database", 3),
        (("{old}", "kunden", "--event", "order.placed"), "name one of bestellung, orders", 1),
        (("{old}", "bestellung"), "--event says what each row becomes", 2),
        (("{old}", "bestellung", "--event", "order.moved"), "order.cancelled, order.placed, stock.reserved", 1),
        (("{old}", "bestellung", "--event", "order.placed"), "no column of bestellung is called 'order_id'", 2),
        (("{old}", "bestellung", "--event", "order.placed", *MAPPED, "--key", "am"), "are named by 'nr'", 2),
        (
            ("{old}", "bestellung", "--event", "order.placed", *MAPPED, "--set", "quantity=artikel"),
            "no order.placed",
            2,
        ),
        (("{old}", "bestellung", "--event", "order.placed", *MAPPED, "--at", "preis"), "Invalid isoformat", 2),
    ],
)
def test_what_cannot_be_adopted_says_why_and_changes_nothing(
    run: Run, old: str, args: tuple[str, ...], told: str, code: int
) -> None:
    assert told in run("adopt", *(each.format(old=old) for each in args), exit_code=code).stderr
    run("send", "PlaceOrder", "--set", "order_id=own", "--set", "sku=own", "--set", "quantity=1")
    assert [event["stream"] for event in events(run)] == ["order-own"]


def test_a_question_to_a_view_that_nobody_has_run_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order_id,sku,quantity,price\nc-1,pen,3,1.50\n")
    run("adopt", "orders.csv", "orders", "--event", "order.placed")
    for verb in (("query", "FindOrders"), ("sql", "select * from orders")):
        told = run(*verb, exit_code=1).stderr
        assert "the view 'orders' has not been begun" in told
        assert "daicho run" in told
    run("send", "CancelOrder", "--set", "order_id=c-1", "--wait")
    assert json.loads(run("query", "FindOrders", "--set", "status=cancelled", "-o", "json").stdout)["data"]
