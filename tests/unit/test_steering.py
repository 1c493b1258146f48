"""Pausing, resuming and rewinding readers of the log, and waiting for several views at once."""

from typing import Any

import pytest

from daicho import App, StaleAnswer, event_handler, projection
from daicho.core.errors import ConfigurationError, InvalidMessage, NotFound
from tests.bank import BANK, Account, Balance, Deposit, Deposited, balances


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, sqlite: str) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return "memory:" if request.param == "memory" else sqlite


other = projection("other", key=lambda e: e.account)(balances.fold)
heard: list[int] = []


@event_handler(from_start=True)
async def hear(event: Deposited) -> None:
    heard.append(event.amount)


def steered(store: str) -> App:
    heard.clear()
    return App(Account, balances, other, hear, store=store)


async def amount(app: App, table: Any = balances) -> int:
    row: Balance | None = await app.views[table].get("a")
    return row.amount if row else 0


async def test_what_is_paused_sees_nothing_until_it_is_resumed(store: str) -> None:
    async with steered(store) as app:
        await app.send(Deposit(account="a", amount=1))
        await app.settle()
        await app.processors.pause("balances")
        receipt = await app.send(Deposit(account="a", amount=2))
        assert (await app.barrier(other, after=receipt), await amount(app, other)) == (2, 3)
        with pytest.raises(StaleAnswer):
            await app.barrier(balances, after=receipt, within=0.1)
        [lag] = [lag for lag in await app.lag() if lag.processor == "projection:balances@1"]
        assert (lag.state, lag.position, lag.events_behind, await amount(app)) == ("paused", 1, 1, 1)
        await app.processors.resume("projection:balances@1")
        await app.settle()
        assert await amount(app) == 3


async def test_a_pause_outlives_the_app(store: str) -> None:
    if store == "memory:":
        pytest.skip("what is in memory outlives nothing")
    async with App(*BANK, store=store) as app:
        await app.processors.pause("balances")
    async with App(*BANK, store=store) as app:
        await app.send(Deposit(account="a", amount=2))
        with pytest.raises(StaleAnswer):
            await app.settle(within=0.3)
        await app.processors.resume("balances")
        await app.settle()
        assert await amount(app) == 2


async def test_a_handler_that_is_put_back_sees_what_lies_behind_again(store: str) -> None:
    async with steered(store) as app:
        for n in range(1, 6):
            await app.send(Deposit(account="a", amount=n))
        await app.settle()
        assert heard == [1, 2, 3, 4, 5]
        await app.processors.rewind("hear", 3)
        await app.settle()
        assert heard == [1, 2, 3, 4, 5, 4, 5]


async def test_commands_of_a_handler_that_is_put_back_are_not_carried_out_again(store: str) -> None:
    async with App(*BANK, store=store) as app:
        for n in range(1, 6):
            await app.send(Deposit(account="a", amount=n))
        await app.settle()
        before = [r.event_id async for r in app.events()]
        for lag in await app.lag():
            if lag.processor.startswith("reaction:"):
                await app.processors.rewind(lag.processor, 0)
        await app.settle()
        assert [r.event_id async for r in app.events()] == before


async def test_what_cannot_be_done_is_told_and_not_done(store: str) -> None:
    async with steered(store) as app:
        await app.send(Deposit(account="a", amount=1))
        await app.settle()
        with pytest.raises(ConfigurationError, match="projection rebuild balances"):
            await app.processors.rewind("balances", 0)
        for position in (-1, 5):
            with pytest.raises(InvalidMessage, match=f"position {position}"):
                await app.processors.rewind("hear", position)
        for act in (app.processors.pause, app.processors.resume):
            with pytest.raises(NotFound, match="no processor 'nobody'"):
                await act("nobody")
        assert (await amount(app), heard) == (1, [1])


async def test_behind_a_barrier_no_view_is_older_than_another(store: str) -> None:
    async with steered(store) as app:
        for _ in range(1, 60):
            await app.send(Deposit(account="a", amount=1))
            shown = await amount(app)
            assert await app.barrier(balances, other) >= shown
            assert await amount(app, other) >= shown
        receipt = await app.send(Deposit(account="a", amount=1))
        assert await app.barrier(balances, other, after=receipt) == receipt.position
        assert (await amount(app), await amount(app, other)) == (60, 60)
