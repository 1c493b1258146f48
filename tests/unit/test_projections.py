"""Views built beside the live ones: compared, switched to, rolled back; and run only by the code that built them."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
import pytest

from daicho import (
    App,
    NotBuilt,
    Projection,
    Query,
    Receipt,
    Row,
    StaleAnswer,
    UnknownView,
    Views,
    projection,
    query_handler,
)
from daicho.core.projection import Fold
from daicho.ports.view_store import TableSpec
from daicho.read.diff import Cause, ChangedRow
from daicho.read.projector import Projector
from daicho.read.rebuild import Builder, RebuildStep
from daicho.testing import VirtualClock
from tests.bank import Account, Balance, Deposit, Deposited, Opened, Withdraw, Withdrawn, balances
from tests.services import redis as redis_servers
from tests.services.find import needed
from tests.services.redis import Redis
from tests.services.running import Host

Movement = Opened | Deposited | Withdrawn
numbers = count(1)


@projection("balances", key=lambda event: event.account)
def wrong(row: Balance | None, event: Opened | Deposited | Withdrawn) -> Balance | None:
    """Counts big deposits twice, forgets movements of `b`, and loses `d`."""
    if event.account == "d":
        return None
    row = row or Balance(account=event.account)
    change = 0 if isinstance(event, Opened) else event.amount if isinstance(event, Deposited) else -event.amount
    if change >= 100:
        change *= 2
    return Balance(account=event.account, amount=row.amount + change, movements=row.movements + (event.account != "b"))


@projection("balances", key=lambda event: event.account, inline=True)
def right_inline(row: Balance | None, event: Opened | Deposited | Withdrawn) -> Balance:
    row = row or Balance(account=event.account)
    change = 0 if isinstance(event, Opened) else event.amount if isinstance(event, Deposited) else -event.amount
    return Balance(account=event.account, amount=row.amount + change, movements=row.movements + 1)


@projection("balances", key=lambda event: event.account, inline=True)
def wrong_inline(row: Balance | None, event: Opened | Deposited | Withdrawn) -> Balance:
    row = row or Balance(account=event.account)
    change = 0 if isinstance(event, Opened) else event.amount * 10
    return Balance(account=event.account, amount=row.amount + change, movements=row.movements + 1)


class Wide(Row):
    account: str
    amount: int = 0
    label: str = ""


@projection("balances", key=lambda event: event.account)
def wide(row: Wide | None, event: Opened | Deposited | Withdrawn) -> Wide:
    change = 0 if isinstance(event, Opened) else event.amount if isinstance(event, Deposited) else -event.amount
    amount = (row.amount if row else 0) + change + (event.account == "c")
    return Wide(account=event.account, amount=amount, label=f"{amount} yen")


@dataclass
class Bank:
    url: str
    views: str | None = None

    def app(self, part: Projection[Any], **more: Any) -> App:
        return App(Account, part, store=self.url, views={part: self.views} if self.views else {}, **more)


@pytest.fixture(scope="module")
def redis(host: Host) -> Redis:
    with needed():
        return redis_servers.redis(host)


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def bank(request: pytest.FixtureRequest, sqlite: str) -> Bank:
    if request.param == "postgres":
        return Bank(request.getfixturevalue("postgres_url"))
    if request.param == "redis":
        return Bank(sqlite, f"{request.getfixturevalue('redis').url}?prefix=projections{next(numbers)}")
    return Bank(sqlite)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, sqlite: str) -> Bank:
    return Bank(request.getfixturevalue("postgres_url") if request.param == "postgres" else sqlite)


async def deposit(app: App, **amounts: int) -> Receipt:
    for account, amount in amounts.items():
        receipt = await app.send(Deposit(account=account, amount=amount))
    return receipt


async def rows(app: App, part: Projection[Any]) -> dict[str, int]:
    return {row.account: row.amount for row in await app.views[part].find()}


async def used_up(steps: AsyncIterator[RebuildStep]) -> list[RebuildStep]:
    return [step async for step in steps]


async def until_refused(app: App) -> str:
    """The state of the one processor, once it says that these rows are not for its code."""
    async with asyncio.timeout(10):
        while True:
            [lag] = await app.lag()
            if lag.error:
                assert lag.state == "waiting"
                return lag.error
            await asyncio.sleep(0.02)


async def history(bank: Bank) -> None:
    """Five accounts, by the right code: a 150, b 20, c 15, d 5, e 7."""
    async with bank.app(balances) as app:
        await deposit(app, a=100, b=20, c=20, d=5, e=7)
        await deposit(app, a=50)
        await app.send(Withdraw(account="c", amount=5))
        await app.settle()


RIGHT = {"a": 150, "b": 20, "c": 15, "d": 5, "e": 7}
WRONG = {"a": 250, "b": 20, "c": 15, "e": 7}


# -- from one to the other, and back ----------------------------------------------------------------------------------


async def test_a_deployed_generation_is_not_seen_until_the_switch_and_gone_after_the_rollback(bank: Bank) -> None:
    await history(bank)
    async with bank.app(wrong) as app:
        steps = await used_up(app.projections.deploy("balances"))
        assert (steps[-1].generation, steps[-1].events, steps[-1].switched) == (2, 7, False)
        assert await rows(app, wrong) == RIGHT
        assert (await app.projections.switch("balances")).number == 2
        assert await rows(app, wrong) == WRONG
        await app.settled(await deposit(app, e=1))
        assert await rows(app, wrong) == {**WRONG, "e": 8}
        back = await app.projections.rollback("balances")
        assert (back.number, back.live, back.own) == (1, True, False)
        assert await rows(app, wrong) == RIGHT


class All(Query[dict[str, int]]): ...


@query_handler
async def ask_all(_: All, views: Views) -> dict[str, int]:
    return {row.account: row.amount for row in await views[wrong].find()}


async def test_an_answer_says_that_it_is_stale_if_the_rows_were_rolled_back_just_before_they_were_read(
    store: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history(store)
    async with App(Account, wrong, ask_all, store=store.url) as app:
        await used_up(app.projections.rebuild("balances"))
        receipt = await deposit(app, e=1)
        assert await app.ask(All(), after=receipt) == {**WRONG, "e": 8}
        settle = app.storage.settle

        async def rolled_back(table: TableSpec) -> None:
            """They are far enough, and have not been read yet."""
            monkeypatch.setattr(app.storage, "settle", settle)
            await app.projections.rollback("balances")
            await settle(table)

        monkeypatch.setattr(app.storage, "settle", rolled_back)
        with pytest.raises(StaleAnswer) as told:
            await app.ask(All(), after=receipt, within=0.2)
        assert told.value.answer == RIGHT


async def test_the_diff_names_the_rows_and_groups_them_by_the_fields_that_differ(bank: Bank) -> None:
    await history(bank)
    async with bank.app(wrong) as app:
        await used_up(app.projections.deploy("balances"))
        await deposit(app, f=30)  # the tail is brought up
        diff = await app.projections.diff("balances")
    assert (diff.name, diff.live, diff.built) == ("balances", 1, 2)
    assert diff.built_position == 8
    assert (diff.equal, diff.added, diff.removed) == (3, 0, 1)
    assert diff.removed_keys == ["d"]
    assert diff.causes == [
        Cause(fields=("amount",), count=1, examples=[ChangedRow(key="a", old={"amount": 150}, new={"amount": 250})]),
        Cause(
            fields=("movements",), count=1, examples=[ChangedRow(key="b", old={"movements": 1}, new={"movements": 0})]
        ),
    ]
    assert diff.changed == 2
    assert not diff.same


async def test_after_a_rollback_the_wrong_code_does_not_touch_the_rows_and_the_right_code_goes_on(bank: Bank) -> None:
    await history(bank)
    async with bank.app(wrong) as app:
        await used_up(app.projections.rebuild("balances"))
        await app.projections.rollback("balances")
        await deposit(app, a=1, g=200)
        assert "built by other code; `daicho projection deploy balances`" in await until_refused(app)
        assert await rows(app, wrong) == RIGHT
        [lag] = await app.lag()
        assert (lag.processor, lag.events_behind) == ("projection:balances@1", 2)
    async with bank.app(wrong) as app:  # nor does it when it is started again
        assert "built by other code" in await until_refused(app)
        assert await rows(app, wrong) == RIGHT
        async with bank.app(balances) as other:
            await other.settle()
            assert await rows(other, balances) == {**RIGHT, "a": 151, "g": 200}
            assert await rows(app, wrong) == {**RIGHT, "a": 151, "g": 200}


async def test_processes_of_both_codes_at_once_leave_each_generation_to_its_own(bank: Bank) -> None:
    async with bank.app(balances) as right, bank.app(wrong) as mistaken:
        await deposit(right, a=100)
        await right.settle()
        await used_up(mistaken.projections.rebuild("balances"))
        assert await rows(mistaken, wrong) == {"a": 200}
        await until_refused(right)
        receipt = await deposit(right, a=100)
        await mistaken.settled(receipt)
        await right.settled(receipt)
        assert await rows(right, balances) == await rows(mistaken, wrong) == {"a": 400}
        await mistaken.projections.rollback("balances")
        receipt = await deposit(mistaken, a=100)
        await until_refused(mistaken)
        await right.settled(receipt)
        assert await rows(right, balances) == await rows(mistaken, wrong) == {"a": 300}


async def test_code_that_was_never_deployed_goes_on_with_the_rows_that_are_there(bank: Bank) -> None:
    await history(bank)
    for _ in range(2):
        async with bank.app(wrong) as app:
            await app.settled(await deposit(app, a=100))
    async with bank.app(wrong) as app:
        assert await rows(app, wrong) == {**RIGHT, "a": 550}
        [state] = await app.projections.list()
        [generation] = state.generations
        assert (state.live, state.code, generation.code) == (1, Fold(wrong).code, Fold(balances).code)
        assert not generation.own


async def test_code_that_is_being_deployed_does_not_go_on_with_the_rows_of_other_code(bank: Bank) -> None:
    await history(bank)
    async with bank.app(wrong) as app:
        await used_up(app.projections.deploy("balances"))
    async with bank.app(wrong) as app:
        await deposit(app, a=100)
        assert "built by other code" in await until_refused(app)
        assert await rows(app, wrong) == RIGHT
        await app.projections.switch("balances")
        await app.settle()
        assert await rows(app, wrong) == {**WRONG, "a": 450}


async def test_code_that_was_rolled_back_stays_away_from_whatever_is_live_later(store: Bank) -> None:
    await history(store)
    async with store.app(wrong) as app:
        await used_up(app.projections.rebuild("balances"))
        await app.projections.rollback("balances")
    async with store.app(balances) as app:
        last = (await used_up(app.projections.deploy("balances")))[-1]
        assert last.generation == 3  # a number that processes of other code have seen is not used again
    async with store.app(wrong) as app:
        await deposit(app, a=1)
        assert "built by other code" in await until_refused(app)
    async with store.app(balances) as app:
        await app.projections.switch("balances")
        await app.settle()
        assert await rows(app, balances) == {**RIGHT, "a": 151}


# -- what cannot be done ----------------------------------------------------------------------------------------------


async def test_without_anything_built_there_is_nothing_to_switch_to_or_compare(store: Bank) -> None:
    await history(store)
    async with store.app(balances) as app:
        for refused in (app.projections.switch, app.projections.diff):
            with pytest.raises(NotBuilt, match="no generation of 'balances' was built beside the live one"):
                await refused("balances")
        with pytest.raises(NotBuilt, match="there is no generation of 'balances' to go back to"):
            await app.projections.rollback("balances")
        with pytest.raises(UnknownView, match="no projection 'ballances'"):
            await app.projections.switch("ballances")


async def test_only_the_code_that_built_a_generation_switches_to_it(store: Bank) -> None:
    await history(store)
    async with store.app(wrong) as app:
        await used_up(app.projections.deploy("balances"))
    async with store.app(balances) as app:
        with pytest.raises(NotBuilt, match="generation 2 of 'balances' was built by other code"):
            await app.projections.switch("balances")
        assert (await app.projections.diff("balances")).causes[0].fields == ("amount",)
        assert await rows(app, balances) == RIGHT


async def test_only_the_generation_right_before_can_be_gone_back_to(store: Bank) -> None:
    await history(store)
    async with store.app(balances) as app:
        for _ in range(3):
            await used_up(app.projections.rebuild("balances"))
        [state] = await app.projections.list()
        assert [(each.number, each.live) for each in state.generations] == [(3, False), (4, True)]
        assert (await app.projections.rollback("balances")).number == 3
        with pytest.raises(NotBuilt):
            await app.projections.rollback("balances")
        await app.settled(await deposit(app, a=1))
        assert await rows(app, balances) == {**RIGHT, "a": 151}
        names = [c.processor for c in await app.storage.checkpoints() if "balances@" in c.processor]
        assert names == ["former:projection:balances@4", "projection:balances@3", "projection:balances@4"]


# -- while everything goes on -----------------------------------------------------------------------------------------


async def test_readers_miss_no_row_while_generations_come_and_go(bank: Bank) -> None:
    """A writer opens accounts and pays in; readers look at all rows again and again, and remember the keys."""
    async with bank.app(balances) as app:
        await asyncio.gather(*[deposit(app, **{f"a{n}": 1}) for n in range(20)])
        await app.settle()
        stop, opened, looks = asyncio.Event(), 0, 0

        async def write() -> None:
            nonlocal opened
            while not stop.is_set():
                await deposit(app, **{f"a{opened % 20}": 1, f"b{opened:04}": 1})
                opened += 1

        async def read() -> None:
            nonlocal looks
            seen: set[str] = set()
            while not stop.is_set():
                now = set(await rows(app, balances))
                assert seen <= now, seen - now
                seen, looks = now, looks + 1

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            readers = [tasks.create_task(read()) for _ in range(2)]
            for _ in range(3):
                await used_up(app.projections.rebuild("balances"))
            await used_up(app.projections.deploy("balances"))
            await app.projections.switch("balances")
            stop.set()
            await asyncio.wait(readers)
            stop.clear()
            # rolled back, the rows are as old as they were: those of before are there, and nothing raises
            before = set(await rows(app, balances))
            kept = {key for key in before if key.startswith("a")}
            looking = tasks.create_task(_always_there(app, kept, stop))
            await app.projections.rollback("balances")
            await app.settled(await deposit(app, z=1))
            stop.set()
            await looking
        await app.settle()
        assert before <= set(await rows(app, balances))
        assert sum((await rows(app, balances)).values()) == 20 + 2 * opened + 1
        assert opened > 3
        assert looks > 3


async def test_who_claims_rows_just_as_others_go_live_in_their_place_leaves_them_as_they_are(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor looks which build is live, and is slow to claim it: meanwhile another process switches."""
    await history(bank)
    async with bank.app(balances) as app, tool(bank.app(balances)) as other:
        looked, switched = asyncio.Event(), asyncio.Event()
        caught_up, refusal = Builder.catch_up, Projector.refusal

        async def then_pay_in(self: Builder, table: TableSpec, up_to: int | None = None) -> None:
            await caught_up(self, table, up_to)
            if up_to is not None:  # the live build is held, and about to be switched away from
                monkeypatch.setattr(Projector, "refusal", slowly)
                await deposit(app, a=1)  # our processor finds that it has lost the lease, and looks where to go on
                await looked.wait()

        async def slowly(self: Projector) -> str:
            monkeypatch.setattr(Projector, "refusal", refusal)
            answer = await refusal(self)
            looked.set()
            await switched.wait()
            return answer

        monkeypatch.setattr(Builder, "catch_up", then_pay_in)
        async with asyncio.timeout(20):
            await used_up(other.projections.rebuild("balances"))
        switched.set()
        await app.settled(await deposit(app, b=1))
        [state] = await app.projections.list()
        former, live = state.generations
        assert (former.live, former.position, live.live, live.position) == (False, 7, True, 9)
        assert await rows(app, balances) == {**RIGHT, "a": 151, "b": 21}


