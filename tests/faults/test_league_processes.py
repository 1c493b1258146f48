"""Two, then four, then one process share the work: no event twice, none lost, work even; also when some are killed."""

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daicho import App
from tests.faults.league_worker import league, work
from tests.faults.test_processes import lines
from tests.faults.test_segments import Play, expected, games, shares, shown, until

spawn = multiprocessing.get_context("spawn")


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'league.db'}"


class Crowd:
    """Processes that work, and what they wrote."""

    def __init__(self, store: str, path: Path) -> None:
        self.store, self.path, self.letters = store, path, path / "letters"
        self.numbers, self.workers = itertools.count(), dict[Path, Any]()

    def come(self, count: int) -> None:
        for _ in range(count):
            stop = self.path / f"stop{next(self.numbers)}"
            self.workers[stop] = spawn.Process(target=work, args=(self.store, str(self.letters), str(stop)))
            self.workers[stop].start()

    def leave(self, count: int) -> None:
        for stop in list(self.workers)[:count]:
            stop.touch()
            worker = self.workers.pop(stop)
            worker.join(30)
            assert worker.exitcode == 0

    def kill(self) -> None:
        worker = self.workers.pop(next(iter(self.workers)))
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(30)

    def told(self) -> Counter[str]:
        return Counter(line.split()[0] for line in lines(self.letters))

    def end(self) -> None:
        for worker in self.workers.values():
            with contextlib.suppress(ProcessLookupError):
                worker.kill()


async def stage(app: App, done: list[Play], count: int) -> None:
    more = games(len(done) + 1, len(done) + 1 + count)
    for n in range(0, count, 20):
        await asyncio.gather(*[app.send(game) for game in more[n : n + 20]])
    done.extend(more)


async def even(app: App, processes: int) -> None:
    """24 segments; the App that only sends is no node."""

    async def is_even() -> bool:
        return await shares(app) == [24 // processes] * processes

    await until(is_even, 40)


def senders(before: Counter[str], after: Counter[str]) -> list[int]:
    return sorted((after - before).values())


@pytest.mark.slow
def test_two_then_four_then_one_process_share_the_work(store: str, tmp_path: Path) -> None:
    crowd = Crowd(store, tmp_path)

    async def run() -> None:
        done: list[Play] = []
        async with league(store, str(crowd.letters)):
            pass  # makes the tables, and the checkpoints of those who come
        app = await league(store, str(crowd.letters)).start(processors=False)
        try:
            before = crowd.told()
            for come, leave, present in ((2, 0, 2), (2, 0, 4), (0, 3, 1)):
                crowd.come(come)
                crowd.leave(leave)
                await even(app, present)
                await stage(app, done, 400)
                await app.settle(within=60)
                now = crowd.told()
                share = senders(before, now)
                assert len(share) == present
                assert sum(share) == 400
                assert share[0] > 400 / present * 0.5  # 17 streams in 8 segments are not quite even
                before = now
            told = Counter(line.split()[1] for line in lines(crowd.letters))
            assert (len(told), set(told.values())) == (1200, {1})
            await check(app, done)
        finally:
            await app.stop()

    try:
        asyncio.run(run())
        crowd.leave(1)
    finally:
        crowd.end()


async def check(app: App, done: list[Play]) -> None:
    sent = games(1, 401) + games(401, 801) + games(801, 1201)
    assert [play.points for play in done] == [play.points for play in sent][: len(done)]
    assert await shown(app) == expected(done)
    noted = [r.event.note async for r in app.events(category="diary")]
    assert sorted(noted) == sorted(f"{g.winner} {g.points}" for g in done if g.points % 10 == 0)


@pytest.mark.slow
def test_when_one_of_four_is_killed_the_others_do_its_work(store: str, tmp_path: Path) -> None:
    crowd = Crowd(store, tmp_path)

    async def run() -> None:
        done: list[Play] = []
        async with league(store, str(crowd.letters)):
            pass
        app = await league(store, str(crowd.letters)).start(processors=False)
        try:
            crowd.come(4)
            await even(app, 4)
            for _ in range(3):
                sending = asyncio.create_task(stage(app, done, 400))
                await asyncio.sleep(0.1)
                crowd.kill()
                await sending
            await app.settle(within=60)
            told = Counter(line.split()[1] for line in lines(crowd.letters))
            assert len(told) == 1200
            # a side effect that was under way when its process died happens again, with the same id; others never do
            assert sum(times - 1 for times in told.values()) <= 3 * 8 * 16
            assert max(told.values()) <= 1 + 3
            await check(app, done)
        finally:
            await app.stop()

    try:
        asyncio.run(run())
        crowd.leave(1)
    finally:
        crowd.end()
