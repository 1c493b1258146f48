"""A process that dies at any moment leaves a store that heals by itself: nothing lost, nothing twice."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daicho import App, event_handler
from daicho.ports.probe import POINTS
from daicho.testing import crash_at
from tests.bank import BANK, Account, Balance, Deposit, Deposited, Transfer, Withdrawn, balances
from tests.faults.audit import audit, told
from tests.faults.bank_worker import work

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("nth", [1, 2, 7])
@pytest.mark.parametrize("point", POINTS)
async def test_after_a_crash_at_any_point_a_new_app_heals(sqlite: str, point: str, nth: int) -> None:
    heard: dict[str, tuple[str, str, int]] = {}

    def note(line: str) -> None:
        said, key, kind, amount = line.split()
        heard[key] = (said, kind, int(amount))

    crash = crash_at(point, nth=nth)
    async with crash.of(App(*BANK, store=sqlite, probe=crash)) as app:
        await work(app, note, f"{point}{nth}")
    assert crash.happened
    async with App(*BANK, store=sqlite) as app:
        await audit(app, heard)
        receipt = await app.send(Deposit(account="after", amount=1))  # and it goes on
        await app.settled(receipt)
    async with App(*BANK, store=sqlite) as app:
        await app.settle()
        assert await app.views[balances].get("after") == Balance(account="after", amount=1, movements=1)


async def test_an_app_that_dies_again_and_again_still_gets_done(sqlite: str) -> None:
    heard: dict[str, tuple[str, str, int]] = {}

    def note(line: str) -> None:
        said, key, kind, amount = line.split()
        heard[key] = (said, kind, int(amount))

    dice = random.Random(20111209)
    for life in range(25):
        crash = crash_at(dice.choice(list(POINTS)), nth=dice.randint(1, 12))
        async with crash.of(App(*BANK, store=sqlite, probe=crash)) as app:
            await work(app, note, f"life{life}")
    async with App(*BANK, store=sqlite) as app:
        await audit(app, heard)


async def test_the_checkpoint_did_not_move_and_yet_the_command_is_not_sent_twice(sqlite: str) -> None:
    async with App(*BANK, store=sqlite) as app:
        await app.send(Deposit(account="a", amount=10))
        await app.settle()
    crash = crash_at("reaction.after")
    async with crash.of(App(*BANK, store=sqlite, probe=crash)) as app:
        await app.send(Transfer(transfer="t", source="a", target="b", amount=4))
        await app.settle()
    async with App(*BANK, store=sqlite) as app:
        at = {c.processor: c.position for c in await app.storage.checkpoints()}
        assert at["reaction:pay_out"] <= 2 or at["reaction:pay_in"] <= 2
        await app.settle()
        assert [type(r.event) for r in [r async for r in app.events(stream="account-a")]] == [Deposited, Withdrawn]
        assert ((await app.load(Account, "a")).balance, (await app.load(Account, "b")).balance) == (6, 4)


async def test_a_side_effect_that_was_noted_is_not_repeated_and_one_that_was_not_is(sqlite: str) -> None:
    calls: list[str] = []

    @event_handler
    async def mail(event: Deposited) -> None:
        calls.append(event.account)

    async with App(Account, mail, store=sqlite) as app:
        await app.send(Deposit(account="noted", amount=1))
        await app.settle()
    crash = crash_at("reaction.after")
    async with crash.of(App(Account, mail, store=sqlite, probe=crash)) as app:
        await app.send(Deposit(account="not noted", amount=1))
        await app.settle()
    async with App(Account, mail, store=sqlite) as app:
        await app.settle()
    assert calls == ["noted", "not noted", "not noted"]  # once is what nobody can promise of the outside world


@pytest.mark.slow
def test_killed_at_random_moments_and_started_again_the_ledger_is_right(tmp_path: Path) -> None:
    url, ledger = f"sqlite:///{tmp_path / 'app.db'}", tmp_path / "ledger"
    dice = random.Random(1987)
    for life in range(10):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.bank_worker", url, str(ledger), f"life{life}"], cwd=ROOT
        )
        try:
            _wait_until_ready(process, ledger, f"life{life}", more=dice.randint(1, 150))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    async def check() -> None:
        async with App(*BANK, store=url) as app:
            heard = told(ledger)
            assert sum(line[0] == "done" for line in heard.values()) > 100
            await audit(app, heard)

    asyncio.run(check())


def _wait_until_ready(process: "subprocess.Popen[bytes]", ledger: Path, name: str, more: int) -> None:
    """Until the process has noted `more` lines; the moment after that is as random as the machine's load."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        if sum(f" {name}." in line for line in lines) >= more:
            return
        assert process.poll() is None, "the worker ended by itself"
        time.sleep(0.002)
    raise AssertionError("the worker never came to work")
