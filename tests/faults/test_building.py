"""Processes that build the same view at once, are killed or frozen meanwhile, and readers who are frozen meanwhile."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daicho import BeingBuilt
from tests.bank import balances
from tests.unit.test_projections import Bank, deposit, rows, tool, used_up, wrong

ROOT = Path(__file__).parents[2]
ACCOUNTS = {f"a{n:03}": 1 + n for n in range(100)}
WRONG = {account: amount * (2 if amount >= 100 else 1) for account, amount in ACCOUNTS.items()}


@pytest.fixture(params=["sqlite", "postgres", "redis", "mongodb"])
def bank(request: pytest.FixtureRequest, sqlite: str, read_store_url: Callable[[str], str]) -> Bank:
    if request.param == "postgres":
        return Bank(request.getfixturevalue("postgres_url"))
    return Bank(sqlite, None if request.param == "sqlite" else read_store_url(request.param))


async def history(bank: Bank) -> None:
    async with bank.app(balances) as app:
        await asyncio.gather(*[deposit(app, **{account: amount}) for account, amount in ACCOUNTS.items()])
        await app.settle()


class Worker:
    """A process, as its parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid, self._process = process.pid, process

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            return (await self._process.stdout.readline()).decode().strip()

    async def rest(self) -> list[str]:
        return [line async for line in self._lines()]

    async def _lines(self) -> AsyncIterator[str]:
        while line := await self.line():
            yield line

    def tell(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def worker(verb: str, bank: Bank) -> AsyncIterator[Worker]:
    pipe = asyncio.subprocess.PIPE
    args = ("-m", "tests.faults.build_worker", verb, bank.url, bank.views or "")
    process = await asyncio.create_subprocess_exec(sys.executable, *args, stdin=pipe, stdout=pipe, cwd=ROOT)
    found = Worker(process)
    try:
        yield found
    finally:
        await found.end()


async def numbers(bank: Bank) -> list[int]:
    async with tool(bank.app(balances)) as app:
        [state] = await app.projections.list()
        return [each.number for each in state.generations]


@pytest.mark.slow
async def test_who_builds_is_left_alone_while_it_lives_and_followed_at_once_when_it_is_killed(bank: Bank) -> None:
    await history(bank)
    async with worker("build", bank) as first:
        assert (await first.line()).startswith("at ")
        async with tool(bank.app(wrong)) as other:
            with pytest.raises(BeingBuilt, match=f"process {first.pid} on .* has been at it since 20"):
                await used_up(other.projections.rebuild("balances"))
            assert (await first.line()).startswith("at ")  # it goes on, with what it had
            assert await numbers(bank) == [1, 2]
            first.send(signal.SIGKILL)
            await first.rest()
            last = (await used_up(other.projections.rebuild("balances")))[-1]
            assert (last.generation, last.switched) == (3, True)
            assert await rows(other, wrong) == WRONG
            assert await numbers(bank) == [1, 3]


@pytest.mark.slow
async def test_the_build_of_one_who_was_killed_is_gone_on_with(bank: Bank) -> None:
    await history(bank)
    async with worker("build", bank) as first:
        while (line := await first.line()) != "at 25":
            assert line, "it ended before"
        first.send(signal.SIGKILL)
        await first.rest()
    async with tool(bank.app(balances)) as app:
        steps = await used_up(app.projections.rebuild("balances"))
        assert (steps[-1].generation, steps[-1].switched) == (2, True)
        assert 0 < steps[-1].events < len(ACCOUNTS)
        assert await rows(app, balances) == ACCOUNTS


@pytest.mark.slow
async def test_who_was_frozen_for_longer_than_its_lease_does_no_harm_when_it_wakes(bank: Bank) -> None:
    await history(bank)
    async with worker("build", bank) as first:
        assert (await first.line()).startswith("at ")
        first.send(signal.SIGSTOP)
        async with tool(bank.app(wrong)) as other:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await used_up(other.projections.rebuild("balances"))
                        break
                    except BeingBuilt:
                        continue
            first.send(signal.SIGCONT)
            assert (await first.rest())[-1].startswith("D404 ")
            assert await rows(other, wrong) == WRONG
            assert await numbers(bank) == [1, 3]


@pytest.mark.slow
async def test_a_verification_outlives_a_rebuild_of_other_code(bank: Bank) -> None:
    await history(bank)
    async with worker("verify", bank) as first:
        assert (await first.line()).startswith("at ")
        async with tool(bank.app(wrong)) as other:
            assert (await used_up(other.projections.rebuild("balances")))[-1].generation == 3
            assert await numbers(bank) == [1, 2, 3]
            assert (await first.rest())[-1] == "same True, 100 equal"
            assert await rows(other, wrong) == WRONG
    assert await numbers(bank) == [1, 3]


@pytest.mark.slow
async def test_a_reader_who_was_frozen_for_two_rebuilds_shows_what_is_live(bank: Bank) -> None:
    """It is asked the moment it wakes up, before anything of its own has looked around."""
    await history(bank)
    async with worker("read", bank) as reader:
        assert await reader.line() == "begun"
        reader.tell()
        assert await reader.line() == str(sorted(ACCOUNTS.items()))
        async with tool(bank.app(balances)) as operator:
            for _ in range(3):
                reader.send(signal.SIGSTOP)
                for _ in range(2):
                    await used_up(operator.projections.rebuild("balances"))
                reader.tell()
                reader.send(signal.SIGCONT)
                assert await reader.line() == str(sorted(ACCOUNTS.items()))
