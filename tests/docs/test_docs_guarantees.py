"""Guarantees of the whole that no smaller test proves. `docs/reference/guarantees.md` names them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from daicho import (
    Aggregate,
    App,
    Command,
    Event,
    Query,
    Rejected,
    Row,
    StaleAnswer,
    Views,
    apply,
    event_handler,
    handle,
    projection,
    query_handler,
    replace,
)
from daicho.testing import crash_at


class Pay(Command):
    account: str
    amount: int


class Thank(Command):
    account: str


class Paid(Event, name="paid"):
    account: str
    amount: int


class Thanked(Event, name="thanked"):
    account: str


class Account(Aggregate, category="account", key="account"):
    balance: int = 0

    @handle
    def pay(self, command: Pay) -> Iterator[Paid]:
        if self.balance + command.amount < 0:
            raise Rejected("not enough")
        yield Paid(account=command.account, amount=command.amount)

    @apply
    def paid(self, event: Paid) -> None:
        self.balance += event.amount


class Letters(Aggregate, category="letters", key="account"):
    written: int = 0

    @handle
    def thank(self, command: Thank) -> Iterator[Thanked]:
        yield Thanked(account=command.account)

    @apply
    def thanked(self, _: Thanked) -> None:
        self.written += 1


@event_handler
def thank(event: Paid) -> Iterator[Thank]:
    yield Thank(account=event.account)


class Total(Row):
    account: str
    balance: int = 0
    payments: int = 0


@projection("totals", key=lambda event: event.account)
def totals(row: Total | None, event: Paid) -> Total:
    if event.amount == 13:
        raise ValueError("13")
    row = row or Total(account=event.account)
    return replace(row, balance=row.balance + event.amount, payments=row.payments + 1)


class TotalOf(Query[Total | None]):
    account: str


@query_handler
async def total_of(query: TotalOf, views: Views) -> Total | None:
    return await views[totals].get(query.account)


PARTS = (Account, Letters, thank, totals, total_of)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'app.db'}?durability=relaxed"


async def thanks(app: App) -> int:
    return sum([1 async for _ in app.events(category="letters")])


@pytest.mark.parametrize(
    "point",
    [
        "append.before",
        "append.after",
        "reaction.before",
        "reaction.after",
        "projection.before",
        "projection.after",
    ],
)
async def test_a_crash_at_any_point_loses_and_doubles_nothing(url: str, point: str) -> None:
    crash = crash_at(point, nth=2)
    async with crash.of(App(*PARTS, store=url, probe=crash)) as app:
        for n in range(3):
            await app.send(Pay(account="a", amount=10), key=f"p-{n}")
            await app.settle(within=5)  # so that each is a page of its own
    async with App(*PARTS, store=url) as app:
        for n in range(3):  # the caller does not know which came through, and sends them all again
            await app.send(Pay(account="a", amount=10), key=f"p-{n}")
        await app.settle()
        assert (await app.load(Account, "a")).balance == 30
        assert await app.views[totals].get("a") == Total(account="a", balance=30, payments=3)
        assert await thanks(app) == 3


async def test_a_posted_command_survives_a_crash_and_counts_once(url: str) -> None:
    crash = crash_at("post.before")
    async with crash.of(App(*PARTS, store=url, probe=crash)) as app:
        command_id = await app.post(Pay(account="a", amount=10))
        await app.settle(within=5)
    async with App(*PARTS, store=url) as app:
        await app.settle()
        outcome = await app.status(command_id)
        assert outcome is not None
        assert outcome.state == "done"
        assert (await app.load(Account, "a")).balance == 10


async def test_concurrent_commands_on_one_stream_see_each_other(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Pay(account="a", amount=10))
        spent = await asyncio.gather(
            *[app.send(Pay(account="a", amount=-1)) for _ in range(25)], return_exceptions=True
        )
        assert sum(isinstance(answer, Rejected) for answer in spent) == 15
        assert (await app.load(Account, "a")).balance == 0


async def test_a_poison_event_stops_its_own_key_only_and_keeps_the_order(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        for account, amount in (("a", 1), ("a", 13), ("a", 2), ("b", 5)):
            await app.send(Pay(account=account, amount=amount))
        await app.settle()
        assert await app.views[totals].get("a") == Total(account="a", balance=1, payments=1)
        assert await app.views[totals].get("b") == Total(account="b", balance=5, payments=1)
        letters = await app.dead_letters.list()
        assert [(letter.key, letter.error is None) for letter in letters] == [("a", False), ("a", True)]
        await app.dead_letters.skip(letters[0].number, "a test")
        await app.dead_letters.retry()
        await app.dead_letters.retried()
        assert await app.views[totals].get("a") == Total(account="a", balance=3, payments=2)


async def test_a_rebuild_runs_projections_and_no_reactions(url: str) -> None:
    async with App(*PARTS, store=url) as app:
        await app.send(Pay(account="a", amount=10))
        await app.settle()
        before = await app.views[totals].get("a")
        steps = [step async for step in app.rebuild("totals")]
        await app.settle()
        assert steps[-1].switched
        assert await app.views[totals].get("a") == before
        assert await thanks(app) == 1


async def test_a_new_reaction_starts_from_now_and_a_new_projection_from_the_beginning(url: str) -> None:
    async with App(Account, store=url) as app:
        await app.send(Pay(account="a", amount=10))
    async with App(*PARTS, store=url) as app:
        await app.send(Pay(account="a", amount=5))
        await app.settle()
        assert await thanks(app) == 1
        assert await app.views[totals].get("a") == Total(account="a", balance=15, payments=2)


async def test_an_answer_has_seen_the_receipt_or_says_that_it_is_stale(url: str) -> None:
    async with App(*PARTS, store=url) as app, App(*PARTS, store=url) as other:
        receipt = await app.send(Pay(account="a", amount=10))
        total = await other.ask(TotalOf(account="a"), after=receipt)
        assert total is not None
        assert total.payments == 1
        with pytest.raises(StaleAnswer) as stale:
            await app.ask(TotalOf(account="a"), after=int(receipt.position) + 1000, within=0.01)
        assert stale.value.answer == total
