"""Post, redirect, get: with the receipt as a token, no page shows less than what was posted, however late views are."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from daicho import App
from daicho.core.errors import StaleAnswer
from daicho.read.projector import Projector
from tests.bank import BANK, Balance, BalanceOf, Deposit, balances

CLIENTS, ROUNDS, LATE = 400, 25, 0.2


LONG = [pytest.param(each, marks=pytest.mark.campaign) for each in ("memory", "redis")]


@pytest.fixture(params=[*LONG, "sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, sqlite: str, read_store_url: Callable[[str], str]
) -> tuple[str, dict[Any, str]]:
    """Where the events are, and where rows are, if elsewhere."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url"), {}
    if request.param == "redis":
        return sqlite, {balances: read_store_url("redis")}
    return ("memory:" if request.param == "memory" else sqlite), {}


@pytest.fixture(autouse=True)
def late_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write of a projection takes as long again as `LATE`."""
    write = Projector._write  # pyright: ignore[reportPrivateUsage]

    async def late(self: Projector, *args: Any, **options: Any) -> None:
        await asyncio.sleep(LATE)
        await write(self, *args, **options)

    monkeypatch.setattr(Projector, "_write", late)


@pytest.mark.slow
async def test_ten_thousand_pages_after_posts_and_none_is_stale(place: tuple[str, dict[Any, str]]) -> None:
    waited: list[float] = []

    async def client(app: App, name: str) -> int:
        stale = 0
        for n in range(1, ROUNDS + 1):
            receipt = await app.send(Deposit(account=name, amount=1))
            begun = time.perf_counter()
            row = await app.ask(BalanceOf(account=name), after=receipt, within=30)
            waited.append(time.perf_counter() - begun)
            stale += row is None or row.amount != n
        return stale

    async with App(*BANK, store=place[0], views=place[1]) as app:
        stale = await asyncio.gather(*[client(app, f"a{n}") for n in range(CLIENTS)])
    assert (len(waited), sum(stale)) == (10_000, 0)
    waited.sort()
    assert waited[len(waited) // 2] > LATE / 2, "the views were not late at all"
    print(f"waited p50 {waited[5000]:.3f} s, p99 {waited[9900]:.3f} s")


async def test_without_a_token_the_same_page_is_stale_and_with_too_little_time_it_says_so(
    place: tuple[str, dict[Any, str]],
) -> None:
    async with App(*BANK, store=place[0], views=place[1]) as app:
        receipt = await app.send(Deposit(account="a", amount=1))
        assert await app.ask(BalanceOf(account="a")) is None
        with pytest.raises(StaleAnswer) as caught:
            await app.ask(BalanceOf(account="a"), after=receipt, within=0.01)
        assert (caught.value.answer, caught.value.lag) == (None, 1)
        assert await app.ask(BalanceOf(account="a"), after=receipt) == Balance(account="a", amount=1, movements=1)
