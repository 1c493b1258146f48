"""Readers of a register with many writers at once: no event is skipped, doubled or out of order.

Positions are drawn before they are committed, so they become visible out of order, and a reader who asks for
"everything behind the last one I saw" would miss what comes late. What stops this is `daicho.begin_append`: taken out,
the same test fails.
"""

import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from daicho.adapters.stores.postgres.lines import Line
from daicho.adapters.stores.postgres.location import parse_url
from daicho.adapters.stores.postgres.schema import migrate

ROOT = Path(__file__).parents[2]
READERS = 3
WITHOUT_REGISTRY = "create or replace function daicho.begin_append() returns void language sql as 'select'"


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.faults.register_worker", *map(str, arguments)], cwd=ROOT)


@contextmanager
def running(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def told(path: Path) -> list[tuple[int, str, int, str]]:
    """Whole lines only: a writer may be killed in the middle of one."""
    lines = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []
    return [(int(position), stream, int(version), id_) for position, stream, version, id_ in map(str.split, lines)]


async def prepare(url: str) -> None:
    line = Line(parse_url(url), prepare=False)
    await migrate(await line.ready(), parse_url(url))
    await line.hang_up()


def stress(url: str, folder: Path, *, writers: int, seconds: float, kill_every: float) -> None:
    """Writes and reads at full tilt, kills writers and starts new ones, then lets the readers finish."""
    stop, dice = folder / "stop", random.Random(7)
    readers = [start("read", url, folder / f"reader{n}", stop) for n in range(READERS)]
    ledgers = [folder / f"writer{n}" for n in range(writers)]
    working = [start("write", url, ledger, ledger.name) for ledger in ledgers]
    everybody = [*readers, *working]
    with running(everybody):
        wait_for(lambda: all(ledger.exists() for ledger in ledgers))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(kill_every, max(0.0, end - time.monotonic())))
            assert all(reader.poll() is None for reader in readers)
            n = dice.randrange(writers)
            assert working[n].poll() is None, "a writer gave up"
            if not ledgers[n].stat().st_size:
                continue  # not yet at work
            working[n].kill()
            working[n].wait()
            ledgers[n] = folder / f"writer{len(everybody)}"
            working[n] = start("write", url, ledgers[n], ledgers[n].name)
            everybody.append(working[n])
            wait_for(ledgers[n].exists)
        for process in working:
            process.kill()
            process.wait()
        stop.touch()
        for reader in readers:
            assert reader.wait(60) == 0


def everything(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select position, stream, version, event_id from daicho.events order by position"
        ).fetchall()


def audit(url: str, folder: Path) -> int:
    """Compares what the readers got and the writers were told with what is stored. Returns how many events."""
    stored = everything(url)
    for n in range(READERS):
        assert told(folder / f"reader{n}") == stored, f"reader {n} was not given what is stored"
    there = set(stored)
    for ledger in folder.glob("writer*"):
        missing = [line for line in told(ledger) if line not in there]
        assert not missing, "committed, and not there"
    versions = defaultdict(list)
    for _, stream, version, _ in stored:
        versions[stream].append(version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert len({id_ for _, _, _, id_ in stored}) == len(stored)
    return len(stored)


@pytest.mark.slow
async def test_no_reader_skips_an_event_while_writers_dawdle_roll_back_and_die(
    postgres_url: str, tmp_path: Path
) -> None:
    await prepare(postgres_url)
    stress(postgres_url, tmp_path, writers=4, seconds=4, kill_every=1)
    assert audit(postgres_url, tmp_path) > 500


@pytest.mark.slow
async def test_without_the_registry_of_writers_readers_do_skip(postgres_url: str, tmp_path: Path) -> None:
    await prepare(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(WITHOUT_REGISTRY)
    skipped = False
    for n in range(12):  # usually the first time
        folder = tmp_path / str(n)
        folder.mkdir()
        with psycopg.connect(postgres_url) as connection:
            connection.execute("alter table daicho.events disable trigger all")
            connection.execute("truncate daicho.events")
        stress(postgres_url, folder, writers=4, seconds=4, kill_every=1)
        skipped = any(told(folder / f"reader{n}") != everything(postgres_url) for n in range(READERS))
        if skipped:
            break
    assert skipped


@pytest.mark.campaign
async def test_sixteen_writers_for_five_minutes(postgres_url: str, tmp_path: Path) -> None:
    await prepare(postgres_url)
    seconds = float(os.environ.get("DAICHO_SKIP_SECONDS", "300"))
    stress(postgres_url, tmp_path, writers=16, seconds=seconds, kill_every=2)
    print(f"\n{audit(postgres_url, tmp_path)} events from 16 writers in {seconds:.0f} s, each reader got all of them")