async def _always_there(app: App, keys: set[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        assert keys <= set(await rows(app, balances))


@pytest.mark.parametrize("pieces", [1, 4])
async def test_a_diff_finds_no_difference_in_rows_that_are_being_written(store: Bank, pieces: int) -> None:
    async with store.app(balances, segments={balances: pieces}) as app:
        await deposit(app, a=1)
        await used_up(app.projections.deploy("balances"))
        stop = asyncio.Event()

        async def write() -> None:
            while not stop.is_set():
                await deposit(app, a=1, b=2, c=3, d=4)

        writer = asyncio.create_task(write())
        diffs = [await app.projections.diff("balances") for _ in range(5)]
        stop.set()
        await writer
        assert all(diff.same for diff in diffs), diffs
        await app.projections.switch("balances")
        await app.settle()
        assert sum((await rows(app, balances)).values()) == sum([e.event.amount async for e in app.events()])


async def test_an_interrupted_deployment_goes_on_where_it_was(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daicho.read.stride._PAGE", 10)
    async with bank.app(balances) as app:
        await asyncio.gather(*[deposit(app, a=1) for _ in range(40)])
        await app.settle()
        steps = app.projections.deploy("balances")
        async with contextlib.aclosing(steps):  # type: ignore[type-var]
            assert (await anext(steps)).position == 10
        with pytest.raises(NotBuilt, match="the build of generation 2 did not come to its end"):
            await app.projections.switch("balances")
    async with bank.app(balances) as app:
        again = await used_up(app.projections.deploy("balances"))
        assert (again[0].position, again[-1].events, again[-1].generation) == (20, 30, 2)
        assert (await app.projections.diff("balances")).same
        await app.projections.switch("balances")
        assert await rows(app, balances) == {"a": 40}


async def test_a_generation_that_was_built_is_built_afresh_when_it_is_deployed_again(store: Bank) -> None:
    """The fingerprint is blind to functions that the fold calls: who deploys again, wants it done again."""
    await history(store)
    async with store.app(balances) as app:
        assert (await used_up(app.projections.deploy("balances")))[-1].generation == 2
        steps = await used_up(app.projections.deploy("balances"))
        assert (steps[-1].generation, steps[-1].events) == (3, 7)
        assert [each.number for each in (await app.projections.list())[0].generations] == [1, 3]


async def test_a_throttled_build_is_no_faster_than_it_may_be_and_says_how_long_it_takes(sqlite: str) -> None:
    clock = VirtualClock(autojump=True)
    async with App(Account, balances, store=sqlite, clock=clock) as app:
        await asyncio.gather(*[deposit(app, a=1) for _ in range(100)])
        began = clock.now()
        steps = await used_up(app.projections.rebuild("balances", at_most=20))
        assert 4.5 <= (clock.now() - began).total_seconds() <= 5.5  # 100 events, 20 a second
        assert steps[-1].switched


async def test_each_step_of_a_throttled_build_is_small_and_knows_the_rate(sqlite: str) -> None:
    clock = VirtualClock(autojump=True)
    async with App(Account, balances, store=sqlite, clock=clock) as app:
        await asyncio.gather(*[deposit(app, a=1) for _ in range(100)])
        began, last = clock.now(), None
        async for step in app.projections.deploy("balances", at_most=20):
            passed = (clock.now() - began).total_seconds()
            assert step.events <= 20 * passed + 5
            if last is None:
                assert (step.events_per_second, step.seconds_left) == (0.0, None)
            else:
                assert step.events_per_second == pytest.approx(step.events / passed)
                assert step.seconds_left == pytest.approx((100 - step.position) / (step.events / passed))
            last = step


# -- verify -----------------------------------------------------------------------------------------------------------


async def test_rows_that_are_what_the_code_makes_of_history_are_verified(bank: Bank) -> None:
    await history(bank)
    async with bank.app(balances) as app:
        seen: list[RebuildStep] = []
        diff = await app.projections.verify("balances", progress=seen.append)
        assert diff.same
        assert (diff.equal, seen[-1].events) == (5, 7)
        [state] = await app.projections.list()
        assert [each.number for each in state.generations] == [1]  # it leaves nothing behind
        assert await rows(app, balances) == RIGHT


async def test_a_row_that_was_changed_by_hand_is_found(sqlite: str) -> None:
    bank = Bank(sqlite)
    await history(bank)
    with contextlib.closing(sqlite3.connect(sqlite.removeprefix("sqlite:///").partition("?")[0])) as database:
        database.execute("update balances__1 set amount = 21 where _key = 'b'")
        database.execute("delete from balances__1 where _key = 'c'")
        database.commit()
    async with bank.app(balances) as app:
        diff = await app.projections.verify("balances")
    assert (diff.equal, diff.added, diff.removed, diff.changed) == (3, 1, 0, 1)
    assert diff.added_keys == ["c"]
    assert diff.causes == [
        Cause(fields=("amount",), count=1, examples=[ChangedRow(key="b", old={"amount": 21}, new={"amount": 20})])
    ]


async def test_a_verification_does_not_count_as_a_deployment(store: Bank) -> None:
    await history(store)
    async with store.app(wrong) as app:
        assert not (await app.projections.verify("balances")).same
    async with store.app(wrong) as app:
        await app.settled(await deposit(app, a=100))
        assert await rows(app, wrong) == {**RIGHT, "a": 350}


async def test_many_rows_are_compared_page_by_page(store: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daicho.read.diff._PAGE", 3)
    async with store.app(balances) as app:
        await asyncio.gather(*[deposit(app, **{f"a{n:02}": 100 if n % 5 == 0 else 1}) for n in range(40)])
        await deposit(app, d=1)
        await app.settle()
    async with store.app(wrong) as app:
        await used_up(app.projections.deploy("balances"))
        diff = await app.projections.diff("balances")
    assert (diff.equal, diff.changed, diff.removed_keys) == (32, 8, ["d"])
    [cause] = diff.causes
    assert (cause.fields, cause.count) == (("amount",), 8)
    assert [example.key for example in cause.examples] == ["a00", "a05", "a10", "a15", "a20"]


# -- rows of another class --------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def tool(app: App) -> AsyncIterator[App]:
    """As the command line starts it: nothing is run."""
    await app.start(processors=False)
    try:
        yield app
    finally:
        await app.stop()


async def test_rows_of_another_class_are_compared_in_the_fields_that_both_have(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(wide)) as app:
        await used_up(app.projections.deploy("balances"))
        diff = await app.projections.diff("balances")
    assert (diff.equal, diff.added, diff.removed, diff.changed) == (4, 0, 0, 1)
    assert diff.causes == [
        Cause(fields=("amount",), count=1, examples=[ChangedRow(key="c", old={"amount": 15}, new={"amount": 17})])
    ]
    assert (diff.new_fields, diff.gone_fields) == (("label",), ("movements",))
    assert not diff.same


async def test_processes_of_two_row_classes_each_read_and_run_their_own(bank: Bank) -> None:
    await history(bank)
    async with tool(bank.app(wide)) as app:
        await used_up(app.projections.deploy("balances"))
    async with bank.app(balances) as old, bank.app(wide) as new:
        assert await rows(old, balances) == RIGHT
        assert await rows(new, wide) == {**RIGHT, "c": 17}
        for step in (new.projections.switch, new.projections.rollback, new.projections.switch):
            await step("balances")
            receipt = await deposit(old, a=1)
            await old.settled(receipt)
            await new.settled(receipt)
            assert (await rows(new, wide))["a"] == (await rows(old, balances))["a"]
        assert await rows(old, balances) == {**RIGHT, "a": 153}
    async with bank.app(balances) as old:  # started again, it goes on with its own rows
        await old.settled(await deposit(old, a=1))
        assert await rows(old, balances) == {**RIGHT, "a": 154}
    async with bank.app(wide) as new:
        await new.settle()
        assert await rows(new, wide) == {**RIGHT, "a": 154, "c": 17}


async def test_the_sql_view_has_the_columns_of_the_generation_that_is_live(store: Bank) -> None:
    await history(store)
    async with tool(store.app(wide)) as app:
        await used_up(app.projections.rebuild("balances"))
    assert await columns(store.url) == ["account", "amount", "label"]
    async with tool(store.app(wide)) as app:
        await app.projections.rollback("balances")
    assert await columns(store.url) == ["account", "amount", "movements"]


async def columns(url: str) -> list[str]:
    """For other programs. No app may be running: two builds of SQLite in one process drop each other's locks."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0])) as database:
            return [name for name, *_ in database.execute("select * from balances").description]
    async with await psycopg.AsyncConnection.connect(url) as connection:
        shown = await connection.execute("select * from daicho.balances")
        return [column.name for column in shown.description or ()]


# -- inline -----------------------------------------------------------------------------------------------------------


async def test_inline_rows_are_run_by_the_code_that_built_them_alone(store: Bank) -> None:
    async with store.app(right_inline) as app:
        await deposit(app, a=1, b=2)
        await app.settle()
    async with store.app(wrong_inline) as app:
        await used_up(app.projections.deploy("balances"))
        assert await rows(app, wrong_inline) == {"a": 1, "b": 2}
        assert [(c.fields, c.count) for c in (await app.projections.diff("balances")).causes] == [(("amount",), 2)]
        await app.projections.switch("balances")
        await app.settle()
        await deposit(app, a=1)
        assert await rows(app, wrong_inline) == {"a": 20, "b": 20}
        await app.projections.rollback("balances")
        assert await rows(app, wrong_inline) == {"a": 1, "b": 2}
        await deposit(app, a=1)
        await until_refused(app)
        assert await rows(app, wrong_inline) == {"a": 1, "b": 2}
    async with tool(store.app(wrong_inline)) as app:
        await deposit(app, a=1)
        assert await rows(app, wrong_inline) == {"a": 1, "b": 2}
    async with store.app(right_inline) as app:
        await app.settle()
        assert await rows(app, right_inline) == {"a": 4, "b": 2}
        await deposit(app, b=1)
        assert await rows(app, right_inline) == {"a": 4, "b": 3}


async def test_inline_code_that_adopted_rows_stops_with_the_rollback(store: Bank) -> None:
    """Two processes of the wrong code: the one that did not roll back hears of it in the append itself."""
    async with store.app(right_inline) as app:
        await deposit(app, a=1)
        await app.settle()
    async with store.app(wrong_inline) as one, store.app(wrong_inline) as two:
        await deposit(two, a=1)
        assert await rows(two, wrong_inline) == {"a": 11}  # never deployed: it goes on with what is there
        await used_up(one.projections.rebuild("balances"))
        await one.projections.rollback("balances")
        await deposit(two, a=1)
        assert await rows(one, wrong_inline) == {"a": 11}
        async with asyncio.timeout(60):  # it may have looked in between, and then looks again
            while await rows(two, wrong_inline) != {"a": 11}:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)


async def test_inline_rows_never_grow_older_while_a_generation_takes_over(store: Bank) -> None:
    async with store.app(right_inline) as app:
        await deposit(app, a=1)
        stop, written = asyncio.Event(), 1

        async def write() -> None:
            nonlocal written
            while not stop.is_set():
                await deposit(app, a=1)
                written += 1

        async def read() -> None:
            seen = 0
            while not stop.is_set():
                row = await app.views[right_inline].get("a")
                assert row is not None
                assert row.amount >= seen
                seen = row.amount

        async with asyncio.TaskGroup() as tasks:
            for work in (write, read, read):
                tasks.create_task(work())
            for _ in range(3):
                await used_up(app.projections.rebuild("balances"))
            stop.set()
        await app.settle()
        assert await rows(app, right_inline) == {"a": written}


# -- for synchronous code ---------------------------------------------------------------------------------------------


def test_synchronous_code_has_the_same(sqlite: str) -> None:
    with App(Account, balances, store=sqlite).sync() as app:
        app.send(Deposit(account="a", amount=100))
        app.settle()
    with App(Account, wrong, store=sqlite).sync() as app:
        assert [step.generation for step in app.projections.deploy("balances")] == [2]
        assert app.projections.diff("balances").changed == 1
        assert not app.projections.verify("balances").same
        assert app.projections.switch("balances").number == 2
        assert app.projections.rollback("balances").number == 1
        assert [each.live for each in app.projections.list()] == [1]
        assert list(app.projections.rebuild("balances", at_most=1e6))[-1].switched


# -- in segments ------------------------------------------------------------------------------------------------------


async def test_a_view_that_is_cut_into_segments_is_switched_and_rolled_back_like_any_other(store: Bank) -> None:
    await history(store)
    async with store.app(balances, segments={balances: 2}) as app:
        await app.settle()
        for operate, amount in ((app.projections.switch, 151), (app.projections.rollback, 152)):
            if amount == 151:
                await used_up(app.projections.deploy("balances"))
                assert (await app.projections.diff("balances")).same
            await operate("balances")
            await app.settled(await deposit(app, a=1))
            assert await rows(app, balances) == {**RIGHT, "a": amount}
        assert (await app.projections.verify("balances")).same
        await app.projections.switch("balances")
        await app.settle()
        assert await rows(app, balances) == {**RIGHT, "a": 152}
