"""The verbs of the first hour, and those around the store: init, check, dev, top, shell, restore."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import httpx
import pytest
from click.testing import CliRunner, Result

from daicho import App
from daicho.cli import main
from tests.cli_app import PlaceOrder, make

Run = Callable[..., Result]
APP = "tests.cli_app:make"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    for name in ("DAICHO_APP", "DAICHO_STORE"):
        monkeypatch.delenv(name, raising=False)

    def go(*args: str, exit_code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, [*args], input=stdin)
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result

    return go


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one order, which nobody has open."""
    path = tmp_path / "shop.db"
    app = make()
    app.url = f"sqlite:///{path}"
    with app.sync() as shop:
        shop.settled(shop.send(PlaceOrder(order_id="o-1", sku="pen", quantity=1)))
    return path


# -- init -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_init_writes_runs_and_its_tests_pass(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", "shop")
    monkeypatch.chdir(tmp_path / "shop")
    monkeypatch.delitem(sys.modules, "app", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "shop"), *sys.path])
    assert "0 problems" in run("check").stdout
    run("send", "ReserveSeat", "--set", "seat=1A", "--set", "name=Ada", "--wait")
    asked = run("query", "FindSeats", "--set", "name=Ada", "-o", "json").stdout
    assert json.loads(asked)["data"] == [{"seat": "1A", "name": "Ada"}]
    del sys.modules["app"]
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    tested = subprocess.run(tests, env=plain, capture_output=True, text=True, timeout=200, check=False)
    assert "2 passed" in tested.stdout


