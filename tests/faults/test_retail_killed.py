"""The whole retail file, killed at twenty random moments: what is left at the end is exact."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import psycopg
import pytest

ROOT = Path(__file__).parents[2]
KILLS = 20
ROUNDS = 10
EXPECTED = 25_900 + 541_909
"""One command a document and one a line, each of which records one event."""


@pytest.mark.campaign
@pytest.mark.retail
def test_the_whole_file_killed_twenty_times_gives_the_same_figures_and_no_event_twice(tmp_path: Path) -> None:
    given = os.environ.get("DAICHO_RETAIL")
    if not given:
        pytest.skip("DAICHO_RETAIL is not set to the Online Retail file")
    file, database = Path(given), tmp_path / "shop.db"
    command = [sys.executable, "-m", "examples.shop", "retail", str(file), "--db", str(database), "--json"]
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    print(f"\nseed {seed}")
    killed = 0
    while killed < KILLS:
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 5))
        assert run.poll() is None, f"it ended by itself after {killed} kills: {run.returncode}"
        run.send_signal(signal.SIGKILL)
        run.wait()
        killed += 1
        print(f"killed {killed} times, {_events(database):,} events so far", flush=True)
    last = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert json.loads(last.stdout) == json.loads((file.parent / "oracle.json").read_text())
    connection = apsw.Connection(str(database))
    [found] = connection.execute("select count(*), count(distinct event_id), max(position) from events").fetchall()
    assert found == (EXPECTED, EXPECTED, EXPECTED)
    connection.close()


def _events(database: Path) -> int:
    if not database.exists():
        return 0
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("select coalesce(max(position), 0) from events").fetchone()[0])
    except apsw.SQLError:  # killed before the tables were made
        return 0
    finally:
        connection.close()


@pytest.mark.campaign
@pytest.mark.retail
def test_four_processes_on_one_server_killed_again_and_again_give_the_same_figures_and_no_event_twice(
    postgres_url: str,
) -> None:
    """Each time one of them at first, so that others take over what it had begun; then all of them."""
    given = os.environ.get("DAICHO_RETAIL")
    if not given:
        pytest.skip("DAICHO_RETAIL is not set to the Online Retail file")
    file = Path(given)
    command = [sys.executable, "-m", "examples.shop", "retail", str(file), "--db", postgres_url, "--json"]
    command += ["--processes", "4"]
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    print(f"\nseed {seed}")
    for _ in range(ROUNDS):
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(3, 9))
        shares = _children(run.pid)
        assert len(shares) == 4, f"it ended by itself: {run.poll()}"
        first = chance.choice(shares)
        os.kill(first, signal.SIGKILL)
        time.sleep(chance.uniform(0, 3))
        assert run.poll() is None, f"it ended by itself: {run.returncode}"
        run.send_signal(signal.SIGKILL)
        for share in shares:
            if share != first:
                os.kill(share, signal.SIGKILL)
        run.wait()
        with psycopg.connect(postgres_url) as connection:
            print(f"killed, {connection.execute('select count(*) from daicho.events').fetchone()} events", flush=True)
    last = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert json.loads(last.stdout) == json.loads((file.parent / "oracle.json").read_text())
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("select count(*), count(distinct event_id) from daicho.events").fetchone()
    assert found == (EXPECTED, EXPECTED)


def _children(parent: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True)
    return [int(number) for number in found.stdout.split()]
