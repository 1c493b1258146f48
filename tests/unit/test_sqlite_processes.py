"""Several processes on one SQLite file, and processes that are killed while they write."""

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daicho.adapters.owner import HERE
from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.core.errors import UnsafeSqlite
from daicho.ports.checkpoint_store import Advance
from daicho.ports.event_store import Appended, Selection
from daicho.testing.contracts.base import append, fresh_id, request

pytestmark = pytest.mark.slow
SPAWN = multiprocessing.get_context("spawn")


def now() -> datetime:
    return datetime.now(UTC)


async def write_many(path: str, name: str, count: int) -> list[int]:
    """Appends to streams of its own and to a shared one, from four tasks at once."""
    store = SqliteStorage(f"sqlite:///{path}", now=now)
    await store.open()
    positions: list[int] = []

    async def work(n: int) -> None:
        for k in range(count):
            answers = await append(store, request(f"{name}-{n}", "own", expected=k), request("shared-1", "any"))
            positions.extend(position for answer in answers for position in answer.positions)

    await asyncio.gather(*(work(n) for n in range(4)))
    await store.close()
    return positions


def writer_process(path: str, name: str, count: int, start: Any, results: Any) -> None:
    start.wait()
    results.put(asyncio.run(write_many(path, name, count)))


async def read_all(path: Path) -> list[tuple[int, str, int, str]]:
    store = SqliteStorage(f"sqlite:///{path}", now=now)
    await store.open()
    events = await store.read(Selection(), limit=1_000_000)
    await store.close()
    return [(event.position, event.stream, event.version, event.event_id) for event in events]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_that_create_and_fill_one_file_lose_nothing(tmp_path: Path, processes: int) -> None:
    path, count = tmp_path / "app.db", 25
    start, results = SPAWN.Barrier(processes), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=writer_process, args=(str(path), f"p{n}", count, start, results)) for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    acknowledged = [position for _ in workers for position in results.get(timeout=60)]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    total = processes * 4 * count * 2
    assert sorted(acknowledged) == list(range(1, total + 1))
    events = asyncio.run(read_all(path))
    assert [position for position, *_ in events] == list(range(1, total + 1))
    versions: dict[str, list[int]] = {}
    for _, stream, version, _ in events:
        versions.setdefault(stream, []).append(version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert len(versions["shared-1"]) == total // 2


_APPEND_FOR_EVER = """
import asyncio, sys
from datetime import UTC, datetime
from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.testing.contracts.base import append, event, request

async def main():
    store = SqliteStorage(sys.argv[1], now=lambda: datetime.now(UTC))
    await store.open()
    async def work(n):
        while True:
            events = [event("a"), event("b")]
            await append(store, request(f"order-{n}", *events))
            print(*(each.event_id for each in events), flush=True)
    await asyncio.gather(*(work(n) for n in range(8)))

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    acknowledged: set[str] = set()
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _APPEND_FOR_EVER, f"sqlite:///{path}"], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(100):
            acknowledged.update(child.stdout.readline().split())
        child.send_signal(signal.SIGKILL)
        acknowledged.update(*(line.split() for line in child.stdout if line.endswith("\n")))
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    events = asyncio.run(read_all(path))
    assert acknowledged <= {event_id for *_, event_id in events}
    assert [position for position, *_ in events] == list(range(1, len(events) + 1))
    assert len(events) % 2 == 0  # both events of a request, or neither
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()


_HOLD = """
import asyncio, sys
from datetime import UTC, datetime
from daicho.adapters.stores.sqlite import SqliteStorage

async def main():
    store = SqliteStorage(sys.argv[1], now=lambda: datetime.now(UTC))
    await store.open()
    await store.register("projection:x", position=0)
    await store.claim("projection:x", sys.argv[2])
    print("open", flush=True)
    sys.stdin.readline()
    await store.close()

asyncio.run(main())
"""


def hold(path: Path, options: str, owner: str = "somewhere:1:1:aa") -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, f"sqlite:///{path}?{options}", owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


async def open_and_close(path: Path, options: str) -> None:
    store = SqliteStorage(f"sqlite:///{path}?{options}", now=now)
    await store.open()
    await store.close()


@pytest.mark.skipif(sqlite3.sqlite_version_info >= (3, 51, 3), reason="the standard library's SQLite is sound here")
def test_an_affected_library_is_kept_apart_from_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    child = hold(path, "driver=apsw")
    with pytest.raises(UnsafeSqlite, match="of this process"):
        asyncio.run(open_and_close(path, "driver=sqlite3"))
    child.communicate("\n")
    child = hold(path, "driver=sqlite3")
    with pytest.raises(UnsafeSqlite, match="the process that has it open"):
        asyncio.run(open_and_close(path, "driver=apsw"))
    child.communicate("\n")
    child = hold(path, "driver=sqlite3&allow_affected_sqlite=true")
    asyncio.run(open_and_close(path, "driver=sqlite3&allow_affected_sqlite=true"))
    child.communicate("\n")


def test_another_process_wakes_a_waiter(tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    async def scenario() -> None:
        store = SqliteStorage(f"sqlite:///{path}", now=now)
        await store.open()
        start, results = SPAWN.Event(), SPAWN.Queue()
        worker = SPAWN.Process(target=writer_process, args=(str(path), "p", 5, start, results))
        worker.start()
        start.set()
        head = 0
        async with asyncio.timeout(30):
            while head < 40:
                head = await store.wait(head)
        await asyncio.to_thread(worker.join)
        assert head == 40
        await store.close()

    asyncio.run(scenario())


def test_a_killed_owner_is_succeeded_at_once(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    child = hold(path, "", owner=f"{HERE}:{os.getpid()}:0:aa")

    async def scenario() -> None:
        store = SqliteStorage(f"sqlite:///{path}", now=now)
        await store.open()
        assert await store.claim("projection:x", f"{HERE}:{os.getpid()}:0:bb") is None
        dead = f"{HERE}:{child.pid}:0:cc"
        await store.rewind("projection:x", 0)
        assert await store.claim("projection:x", dead) is not None
        child.kill()
        await asyncio.to_thread(child.communicate)
        claimed = await store.claim("projection:x", "somewhere:1:1:dd")
        assert claimed is not None
        await store.advance(Advance(processor="projection:x", token=claimed.token, old=0, new=1))
        await store.close()

    asyncio.run(scenario())


def test_an_append_that_is_retried_elsewhere_is_not_doubled(tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    async def scenario() -> None:
        asked = request(f"order-{fresh_id()}", "a", "b", expected=0)
        found: list[Appended] = []
        for _ in range(3):
            store = SqliteStorage(f"sqlite:///{path}", now=now)
            await store.open()
            found += await append(store, asked)
            await store.close()
        assert [answer.duplicate for answer in found] == [False, True, True]
        assert {answer.positions for answer in found} == {(1, 2)}

    asyncio.run(scenario())