def test_init_replaces_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text("mine")
    assert "test_app.py exists" in run("init", exit_code=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["test_app.py"]


# -- check ------------------------------------------------------------------------------------------------------------


def test_a_sound_app_is_told_what_it_is_made_of(run: Run, tmp_path: Path) -> None:
    told = run("--app", APP, "check").stdout
    assert "2 aggregates, 3 commands, 3 events, 1 event handler, 1 projection, 2 queries" in told
    assert "0 problems" in told
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_is_a_problem_and_a_released_event_too(run: Run, tmp_path: Path) -> None:
    told = run("--app", APP, "--store", "mysql://host/db", "check", "-o", "json", exit_code=1).stdout
    assert [found["what"] for found in json.loads(told)["data"]["findings"] if not found["ok"]] == ["store"]
    (tmp_path / "events.lock.json").write_text('{"daicho": 1, "events": {"order.lost": {"1": {"schema": {}}}}}')
    assert (
        "order.lost version 1: was released, and this app cannot read it"
        in run("--app", APP, "check", exit_code=1).stdout
    )


PARCELS = """
from collections.abc import Iterator
from daicho import App, Command, Decider, Event

class Update(Command):
    order_id: str

class Updated(Event, name="order.updated"):
    order_id: str
    data: str

def decide(command: Update, state: int) -> Iterator[Updated]:
    yield Updated(order_id=command.order_id, data="x")

def evolve(state: int, event: Updated) -> int:
    return state + 1

order = Decider("order", initial=0, decide=decide, evolve=evolve, identify=lambda command: command.order_id)
app = App(order, store="memory:")
"""


def test_an_event_that_is_a_parcel_is_told_of_and_is_no_problem(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parcels.py").write_text(PARCELS)
    monkeypatch.syspath_prepend(tmp_path)
    told = run("--app", "parcels:app", "check").stdout
    assert "event order.updated: nothing says what is in data" in told
    assert "0 problems" in told


def test_an_app_that_cannot_be_built_is_exit_code_2(run: Run) -> None:
    assert "not an App" in run("--app", "tests.cli_app:not_an_app", "check", exit_code=2).stderr


# -- top and shell ----------------------------------------------------------------------------------------------------


def test_top_tells_who_is_behind_and_how_fast(run: Run, store: Path) -> None:
    looks = run("--store", f"sqlite:///{store}", "top", "-n", "2", "--every", "0.1", "-o", "json").stdout.splitlines()
    first, second = map(json.loads, looks)
    assert first["head"] == 2
    assert (first["events_per_second"], second["events_per_second"]) == (None, 0.0)
    assert {each["name"] for each in second["processors"]} == {"orders", "reserve_stock"}
    assert "head 2" in run("--store", f"sqlite:///{store}", "top", "--once").stdout


def test_a_shell_has_the_running_app_and_its_words(run: Run, store: Path) -> None:
    at = ("--app", APP, "--store", f"sqlite:///{store}", "shell")
    assert run(*at, "-c", "app.load(Order, 'o-1').status").stdout == "'placed'\n"
    run(
        *at,
        stdin="receipt = app.send(CancelOrder(order_id='o-1'))\nassert receipt.version == 2\napp.settled(receipt)\n",
    )
    assert "cancelled" in run(*at, "-c", "app.ask(FindOrders(status='cancelled'))").stdout
    assert "ZeroDivisionError" in run(*at, "-c", "1/0", exit_code=1).stderr


# -- restore ----------------------------------------------------------------------------------------------------------


def test_a_backup_takes_the_place_of_the_store_which_is_kept(run: Run, store: Path, tmp_path: Path) -> None:
    at = ("--store", f"sqlite:///{store}")
    run(*at, "backup", "copy.db")
    run("--app", APP, *at, "send", "CancelOrder", "--set", "order_id=o-1")
    assert "--force" in run(*at, "restore", "copy.db", exit_code=2).stderr
    assert "position 2, verified" in run(*at, "restore", "copy.db", "--force").stderr
    assert [row["version"] for row in json.loads(run(*at, "get", "streams", "-o", "json").stdout)["data"]] == [1, 1]
    kept = run("--store", f"sqlite:///{tmp_path}/shop.db.before-restore", "get", "streams", "-o", "json").stdout
    assert [row["version"] for row in json.loads(kept)["data"]] == [2, 1]
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_a_store_in_use_is_not_replaced(run: Run, store: Path) -> None:
    run("--store", f"sqlite:///{store}", "backup", "copy.db")
    app: App = make()
    app.url = f"sqlite:///{store}"
    with app.sync() as shop:
        told = run("--store", f"sqlite:///{store}", "restore", "copy.db", "--force", exit_code=3).stderr
        assert "open in another process" in told
        assert shop.send(PlaceOrder(order_id="o-2", sku="ink", quantity=1)).version == 1


def emptied(copy: Path) -> None:
    copy.write_bytes(b"")


def cut_short(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:20_000])


def removed(copy: Path) -> None:
    copy.unlink()


def open_elsewhere(copy: Path) -> None:
    Path(f"{copy}-wal").touch()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (emptied, "is empty"),
        (cut_short, "is damaged"),
        (removed, "there is no backup"),
        (open_elsewhere, "is in use, or was not closed"),
    ],
)
def test_what_is_no_whole_backup_changes_nothing(
    run: Run, store: Path, tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    at = ("--store", f"sqlite:///{store}")
    run(*at, "backup", "copy.db")
    damage(tmp_path / "copy.db")
    before = store.read_bytes()
    assert told in run(*at, "restore", "copy.db", "--force", exit_code=3).stderr
    assert store.read_bytes() == before


def test_restore_makes_a_store_where_there_is_none(run: Run, store: Path, tmp_path: Path) -> None:
    run("--store", f"sqlite:///{store}", "backup", "copy.db")
    run("--store", f"sqlite:///{tmp_path}/new.db", "restore", "copy.db")
    assert "pen" in run("--store", f"sqlite:///{tmp_path}/new.db", "get", "events").stdout
    assert "only a SQLite store" in run("--store", "postgresql://host/db", "restore", "copy.db", exit_code=2).stderr


# -- dev --------------------------------------------------------------------------------------------------------------


class Developing:
    """`daicho dev` in a folder, as long as the block."""

    def __init__(self, folder: Path) -> None:
        words = (sys.executable, "-m", "daicho.cli", "dev", "--port", "0", "--console", "off")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAICHO_")}
        self.code = folder / "app.py"
        self.process = subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        self._watchdog = threading.Timer(200, self.process.kill)

    def __enter__(self) -> Self:
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def until(self, pattern: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"it ended before it said {pattern}")

    def until_end(self) -> None:
        """Of all that write where it writes."""
        with contextlib.suppress(AssertionError):
            self.until("(nothing more)")

    def change(self, old: str, new: str) -> None:
        self.code.write_text(self.code.read_text().replace(old, new))


@pytest.mark.slow
def test_dev_serves_what_the_code_has_become(run: Run, tmp_path: Path) -> None:
    run("init", "shop")
    shutil.rmtree(tmp_path / "shop" / "__pycache__", ignore_errors=True)
    with Developing(tmp_path / "shop") as dev, httpx.Client(trust_env=False, timeout=200) as client:
        url = dev.until(r"serves on (\S+)")
        assert client.post(f"{url}/seats", json={"seat": "1A", "name": "Ada"}).status_code == 201
        dev.change("class Seat(", "class Seat(()")
        dev.until("(waiting for a change)")
        dev.change("class Seat(()", "class Seat(")
        dev.until("(app.py: begun anew)")
        url = dev.until(r"serves on (\S+)")
        assert client.get(f"{url}/seats?name=Ada").json() == [{"seat": "1A", "name": "Ada"}]
        dev.process.send_signal(signal.SIGINT)
        dev.until_end()
        assert dev.process.wait(30) == 0


@pytest.mark.slow
def test_what_dev_serves_ends_with_it_however_it_ends(run: Run, tmp_path: Path) -> None:
    run("init", "shop")
    with Developing(tmp_path / "shop") as dev:
        url = dev.until(r"serves on (\S+)")
        dev.process.kill()
        dev.until_end()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/seats", trust_env=False)
