"""The command line as a process: exit codes, pipes, terminals, signals, and another process beside it."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner

from daicho.cli import main
from daicho.read.projections import Projections
from daicho.read.rebuild import RebuildStep

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from daicho.cli import main; main(prog_name='daicho')"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a daicho.toml that names the app; the store is its default one, in the folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("DAICHO_APP", "DAICHO_STORE", "CLI_APP_MENDED", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "daicho.toml").write_text('app = "tests.cli_app:make"\n')
    return tmp_path


def daicho_(*args: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=200, check=False, **more)


def order(n: int) -> None:
    fields = ("--set", f"order_id=o{n}", "--set", "sku=pen", "--set", "quantity=1", "--actor", "ada")
    result = CliRunner().invoke(main, ["send", "PlaceOrder", *fields])
    assert result.exit_code == 0, result.output


def test_exit_codes_and_streams(here: Path) -> None:
    done = daicho_(
        "send", "PlaceOrder", "--data", "-", "-o", "json", input='{"order_id":"o1","sku":"pen","quantity":1}'
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["data"]["stream"] == "order-o1"
    refused = daicho_("send", "PlaceOrder", "--data", '{"order_id":"o1","sku":"pen","quantity":1}', "-o", "json")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert json.loads(refused.stderr)["error"]["code"] == "D100"
    assert daicho_("get", "nothing").returncode == 2
    assert daicho_("get", "streams", "--store", "sqlite:///none.db").returncode == 3
    assert daicho_("send", "CancelOrder", "--set", "order_id=o1", "--expected", "9").returncode == 4


def test_help_imports_neither_the_database_nor_rich(here: Path) -> None:
    code = (
        "import sys\nfrom daicho.cli import main\n"
        "try: main(['--help'], prog_name='daicho')\nexcept SystemExit: pass\n"
        "print(sorted({'rich', 'apsw', 'sqlite3', 'daicho.cli.get'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert "Usage: daicho" in done.stdout
    assert done.stderr == "[]\n"


def test_plain_lines_when_nobody_looks_and_nothing_is_cut(here: Path) -> None:
    order(1)
    done = daicho_("get", "events", env={**os.environ, "COLUMNS": "40"})
    assert len(done.stdout.splitlines()) == 2
    assert '"order_id":"o1"' in done.stdout
    assert "\x1b" not in done.stdout


def test_on_a_terminal_ids_are_whole_and_colours_obey(here: Path) -> None:
    order(1)

    def look(*args: str, **env: str) -> str:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*COMMAND, *args], stdout=theirs, stderr=theirs, stdin=theirs, env={**os.environ, "COLUMNS": "60", **env}
        )
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # Linux: the other side is closed
            pass
        os.close(ours)
        assert process.wait(60) == 0
        return shown.decode()

    told = json.loads(look("get", "events", "-o", "json"))
    event = told["data"][0]["event_id"]
    for columns in ("60", "100", "200"):
        table = look("get", "events", COLUMNS=columns)
        assert "order-o1" in table
        assert "…" not in table
    assert event in look("trace", "order-o1", "-o", "json")
    assert "\x1b[33m" in look("trace", "order-o1")
    assert "\x1b[" not in look("trace", "order-o1", NO_COLOR="1")
    assert "switched" in look("projection", "rebuild", "orders")


def test_a_reader_that_goes_away_is_no_accident(here: Path) -> None:
    order(1)
    lines = daicho_("export", "-").stdout
    assert lines.count("\n") == 1
    with subprocess.Popen(
        [*COMMAND, "tail", "-f", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert json.loads(tail.stdout.readline())["position"] == 1
        tail.stdout.close()
        order(2)
        assert tail.wait(60) in (0, 1)
        assert tail.stderr.read() == b""


@contextmanager
def follow(*args: str) -> Iterator["subprocess.Popen[str]"]:
    """It ends with the test, also if that fails."""
    with subprocess.Popen(
        [*COMMAND, "tail", "-f", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as tail:
        try:
            yield tail
        finally:
            tail.kill()


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_tail_follows_what_another_process_writes_and_ctrl_c_ends_it_well(here: Path) -> None:
    order(1)
    with follow("-o", "json", "--type", "order.*") as tail:
        assert json.loads(line_of(tail.stdout))["stream"] == "order-o1"
        for n in (2, 3):
            order(n)
            assert json.loads(line_of(tail.stdout))["stream"] == f"order-o{n}"
        tail.send_signal(signal.SIGINT)
        out, err = tail.communicate(timeout=60)
        assert (tail.returncode, out, err) == (0, "", "")


def test_tail_for_people_is_one_line_an_event(here: Path) -> None:
    order(1)
    with follow("-n", "1") as tail:
        assert "order-o1 v1  order.placed by ada" in line_of(tail.stdout)
        tail.send_signal(signal.SIGINT)
        tail.communicate(timeout=60)


def test_an_interrupted_rebuild_says_how_to_go_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order(1)

    async def rebuild(_: Projections, name: str, *, at_most: float | None) -> AsyncIterator[RebuildStep]:
        yield RebuildStep(position=5, head=10, events=5, generation=2)
        raise KeyboardInterrupt

    monkeypatch.setattr(Projections, "rebuild", rebuild)
    result = CliRunner().invoke(main, ["projection", "rebuild", "orders"])
    assert result.exit_code == 130
    assert "interrupted at position 5 of 10" in result.stderr
    assert "`daicho projection rebuild orders` goes on from there" in result.stderr


def test_the_module_of_the_app_is_found_in_the_folder(here: Path) -> None:
    (here / "mine.py").write_text("from tests.cli_app import make\nboth = make()\n")
    assert daicho_("--app", "mine:both", "describe", "PlaceOrder").returncode == 0
    wrong = daicho_("--app", "mine:all", "describe", "PlaceOrder")
    assert wrong.returncode == 2
    assert "it has the Apps both" in wrong.stderr


def test_completion_knows_the_verbs(here: Path) -> None:
    env = {**os.environ, "_DAICHO_COMPLETE": "bash_complete", "COMP_WORDS": "daicho dl", "COMP_CWORD": "1"}
    assert "plain,dlq" in daicho_(env=env).stdout
