"""Kept states under fire: several processes, one of them killed, moved to events and back meanwhile; answers lost."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from daicho import App
from daicho.wiring.urls import open_storage
from daicho.write.keeping import Keeping
from daicho.write.repository import Repository
from tests.faults.state_worker import Count, Counted, counter
from tests.services.postgres_proxy import PostgresProxy

ROOT = Path(__file__).parents[2]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def grown(ledger: Path, by: int) -> None:
    """Waits until so much more was done, by whoever lives."""
    wanted, deadline = len(lines(ledger)) + by, time.monotonic() + 90
    while len(lines(ledger)) < wanted:
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def move(url: str, to: Literal["events", "state"], code: Literal["events", "state"]) -> None:
    """With code of either kind, as `daicho move` does: it starts nothing."""
    app = App(counter(code), store=url)
    storage = open_storage(url, app.clock)
    await storage.open()
    try:
        repository = Repository(storage, storage, app.registry, storage)
        keeping = Keeping(storage, repository, app.model.categories, app.registry, app.clock)
        async for _ in keeping.move(app.model.categories["counter"], to):
            pass
    finally:
        await storage.close()


async def audited(url: str, ledger: Path) -> None:
    """Every key that was told done stands once, and each state says what the events of its stream say."""
    part = counter("state")
    async with App(part, store=url) as app:
        keys: list[str] = []
        by_stream: dict[str, list[str]] = {}
        async for record in app.events():
            if isinstance(record.event, Counted):
                keys.append(record.event.key)
                by_stream.setdefault(record.stream, []).append(record.event.key)
        assert [key for key, count in Counter(keys).items() if count > 1] == []
        assert set(lines(ledger)) <= set(keys)
        told = {f"counter-{kept.identity}": kept.state async for kept in app.states(part)}
        assert {stream: (state.count, state.last) for stream, state in told.items()} == {
            stream: (len(found), found[-1]) for stream, found in by_stream.items()
        }
        for stream in by_stream:
            versions = [record.version async for record in app.events(stream=stream)]
            assert versions == list(range(1, len(versions) + 1))


def begun(url: str, ledger: Path, enough: Path, count: int) -> list[subprocess.Popen[bytes]]:
    arguments = [sys.executable, "-m", "tests.faults.state_worker", url, str(ledger)]
    return [subprocess.Popen([*arguments, f"p{n}", str(enough)], cwd=ROOT) for n in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_states_are_moved_there_and_back_under_the_traffic_of_processes_of_which_one_is_killed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    ledger, enough = tmp_path / "ledger", tmp_path / "enough"
    workers = begun(url, ledger, enough, 2)
    try:
        await grown(ledger, 24)
        await move(url, "events", "state")
        await grown(ledger, 12)
        workers[0].kill()
        workers[0].wait()
        await move(url, "state", "events")
        await grown(ledger, 12)
        enough.touch()
        assert await asyncio.to_thread(workers[1].wait, 90) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    await audited(url, ledger)


async def test_a_state_whose_acknowledgement_is_lost_was_kept_once_with_its_event(postgres_url: str) -> None:
    part = counter("state")
    with PostgresProxy(int(postgres_url.rpartition(":")[2].partition("/")[0])) as proxy:
        async with App(part, store=proxy.through(postgres_url)) as app:
            await app.send(Count(counter="a", key="1"))
            trap = proxy.cut_after_commit_before_ack(b".append_states")
            receipt = await app.send(Count(counter="a", key="2"))
            assert trap.sprung
            assert receipt.version == 2
            [row] = await app.storage.states("counter")
            assert (row.version, row.data) == (2, b'{"count":2,"last":"2"}')
            trap = proxy.cut_before(b".append_states")
            await app.send(Count(counter="a", key="3"))
            assert trap.sprung
            assert (await app.load(part, "a")).count == 3  # type: ignore[attr-defined]
            assert [record.version async for record in app.events()] == [1, 2, 3]


async def test_a_state_written_within_the_callers_transaction_stands_with_it_or_not_at_all(postgres_url: str) -> None:
    part = counter("state")
    async with App(part, store=postgres_url) as app:
        await app.send(Count(counter="a", key="1"))
        async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
            for key in ("2", "3"):
                await app.send(Count(counter="a", key=key), within=connection)
            assert [row.version for row in await app.storage.states("counter")] == [1]
            await connection.rollback()
            assert [row.version for row in await app.storage.states("counter")] == [1]
            for key in ("4", "5"):
                await app.send(Count(counter="a", key=key), within=connection)
            await connection.commit()
        [row] = await app.storage.states("counter")
        assert (row.version, row.data) == (3, b'{"count":3,"last":"5"}')
        assert (await app.send(Count(counter="a", key="6"))).version == 4
