"""The tools for testing do what they say."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from daicho import App, ConfigurationError, Rejected, StoreClosed
from daicho.ports.probe import POINTS
from daicho.testing import Crash, VirtualClock, crash_at, scenario
from tests.bank import (
    BANK,
    Account,
    Balance,
    Deposit,
    Deposited,
    Open,
    Opened,
    Transfer,
    TransferStarted,
    Withdraw,
    Withdrawn,
    balances,
)


async def test_virtual_time_stands_still_until_it_is_told_to_pass() -> None:
    clock = VirtualClock(datetime(2011, 12, 9, 12, 50, tzinfo=UTC))
    await asyncio.sleep(0)
    assert clock.now() == datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
    await clock.advance(90)
    assert clock.now() == datetime(2011, 12, 9, 12, 51, 30, tzinfo=UTC)
    await clock.advance(timedelta(days=1))
    assert clock.now() == datetime(2011, 12, 10, 12, 51, 30, tzinfo=UTC)


async def test_sleepers_wake_in_the_order_of_their_deadlines_each_at_its_own_time() -> None:
    clock, woken = VirtualClock(), list[tuple[str, float]]()
    start = clock.now()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, (clock.now() - start).total_seconds()))

    tasks = [asyncio.create_task(sleeper(n, s)) for n, s in (("c", 3), ("a", 1), ("late", 60), ("b", 2))]
    await asyncio.sleep(0)
    assert clock.sleepers == 4
    await clock.advance(10)
    assert woken == [("a", 1), ("b", 2), ("c", 3)]
    await clock.advance(50)
    assert woken[-1] == ("late", 60)
    await asyncio.gather(*tasks)


async def test_who_sleeps_again_within_the_time_that_passes_wakes_again() -> None:
    clock, ticks = VirtualClock(), list[int]()

    async def ticker() -> None:
        for n in range(5):
            await clock.sleep(1)
            ticks.append(n)

    task = asyncio.create_task(ticker())
    await asyncio.sleep(0)
    await clock.advance(3.5)
    assert ticks == [0, 1, 2]
    await clock.advance(10)
    await task
    assert ticks == [0, 1, 2, 3, 4]


async def test_a_sleeper_that_was_cancelled_does_not_stop_the_clock() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await clock.advance(2)
    assert clock.sleepers == 0


async def test_a_clock_that_jumps_lets_nobody_wait() -> None:
    clock = VirtualClock(autojump=True)
    before = clock.now()
    await clock.sleep(3600)
    assert clock.now() - before == timedelta(hours=1)


def test_ids_are_version_7_uuids_in_order_of_time_and_the_same_at_every_run() -> None:
    def ids() -> list[str]:
        clock = VirtualClock(datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC))  # the moment of RFC 9562, appendix A.6
        first = [clock.new_id() for _ in range(3)]
        asyncio.run(clock.advance(0.001))
        return [*first, clock.new_id()]

    found = ids()
    assert found == ids()
    assert found == sorted(set(found))
    assert [UUID(text).version for text in found] == [7] * 4
    assert all(str(UUID(text)) == text and UUID(text).variant == "specified in RFC 4122" for text in found)
    assert found[0].startswith("017f22e2-79b0-7")
    assert VirtualClock(seed=1).new_id() != VirtualClock(seed=2).new_id()


def test_a_crash_at_an_unknown_point_is_refused_with_the_list_of_points() -> None:
    with pytest.raises(ConfigurationError, match=r"no point 'apend\.after'") as caught:
        crash_at("apend.after")
    assert all(point in str(caught.value) for point in POINTS)


async def test_a_crash_that_never_comes_is_a_failure_of_the_test() -> None:
    crash = crash_at("append.after", nth=2)
    with pytest.raises(AssertionError, match=r"append\.after was passed 1 times, not 2"):
        async with crash.of(App(*BANK, store="memory:", probe=crash)) as app:
            await app.send(Open(account="a"))
    assert not crash.happened


async def test_after_a_crash_nothing_of_the_app_does_any_more_work(sqlite: str) -> None:
    crash = crash_at("append.after", nth=2)
    app = App(*BANK, store=sqlite, probe=crash)
    async with crash.of(app):
        await app.send(Deposit(account="a", amount=1))
        await app.settle()
        with pytest.raises(Crash):
            await app.send(Deposit(account="a", amount=2))
        with pytest.raises(BaseException):  # noqa: B017 - dead is dead, whichever way it shows
            await app.send(Deposit(account="a", amount=4))
        with pytest.raises(StoreClosed, match="this process is dead"):
            await app.storage.register("projection:late@1", position=0)
        raise Crash
    assert crash.happened
    async with App(*BANK, store=sqlite) as again:
        assert (await again.load(Account, "a")).balance == 3  # the second was durable, the third never was
        await again.settle()
        assert await again.views[balances].get("a") == Balance(account="a", amount=3, movements=2)


async def test_a_crash_ends_the_block_it_is_watched_in_and_the_new_app_need_not_wait_for_leases(sqlite: str) -> None:
    crash, reached = crash_at("projection.before"), False
    async with crash.of(App(*BANK, store=sqlite, probe=crash)) as app:
        await app.send(Open(account="a"))
        await app.settle()
        reached = True
    assert not reached
    async with App(*BANK, store=sqlite) as again:
        await again.settle(within=5)
        assert await again.views[balances].count() == 1


def test_a_scenario_tells_a_whole_flow() -> None:
    with scenario(*BANK) as bank:
        bank.given(Open(account="a"), Deposit(account="a", amount=10))
        bank.when(Transfer(transfer="t", source="a", target="b", amount=4))
        bank.then_events(TransferStarted, Withdrawn(account="a", amount=4, transfer="t", to="b"), Deposited)
        bank.then_rows(
            balances,
            {"a": Balance(account="a", amount=6, movements=3), "b": Balance(account="b", amount=4, movements=1)},
        )


def test_a_scenario_tells_a_refusal() -> None:
    with scenario(*BANK) as bank:
        bank.when(Withdraw(account="a", amount=1))
        bank.then_rejected()
        bank.then_rejected("not enough money")
        with pytest.raises(AssertionError, match="rejected because 'not enough money'"):
            bank.then_rejected("no such account")
        with pytest.raises(AssertionError, match="rejected: not enough money"):
            bank.then_events()
        with pytest.raises(Rejected):
            bank.given(Withdraw(account="a", amount=1))


def test_a_scenario_says_what_it_got_instead() -> None:
    with scenario(*BANK) as bank:
        bank.when(Open(account="a"))
        with pytest.raises(AssertionError, match=r"(?s)expected .*Deposited.*got .*Opened"):
            bank.then_events(Deposited)
        with pytest.raises(AssertionError, match="got"):
            bank.then_events(Opened, Opened)
        with pytest.raises(AssertionError, match="not rejected"):
            bank.then_rejected()
        with pytest.raises(AssertionError, match="Balance"):
            bank.then_rows(balances, {})
        bank.when(Open(account="a"))
        bank.then_events()
