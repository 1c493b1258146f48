"""Views: each event once in each row, whatever happens; answers as fresh as asked for; history for people."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from daicho import (
    App,
    ConfigurationError,
    Crud,
    Event,
    InvalidMessage,
    NoSuchField,
    NotRunning,
    Position,
    ProjectionFailed,
    Query,
    Rebuilding,
    Receipt,
    RecordedEvent,
    Rejected,
    Row,
    StaleAnswer,
    StoreClosed,
    UnknownMessage,
    UnknownView,
    Views,
    projection,
    query_handler,
)
from daicho.testing import VirtualClock, crash_at
from tests.bank import (
    BANK,
    Account,
    Balance,
    BalanceOf,
    Deposit,
    Deposited,
    Open,
    Opened,
    Transfer,
    Withdraw,
    Withdrawn,
    balance_of,
    balances,
)

Movement = Opened | Deposited | Withdrawn


async def rows(app: App, table: Any = balances) -> dict[str, int]:
    return {row.account: row.amount for row in await app.views[table].find()}


async def deposit(app: App, **amounts: int) -> Receipt:
    for account, amount in amounts.items():
        receipt = await app.send(Deposit(account=account, amount=amount))
    return receipt


# -- each event once ----------------------------------------------------------------------------------------------


async def test_a_row_shows_each_event_once(url: str) -> None:
    async with App(Account, balances, store=url) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n % 10}", amount=1)) for n in range(200)])
        await app.settle()
        found = await app.views[balances].find()
    assert found == [Balance(account=f"a{n}", amount=20, movements=20) for n in range(10)]


async def test_rows_are_right_after_any_number_of_restarts(sqlite: str) -> None:
    for n in range(1, 8):
        async with App(Account, balances, store=sqlite) as app:
            await deposit(app, a=1, b=10)
            if n % 3 == 0:
                await app.settle()
    async with App(Account, balances, store=sqlite) as app:
        await app.settle()
        assert await rows(app) == {"a": 7, "b": 70}


async def test_two_apps_on_one_store_do_not_fold_twice(sqlite: str) -> None:
    async with App(Account, balances, store=sqlite) as one, App(Account, balances, store=sqlite) as two:
        for n in range(20):
            await deposit(one if n % 2 else two, a=1)
        await one.settle()
        await two.settle()
        assert await rows(one) == await rows(two) == {"a": 20}


async def test_a_view_that_is_added_to_a_history_has_all_of_it(sqlite: str) -> None:
    async with App(Account, store=sqlite) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n % 7}", amount=1)) for n in range(700)])
    async with App(Account, balances, store=sqlite) as app:
        assert await rows(app) == {f"a{n}": 100 for n in range(7)}  # an answer is complete, or it is not given


async def test_a_fold_that_gives_none_deletes_the_row(url: str) -> None:
    @projection("open", key=lambda e: e.account)
    def alive(row: Balance | None, event: Movement) -> Balance | None:
        amount = (row.amount if row else 0) + (event.amount if isinstance(event, Deposited) else 0)
        if isinstance(event, Withdrawn):
            return None
        return Balance(account=event.account, amount=amount)

    async with App(Account, alive, store=url) as app:
        await deposit(app, a=5, b=5)
        await app.send(Withdraw(account="a", amount=5))
        await app.settle()
        assert await rows(app, alive) == {"b": 5}
        await deposit(app, a=2)
        await app.settle()
        assert await rows(app, alive) == {"a": 2, "b": 5}


async def test_an_event_may_concern_many_rows_or_none(url: str) -> None:
    def keys(event: Withdrawn | Deposited) -> list[str]:
        if event.amount == 13:
            return []
        return [event.account, "all", *([event.to] if isinstance(event, Withdrawn) and event.to else [])]

    @projection("touched", key=keys)
    def touched(row: Balance | None, event: Withdrawn | Deposited, key: str) -> Balance:
        return Balance(account=key, amount=(row.amount if row else 0) + 1)

    async with App(Account, touched, store=url) as app:
        await deposit(app, a=10, b=1, c=13)
        await app.send(Withdraw(account="a", amount=1, to="b"))
        await app.settle()
        assert await rows(app, touched) == {"a": 2, "b": 2, "all": 3}


async def test_a_fold_may_ask_for_the_record_and_the_key(url: str) -> None:
    class Audit(Row):
        account: str
        line: str

    @projection("audit", key=lambda event, record: f"{record.stream}/{record.version}")
    def audit(row: Audit | None, event: Deposited, record: RecordedEvent[Any], key: str) -> Audit:
        return Audit(account=key, line=f"{record.actor} {record.occurred_at:%Y} {record.position} {event.amount}")

    async with App(Account, audit, store=url) as app:
        await app.send(Open(account="a"))
        await app.send(Deposit(account="a", amount=7), actor="ann", occurred_at=datetime(1999, 1, 1, tzinfo=UTC))
        await app.settle()
        assert await app.views[audit].find() == [Audit(account="account-a/2", line="ann 1999 2 7")]


# -- what a fold cannot take --------------------------------------------------------------------------------------


class Mood:
    bad: set[str] = set()


def moody(mood: Mood, *, inline: bool = False, name: str = "balances") -> Any:
    @projection(name, key=lambda e: e.account, inline=inline)
    def balances(row: Balance | None, event: Deposited) -> Balance:
        if f"{event.account}:{event.amount}" in mood.bad:
            raise ValueError(f"no room for {event.amount}")
        row = row or Balance(account=event.account)
        # order matters here: a follower that overtakes shows
        return Balance(account=event.account, amount=row.amount * 10 + event.amount, movements=row.movements + 1)

    return balances


@pytest.mark.parametrize("together", [True, False])
async def test_a_fold_that_raises_parks_its_key_and_nothing_else(url: str, together: bool) -> None:
    mood = Mood()
    mood.bad = {"bad:2"}
    view = moody(mood)
    async with App(Account, view, store=url) as app:
        sends = [app.send(Deposit(account=a, amount=n)) for n in (1, 2, 3) for a in ("good", "bad", "fine")]
        if together:
            await asyncio.gather(*sends)
        else:
            for send in sends:
                await send
                await app.settle()
        await app.settle()
        assert await rows(app, view) == {"good": 123, "bad": 1, "fine": 123}
        letters = await app.dead_letters.list("balances")
        assert [(x.key, x.error) for x in letters] == [("bad", "ValueError: no room for 2"), ("bad", None)]

        await app.dead_letters.retry()
        await app.dead_letters.retried()
        assert (await rows(app, view))["bad"] == 1
        assert next(x.attempts for x in await app.dead_letters.list()) == 2

        mood.bad = set()
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        await deposit(app, bad=4)
        await app.settle()
        assert await rows(app, view) == {"good": 123, "bad": 1234, "fine": 123}
        assert not await app.dead_letters.list()


async def test_what_a_view_has_parked_stays_parked_over_a_restart(sqlite: str) -> None:
    mood = Mood()
    mood.bad = {"a:1"}
    async with App(Account, moody(mood), store=sqlite) as app:
        await deposit(app, a=1, b=1)
        await app.settle()
    mood.bad = set()
    view = moody(mood)
    async with App(Account, view, store=sqlite) as app:
        await deposit(app, a=2, b=2)
        await app.settle()
        assert await rows(app, view) == {"b": 12}
        assert len(await app.dead_letters.list()) == 2
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        assert await rows(app, view) == {"a": 12, "b": 12}


async def test_a_key_that_cannot_be_told_parks_the_stream(url: str) -> None:
    def key(event: Deposited) -> str:
        if event.amount == 13:
            raise LookupError("no key")
        return event.account

    @projection("unlucky", key=key)
    def unlucky(row: Balance | None, event: Deposited) -> Balance:
        return Balance(account=event.account, amount=(row.amount if row else 0) + event.amount)

    async with App(Account, unlucky, store=url) as app:
        await deposit(app, a=1, b=1)
        await deposit(app, a=13, b=2)
        await deposit(app, a=3, b=3)
        await app.settle()
        assert await rows(app, unlucky) == {"a": 1, "b": 6}
        letters = await app.dead_letters.list()
        assert [(x.key, x.error) for x in letters] == [("account-a", "LookupError: no key"), ("account-a", None)]


async def test_an_event_that_cannot_be_read_parks_its_stream_and_the_others_flow(sqlite: str) -> None:
    class Strict(Event, name="account.deposited"):
        account: str
        amount: str  # history holds numbers

    @projection("strict", key=lambda e: e.account)
    def strict(row: Balance | None, event: Strict | Opened) -> Balance:
        return Balance(account=event.account, movements=(row.movements if row else 0) + 1)

    async with App(Account, store=sqlite) as app:
        await app.send(Open(account="a"))
        await deposit(app, a=1)
        await app.send(Open(account="b"))
    async with App(strict, store=sqlite) as app:
        await app.settle()
        assert [r.account for r in await app.views[strict].find()] == ["a", "b"]
        [letter] = await app.dead_letters.list()
        assert (letter.key, (letter.error or "")[:15]) == ("account-a", "UnreadableEvent")


async def test_a_rebuild_with_mended_code_gets_past_what_was_parked(sqlite: str) -> None:
    mood = Mood()
    mood.bad = {"a:2"}
    view = moody(mood)
    async with App(Account, view, store=sqlite) as app:
        for n in (1, 2, 3):
            await deposit(app, a=n)
        await app.settle()
        assert await rows(app, view) == {"a": 1}
        mood.bad = set()
        async for _ in app.rebuild("balances"):
            pass
        assert await rows(app, view) == {"a": 123}
        assert not await app.dead_letters.list()


# -- rebuilding ---------------------------------------------------------------------------------------------------


async def rebuilt(app: App, name: str = "balances") -> list[Any]:
    return [step async for step in app.rebuild(name)]


async def test_a_rebuild_gives_the_same_rows_and_says_how_far_it_is(url: str) -> None:
    async with App(Account, balances, store=url) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n % 10}", amount=n + 1)) for n in range(300)])
        await app.settle()
        before = await rows(app)
        steps = await rebuilt(app)
        assert await rows(app) == before == {f"a{n}": sum(range(n + 1, 301, 10)) for n in range(10)}
        assert (steps[-1].switched, steps[-1].events, steps[-1].position) == (True, 300, 300)
        assert not any(step.switched for step in steps[:-1])
        await deposit(app, a0=1)
        await app.settle()
        assert (await rows(app))["a0"] == before["a0"] + 1


async def test_after_a_rebuild_readers_get_the_rows_of_the_new_code_at_once(sqlite: str) -> None:
    async with App(Account, balances, store=sqlite) as app:
        await deposit(app, a=5)
        await app.settle()

    @projection("balances", key=lambda e: e.account)
    def doubled(row: Balance | None, event: Deposited) -> Balance:
        return Balance(account=event.account, amount=(row.amount if row else 0) + event.amount * 2)

    async with App(Account, doubled, store=sqlite) as app:
        await app.settle()
        assert await rows(app, doubled) == {"a": 5}
        await rebuilt(app)
        assert await rows(app, doubled) == {"a": 10}
        receipt = await deposit(app, a=1)
        assert await app.views[doubled].get("a") is not None
        await app.settled(receipt, within=5)
        assert await rows(app, doubled) == {"a": 12}


async def test_a_rebuild_while_writes_go_on_misses_nothing(url: str) -> None:
    async with App(Account, balances, balance_of, store=url) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n % 5}", amount=1)) for n in range(200)])
        stop = asyncio.Event()
        written = 0

        async def write() -> None:
            nonlocal written
            while not stop.is_set():
                receipt = await app.send(Deposit(account=f"a{written % 5}", amount=1))
                written += 1
                answer = await app.ask(BalanceOf(account=f"a{(written - 1) % 5}"), after=receipt)
                assert answer is not None
                assert answer.movements == receipt.version  # also across the switch

        writer = asyncio.create_task(write())
        for _ in range(3):
            assert (await rebuilt(app))[-1].switched
        stop.set()
        await writer
        await app.settle()
        assert sum((await rows(app)).values()) == 200 + written


async def test_whoever_waits_for_a_build_that_goes_no_further_is_answered_by_the_one_that_goes_live(url: str) -> None:
    async with App(Account, balances, balance_of, store=url) as app:
        await app.settled(await deposit(app, a=1), within=5)
        await app.processors.pause("balances")
        receipt = await deposit(app, a=2)
        waiting = asyncio.create_task(app.ask(BalanceOf(account="a"), after=receipt, within=60))
        await rebuilt(app)
        async with asyncio.timeout(10):
            answer = await waiting
        assert answer is not None
        assert answer.amount == 3


async def test_a_rebuild_that_was_interrupted_goes_on_where_it_was(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daicho.read.stride._PAGE", 50)
    async with App(Account, balances, store=sqlite) as app:
        await asyncio.gather(*[app.send(Deposit(account="a", amount=1)) for _ in range(200)])
        await app.settle()
        steps = app.rebuild("balances")
        async with contextlib.aclosing(steps):  # type: ignore[type-var]
            first = await anext(steps)
        assert (first.position, first.switched) == (50, False)
        assert await rows(app) == {"a": 200}
    async with App(Account, balances, store=sqlite) as app:
        await deposit(app, a=1)
        again = await rebuilt(app)
        assert again[0].position == 100
        assert (again[-1].events, again[-1].generation) == (151, first.generation)
        assert await rows(app) == {"a": 201}


async def test_an_interrupted_rebuild_of_other_code_begins_anew(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daicho.read.stride._PAGE", 50)
    async with App(Account, balances, store=sqlite) as app:
        await asyncio.gather(*[app.send(Deposit(account="a", amount=1)) for _ in range(120)])
        steps = app.rebuild("balances")
        async with contextlib.aclosing(steps):  # type: ignore[type-var]
            await anext(steps)

    @projection("balances", key=lambda e: e.account)
    def doubled(row: Balance | None, event: Deposited) -> Balance:
        return Balance(account=event.account, amount=(row.amount if row else 0) + event.amount * 2)

    async with App(Account, doubled, store=sqlite) as app:
        await rebuilt(app)
        assert await rows(app, doubled) == {"a": 240}


async def test_a_rebuild_of_a_view_that_is_not_there_is_refused() -> None:
    async with App(Account, balances, store="memory:") as app:
        with pytest.raises(UnknownView, match=r"no projection 'ballances'.*\nWhy: this App has balances"):
            await rebuilt(app, "ballances")


class Wide(Row):
    account: str
    amount: int = 0
    label: str = ""


@projection("balances", key=lambda e: e.account)
def wide(row: Wide | None, event: Opened | Deposited | Withdrawn) -> Wide:
    amount = (row.amount if row else 0) + (event.amount if isinstance(event, Deposited) else 0)
    return Wide(account=event.account, amount=amount, label=f"{amount} yen")


async def test_a_view_whose_row_class_changed_is_built_anew_by_itself(sqlite: str) -> None:
    async with App(Account, balances, store=sqlite) as app:
        await asyncio.gather(*[app.send(Deposit(account=f"a{n % 3}", amount=1)) for n in range(300)])
        await app.settle()
    async with App(Account, wide, store=sqlite) as app:
        found = await app.views[wide].find()
        assert found == [Wide(account=f"a{n}", amount=100, label="100 yen") for n in range(3)]
    async with App(Account, balances, store=sqlite) as app:  # and back
        assert await rows(app) == {"a0": 100, "a1": 100, "a2": 100}


async def test_a_view_that_is_not_complete_yet_says_so_instead_of_answering(sqlite: str) -> None:
    async with App(Account, store=sqlite) as app:
        await deposit(app, a=1)
    blocked = crash_at("projection.before")  # it never gets further than this
    stuck = App(Account, balances, balance_of, store=sqlite, probe=blocked)
    async with blocked.of(stuck):
        await asyncio.Event().wait()
    # the build has begun, and was interrupted: that makes nothing complete
    looking = App(Account, balances, balance_of, store=sqlite)
    async with App(Account, balances, balance_of, store=sqlite, probe=_hold) as app:
        with pytest.raises(Rebuilding, match="the view 'balances' is being built") as caught:
            await app.ask(BalanceOf(account="a"), within=0.01)
        assert caught.value.data == {"view": "balances"}
    async with looking as app:
        answer = await app.ask(BalanceOf(account="a"))
        assert answer == Balance(account="a", amount=1, movements=1)


def _hold(point: str) -> None:
    if point == "projection.before":
        raise OSError("not now")


# -- inline views -------------------------------------------------------------------------------------------------


def inline_balances() -> Any:
    return projection("balances", key=lambda e: e.account, inline=True)(balances.fold)


async def test_an_inline_view_is_there_when_the_command_is(url: str) -> None:
    view = inline_balances()
    async with App(Account, view, store=url) as app:
        await app.settle()
        for n in range(1, 30):
            await deposit(app, a=1)
            assert await rows(app, view) == {"a": n}
        await asyncio.gather(*[app.send(Deposit(account="b", amount=1)) for _ in range(50)])
        assert await rows(app, view) == {"a": 29, "b": 50}


async def test_an_inline_view_that_raises_undoes_the_command_and_no_other(url: str) -> None:
    mood = Mood()
    view = moody(mood, inline=True)
    async with App(Account, view, store=url) as app:
        await deposit(app, a=1)
        mood.bad = {"a:2"}
        answers = await asyncio.gather(
            *[app.send(Deposit(account=a, amount=2)) for a in ("a", "b", "c")], return_exceptions=True
        )
        assert [type(a) for a in answers] == [ProjectionFailed, Receipt, Receipt]
        assert "inline projection 'balances' raised ValueError('no room for 2')" in str(answers[0])
        assert isinstance(answers[0], ProjectionFailed)
        assert isinstance(answers[0].__cause__, ValueError)
        assert (await app.load(Account, "a")).balance == 1
        assert await rows(app, view) == {"a": 1, "b": 2, "c": 2}
        mood.bad = set()
        await deposit(app, a=2)
        await app.settle()
        assert await rows(app, view) == {"a": 12, "b": 2, "c": 2}
        assert not await app.dead_letters.list()


async def test_an_inline_view_that_is_behind_catches_up_beside_and_then_takes_part(sqlite: str) -> None:
    async with App(Account, store=sqlite) as app:
        await asyncio.gather(*[app.send(Deposit(account="a", amount=1)) for _ in range(100)])
    view = inline_balances()
    async with App(Account, view, store=sqlite) as app:
        await asyncio.gather(*[app.send(Deposit(account="a", amount=1)) for _ in range(20)])
        await app.settle()
        assert await rows(app, view) == {"a": 120}
        await deposit(app, a=1)
        assert await rows(app, view) == {"a": 121}


async def test_an_inline_view_never_folds_a_follower_past_a_parked_event(sqlite: str) -> None:
    mood = Mood()
    mood.bad = {"a:2"}
    beside = moody(mood)
    async with App(Account, beside, store=sqlite) as app:
        await deposit(app, a=1)
        await deposit(app, a=2)
        await app.settle()
        assert len(await app.dead_letters.list()) == 1
    view = moody(mood, inline=True)
    async with App(Account, view, store=sqlite) as app:
        await app.settle()
        await deposit(app, a=3)
        await deposit(app, b=4)
        await app.settle()
        assert await rows(app, view) == {"a": 1, "b": 4}
        assert len(await app.dead_letters.list()) == 2
        mood.bad = set()
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        await app.settle()
        assert await rows(app, view) == {"a": 123, "b": 4}
        await deposit(app, a=5)
        assert await rows(app, view) == {"a": 1235, "b": 4}


async def test_of_two_apps_one_may_have_the_view_inline_and_it_is_never_wrong(sqlite: str) -> None:
    view = inline_balances()
    async with App(Account, view, store=sqlite) as one, App(Account, store=sqlite) as two:
        for n in range(20):
            await deposit(one if n % 3 else two, a=1)
        await one.settle()
        assert await rows(one, view) == {"a": 20}
        await asyncio.gather(*[app.send(Deposit(account=f"b{n}", amount=1)) for n in range(30) for app in (one, two)])
        await one.settle()
        assert await rows(one, view) == {"a": 20, **{f"b{n}": 2 for n in range(30)}}
        assert not await one.dead_letters.list()


# -- fresh answers ------------------------------------------------------------------------------------------------


async def test_an_answer_after_a_receipt_has_seen_it(url: str) -> None:
    async with App(*BANK, store=url) as app:
        for n in range(1, 40):
            receipt = await deposit(app, a=1)
            assert await app.ask(BalanceOf(account="a"), after=receipt) == Balance(account="a", amount=n, movements=n)
        again = await app.ask(BalanceOf(account="a"), after=int(receipt.position))
        assert again == Balance(account="a", amount=39, movements=39)


class Both(Query[tuple[int, int]]):
    pass


@contextlib.asynccontextmanager
async def with_held_up_view(url: str, *more: Any) -> AsyncIterator[tuple[App, Any, Callable[[], None]]]:
    """An App of which the view `held` does not move until let go: another owner has its lease and does nothing."""
    held = projection("held", key=lambda e: e.account)(balances.fold)
    app = App(Account, balances, held, balance_of, *more, store=url)
    await app.start(processors=True)
    await app.settle()
    processor = next(p for p in app._running.processors if "held" in p.name)  # type: ignore[union-attr]
    position = app._running.read.progress.position(processor.name)  # type: ignore[union-attr]
    await processor.stop()
    app._running.read.progress.note(processor.name, position or 0)  # type: ignore[union-attr]
    try:
        yield app, held, processor.start
    finally:
        await app.stop()


async def test_a_question_waits_for_exactly_the_views_it_reads(url: str) -> None:
    async with with_held_up_view(url) as (app, _, _):
        receipt = await deposit(app, a=1)
        answer = await app.ask(BalanceOf(account="a"), after=receipt)
        assert answer == Balance(account="a", amount=1, movements=1)


class Held(Query[int]):
    pass


async def test_an_answer_that_is_too_old_is_an_error_that_carries_the_answer_and_the_lag(url: str) -> None:
    held = projection("held", key=lambda e: e.account)(balances.fold)

    @query_handler
    async def count(query: Held, views: Views) -> int:
        return await views[held].count()

    async with with_held_up_view(url, count) as (app, _, let_go):
        await deposit(app, a=1, b=1)
        receipt = await deposit(app, c=1)
        with pytest.raises(StaleAnswer, match=r"held did not reach position 3 within 0\.02 s") as caught:
            await app.ask(Held(), after=receipt, within=0.02)
        assert (caught.value.answer, caught.value.lag, caught.value.data["views"]) == (0, 3, {"held": 3})
        assert await app.ask(Held()) == 0  # who does not ask for freshness is not told
        waiting = asyncio.create_task(app.ask(Held(), after=receipt, within=30))
        await asyncio.sleep(0)
        let_go()
        assert await waiting == 3


async def test_waiting_for_a_flow_ends_with_its_time(url: str) -> None:
    async with with_held_up_view(url) as (app, _, let_go):
        receipt = await deposit(app, a=1)
        with pytest.raises(StaleAnswer, match="projection:held@1 did not reach position 1"):
            await app.settled(receipt, within=0.02)
        with pytest.raises(StaleAnswer):
            await app.settle(within=0.02)
        lag = {x.processor: x for x in await app.lag()}
        assert (lag["projection:held@1"].events_behind, lag["projection:held@1"].state) == (1, "stopped")
        assert lag["projection:balances@1"].events_behind == 0
        let_go()
        await app.settled(receipt)


async def test_a_question_that_cannot_be_answered_is_refused_with_what_there_is(url: str) -> None:
    async with App(*BANK, store=url) as app:
        with pytest.raises(UnknownMessage, match="no part of this App answers Both"):
            await app.ask(Both())
        with pytest.raises(InvalidMessage, match="is negative"):
            await app.ask(BalanceOf(account="a"), within=-1)
        with pytest.raises(UnknownView, match=r"no view 'other'.*\nWhy: it has balances"):
            app.views[projection("other", key=lambda e: e.account)(balances.fold)]
        with pytest.raises(NoSuchField):
            await app.views[balances].find(colour="red")
        with pytest.raises(NoSuchField):
            await app.views[balances].find(order_by="colour")
        with pytest.raises(NoSuchField):
            await app.views[balances].count(colour="red")


async def test_rows_are_found_counted_ordered_and_cut(url: str) -> None:
    async with App(*BANK, store=url) as app:
        receipt = await deposit(app, a=3, b=1, c=2, d=1)
        await app.settled(receipt)
        view = app.views[balances]
        assert [r.account for r in await view.find()] == ["a", "b", "c", "d"]
        assert [r.account for r in await view.find(order_by="amount", descending=True, limit=2)] == ["a", "c"]
        assert [r.account for r in await view.find(limit=2, offset=1)] == ["b", "c"]
        assert [r.account for r in await view.find(amount=1)] == ["b", "d"]
        assert (await view.count(), await view.count(amount=1), await view.count(amount=9)) == (4, 2, 0)
        assert set(await view.get_many(["a", "z", "d"])) == {"a", "d"}
        assert await view.get("z") is None
        assert app.views.names() == ["balances"]
        assert await app.views.named("balances").count() == 4


# -- Crud ---------------------------------------------------------------------------------------------------------


class Product(Row):
    sku: str
    name: str
    price: int = 0


products = Crud(Product, key="sku")


async def test_master_data_is_written_and_read_without_commands_or_events(url: str) -> None:
    async with App(products, store=url) as app:
        table = app.crud(products)
        await table.put(Product(sku="pen", name="Pen", price=2), Product(sku="ink", name="Ink", price=9))
        await table.put(Product(sku="pen", name="Pen", price=3))
        assert await table.get("pen") == Product(sku="pen", name="Pen", price=3)
        assert [p.sku for p in await table.find(order_by="price")] == ["pen", "ink"]
        assert await app.views[products].count() == 2
        await table.delete("pen", "nothing")
        assert await table.get("pen") is None
        with pytest.raises(InvalidMessage, match="is not a Product"):
            await table.put(Balance(account="a"))  # type: ignore[arg-type]
        with pytest.raises(UnknownView, match="'balance' is not part"):
            app.crud(Crud(Balance))
        assert await app.storage.head() == 0


async def test_master_data_survives_and_a_changed_class_is_refused_not_misread(sqlite: str) -> None:
    async with App(products, store=sqlite) as app:
        await app.crud(products).put(Product(sku="pen", name="Pen"))
    async with App(products, store=sqlite) as app:
        assert await app.crud(products).get("pen") == Product(sku="pen", name="Pen")

    class Other(Row):
        sku: str
        colour: str

    with pytest.raises(ConfigurationError, match="'product' has other columns than Other"):
        async with App(Crud(Other, name="product"), store=sqlite):
            pass
    async with App(products, store=sqlite) as app:
        assert await app.views[products].count() == 1


# -- history ------------------------------------------------------------------------------------------------------


async def test_the_audit_log_answers_who_what_when(url: str) -> None:
    clock = VirtualClock(datetime(2026, 3, 1, tzinfo=UTC))
    async with App(*BANK, store=url, clock=clock) as app:
        for n, (actor, tenant) in enumerate([("ann", "acme"), ("bob", "acme"), ("ann", "zeta")]):
            await app.send(Deposit(account=f"a{n}", amount=n + 1), actor=actor, tenant=tenant)
            await clock.advance(timedelta(days=1))
        await app.send(Transfer(transfer="t", source="a2", target="a0", amount=1), actor="bob")
        await app.settle()

        async def positions(**conditions: Any) -> list[int]:
            return [r.position async for r in app.events(**conditions)]

        assert await positions() == [1, 2, 3, 4, 5, 6]
        assert await positions(actor="ann") == [1, 3]
        assert await positions(tenant="acme", actor="bob") == [2]
        assert await positions(category="transfer") == [4]
        assert await positions(stream="account-a0") == [1, 6]
        assert await positions(since=datetime(2026, 3, 2, tzinfo=UTC), until=datetime(2026, 3, 3, tzinfo=UTC)) == [2, 3]
        assert await positions(after=4) == [5, 6]
        assert await positions(newest_first=True, limit=2) == [6, 5]
        assert await positions(stream="account-a0", newest_first=True) == [6, 1]
        with pytest.raises(InvalidMessage, match="has no time zone"):
            await positions(since=datetime(2026, 3, 2))


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("stream", [None, "account-a"])
async def test_a_history_longer_than_a_page_is_read_whole_and_lazily(
    url: str, stream: str | None, newest_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daicho.read.history._PAGE", 10)
    async with App(Account, store=url) as app:
        await asyncio.gather(*[app.send(Deposit(account="a", amount=1)) for _ in range(35)])
        found = [int(r.position) async for r in app.events(stream=stream, newest_first=newest_first)]
        assert found == sorted(range(1, 36), reverse=newest_first)
        assert len([r async for r in app.events(stream=stream, newest_first=newest_first, limit=23)]) == 23


async def test_a_subscription_gives_what_was_and_then_what_comes(url: str) -> None:
    async with App(Account, store=url) as app:
        await deposit(app, a=1, b=2)
        got: list[int] = []
        enough = asyncio.Event()

        async def listen() -> None:
            async for record in app.subscribe(after=1):
                got.append(record.position)
                if len(got) == 31:
                    enough.set()

        listener = asyncio.create_task(listen())
        await asyncio.gather(*[app.send(Deposit(account=f"c{n}", amount=1)) for n in range(30)])
        async with asyncio.timeout(10):
            await enough.wait()
        assert got == list(range(2, 33))
        listener.cancel()
        await asyncio.wait([listener])


async def test_a_subscription_to_one_category_or_stream_gives_only_that(url: str) -> None:
    async with App(*BANK, store=url) as app:
        await deposit(app, a=5)
        await app.send(Transfer(transfer="t", source="a", target="b", amount=1))
        await app.settle()
        for conditions, expected in (({"category": "transfer"}, [2]), ({"stream": "account-a"}, [1, 3])):
            got: list[int] = []
            async for record in app.subscribe(**conditions):  # type: ignore[arg-type]
                got.append(record.position)
                if len(got) == len(expected):
                    break
            assert got == expected


async def test_a_subscription_hears_what_another_app_writes(sqlite: str) -> None:
    async with App(Account, store=sqlite) as one, App(Account, store=sqlite) as two:
        heard = asyncio.create_task(anext(one.subscribe()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await deposit(two, a=1)
        async with asyncio.timeout(10):
            assert (await heard).event == Deposited(account="a", amount=1)


async def test_a_subscription_ends_with_the_app(url: str) -> None:
    async with App(Account, store=url) as app:
        waiting = asyncio.create_task(anext(app.subscribe()))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        with pytest.raises((NotRunning, StoreClosed)):
            await waiting


async def test_a_flow_is_traced_as_a_tree_from_any_of_its_ids(url: str) -> None:
    async with App(*BANK, store=url) as app:
        await deposit(app, a=5)
        receipt = await app.send(Transfer(transfer="t", source="a", target="b", amount=5), actor="ann")
        await app.settled(receipt)
        refused = await app.send(Transfer(transfer="u", source="a", target="b", amount=5))
        await app.settled(refused)
        trace = await app.trace(receipt)
        assert trace is not None
        assert (trace.events, trace.commands, trace.correlation_id) == (3, 3, receipt.correlation_id)
        path: list[tuple[str, str, str | None]] = []
        node = trace.roots[0]
        while True:
            path.append((node.kind, node.name, node.handler))
            if not node.children:
                break
            [node] = node.children
        assert path == [
            ("command", "Transfer", None),
            ("event", "transfer.started", None),
            ("command", "Withdraw", "pay_out"),
            ("event", "account.withdrawn", None),
            ("command", "Deposit", "pay_in"),
            ("event", "account.deposited", None),
        ]
        assert node.data == {"account": "b", "amount": 5, "transfer": "t"}
        records = [r async for r in app.events(correlation=receipt.correlation_id)]
        for reference in (receipt.command_id, records[1].event_id, records[2].event_id, "transfer-t"):
            assert await app.trace(reference) == trace
        dead_end = await app.trace("transfer-u")
        assert dead_end is not None
        [command] = dead_end.roots[0].children[0].children
        assert (command.name, command.outcome, command.reason) == ("Withdraw", "rejected", "not enough money")
        assert await app.trace("nothing-like-it") is None
        assert await app.trace(str(uuid4())) is None


async def test_a_refused_command_from_outside_can_be_traced(url: str) -> None:
    async with App(*BANK, store=url) as app:
        command = str(uuid4())
        with pytest.raises(Rejected):
            await app.send(Withdraw(account="a", amount=5), command_id=command, actor="ann")
        trace = await app.trace(command)
        assert trace is not None
        assert [(n.name, n.outcome, n.actor) for n in trace.roots] == [("Withdraw", "rejected", "ann")]


async def test_a_position_is_what_it_says(url: str) -> None:
    async with App(Account, store=url) as app:
        receipt = await deposit(app, a=1)
        assert isinstance(receipt.position, Position)
        assert (receipt.position.epoch, receipt.position.number) == (0, 1)
