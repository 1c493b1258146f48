"""`daicho process` on a real store."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daicho import App
from daicho.cli import main
from daicho.testing import VirtualClock
from examples.fulfilment import PlacePurchase, ReceivePayment, StockShelf, parts

Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name in ("DAICHO_APP", "DAICHO_STORE"):
        monkeypatch.delenv(name, raising=False)
    url = f"sqlite:///{tmp_path / 'shop.db'}"

    async def play() -> None:
        clock = VirtualClock()
        async with App(*parts, store=url, clock=clock) as app:
            await app.send(StockShelf(sku="pen", quantity=10))
            for n in range(3):
                await app.send(PlacePurchase(order_id=f"o-{n}", sku="pen", quantity=1, cents=5))
            await app.send(ReceivePayment(order_id="o-0", cents=5))
            await app.send(ReceivePayment(order_id="early", cents=5))
            await app.settle()

    asyncio.run(play())
    return url


@pytest.fixture
def run(store: str) -> Run:
    def go(*args: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--app", "examples.fulfilment:app", "--store", store, "process", *args])
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result

    return go


def data_of(result: Result) -> Any:
    return json.loads(result.stdout)["data"]


def settle(store: str) -> None:
    async def play() -> None:
        clock = VirtualClock(seed=1)
        async with App(*parts, store=store, clock=clock) as app:
            await clock.advance(timedelta(seconds=1))
            await app.settle()

    asyncio.run(play())


def test_list_counts_instances_and_names_them(run: Run) -> None:
    [counts] = data_of(run("list", "-o", "json"))
    assert counts == {
        "process": "fulfilment", "waiting": 1, "running": 2, "compensating": 0, "compensated": 0, "done": 1, "stuck": 0,
    }  # fmt: skip
    lines = data_of(run("list", "fulfilment", "--status", "running", "-o", "json"))
    assert {line["key"] for line in lines} == {"o-1", "o-2"}
    assert run("list").stdout.splitlines()[0].split() == [*counts]
    assert len(run("list", "fulfilment", "--limit", "2", "-o", "jsonl").stdout.splitlines()) == 2
    assert "no process manager 'order'" in run("list", "order", exit_code=1).output


def test_show_tells_the_whole_story(run: Run) -> None:
    story = data_of(run("show", "fulfilment", "o-1", "-o", "json"))
    assert [move["trigger"] for move in story["timeline"]] == ["start", "done", "event", "done"]
    assert story["deadlines"] == {"payment": "2026-01-01T00:00:30Z"}
    assert [(task["command"], task["state"]) for task in story["commands"]] == [
        ("ReserveItems", "done"),
        ("RequestPayment", "done"),
    ]
    assert story["awaited"] == ["the deadline 'payment' at 2026-01-01T00:00:30.000000+00:00"]
    table = run("show", "fulfilment", "o-1").stdout
    assert "purchase.placed" in table
    assert "ReserveItems" in table
    assert "no instance 'o-9'" in run("show", "fulfilment", "o-9", exit_code=1).output


def test_stuck_is_what_has_not_moved(run: Run) -> None:
    lines = data_of(run("stuck", "--older", "1h", "-o", "json", exit_code=1))
    assert {line["key"] for line in lines} == {"o-1", "o-2", "early"}
    run("stuck", "--older", "5000w")


def test_compensate_is_done_by_who_runs_the_app(run: Run, store: str) -> None:
    assert run("compensate", "fulfilment", "o-1", "--reason", "called", "--yes").stdout == "fulfilment o-1 goes back\n"
    assert "already" in run("compensate", "fulfilment", "o-1", "--reason", "called", "--yes").stdout
    settle(store)
    story = data_of(run("show", "fulfilment", "o-1", "-o", "json"))
    assert (story["status"], story["commands"][-1]["command"]) == ("compensated", "ReleaseItems")
    refused = run("compensate", "fulfilment", "o-0", "--reason", "x", "--yes", exit_code=1)
    assert "fulfilment-o-0 would compensate after its pivot" in refused.output


def test_nudge_says_whether_there_was_anything_to_do(run: Run) -> None:
    assert run("nudge", "fulfilment", "o-0").stdout == "fulfilment o-0 waits for nothing that could be nudged\n"
    assert run("nudge", "fulfilment", "o-1").stdout == "nudged fulfilment o-1\n"  # its deadline is long past
    told = data_of(run("nudge", "fulfilment", "o-0", "-o", "json"))
    assert told == {"process": "fulfilment", "key": "o-0", "nudged": False}
