"""Everything at once, with pages so small that every seam between two of them is met: writers, views whole, in segments
and in SQL, reactions, a subscriber, and somebody who pauses, rebuilds, compares and switches all the while.

At rest, whatever was derived equals what plain bookkeeping makes of the log. The log itself is read in one large page.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from daicho import App, DaichoError, Projection, RecordedEvent, Row, event_handler, projection, sql_projection
from daicho.read import feed
from tests.bank import BANK, Balance, Deposit, Deposited, Opened, Transfer, Withdrawn, balances

LONG = bool(os.environ.get("DAICHO_CAMPAIGN"))
SEEDS = range(1, 31) if LONG else range(1, 3)
STEPS = 400 if LONG else 60
pytestmark = [pytest.mark.slow, *([pytest.mark.campaign] if LONG else [])]


@projection("in_segments", key=lambda event: event.account)
def in_segments(row: Balance | None, event: Opened | Deposited | Withdrawn) -> Balance:
    row = row or Balance(account=event.account)
    change = 0 if isinstance(event, Opened) else event.amount if isinstance(event, Deposited) else -event.amount
    return Balance(account=event.account, amount=row.amount + change, movements=row.movements + 1)


class Sum(Row):
    account: str
    amount: int = 0
    movements: int = 0


ADD = (
    "insert into {{table}} (_key, account, amount, movements) "
    "select data->>'account', data->>'account', sum({amount}), count(*) from {{events}} where true group by 1 "
    "on conflict (_key) do update set amount = {{table}}.amount + excluded.amount, "
    "movements = {{table}}.movements + excluded.movements"
)
sums = sql_projection(
    "sums",
    row=Sum,
    events=[Deposited],
    sql={
        "sqlite": ADD.format(amount="data->>'amount'"),
        "postgresql": ADD.format(amount="(data->>'amount')::bigint"),
    },
)


def by_hand(events: Iterable[RecordedEvent[Any]], *kinds: type) -> dict[str, tuple[int, int]]:
    rows: dict[str, tuple[int, int]] = {}
    for event in (each.event for each in events):
        if isinstance(event, kinds):
            amount, count = rows.get(event.account, (0, 0))
            change = {Opened: 0, Deposited: 1, Withdrawn: -1}[type(event)] * getattr(event, "amount", 0)
            rows[event.account] = amount + change, count + 1
    return rows


def small_pages(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    for name, sizes in {
        "stride._FAR": (10, 40), "stride._SHORT_PAGE": (3, 7, 50), "stride._ENOUGH": (1, 20), "stride._PAGE": (3, 11),
        "rebuild._PAGE": (3, 11, 100), "set_projector._PAGE": (3, 9), "history._PAGE": (3, 10),
    }.items():  # fmt: skip
        patch.setattr(f"daicho.read.{name}", dice.choice(sizes))
    made, size = feed.Feed.__init__, dice.choice((3, 8, 50))
    patch.setattr(feed.Feed, "__init__", lambda self, *parts: made(self, *parts, page_size=size))


async def write(app: App, dice: random.Random, who: int) -> None:
    for n in range(STEPS):
        match dice.randrange(5):
            case 0:
                source, target = f"a{dice.randrange(9)}", f"a{dice.randrange(9)}"
                await app.send(Transfer(transfer=f"{who}-{n}", source=source, target=target, amount=1))
            case 1:
                many = [Deposit(account=f"b{dice.randrange(30)}", amount=1) for _ in range(dice.randrange(1, 40))]
                await asyncio.gather(*map(app.send, many))
            case _:
                await app.send(Deposit(account=f"a{dice.randrange(9)}", amount=dice.randrange(1, 50)))


async def tend(app: App, dice: random.Random, names: list[str], done: asyncio.Event) -> list[str]:
    """Gives back what a comparison found to differ, of which there is nothing."""
    found: list[str] = []
    while not done.is_set():
        name = dice.choice(names)
        try:
            match dice.randrange(3):
                case 0:
                    mine = [c.processor for c in await app.storage.checkpoints() if f":{name}@" in c.processor]
                    for each in mine:
                        await app.processors.pause(each)
                    await asyncio.sleep(dice.random() * 0.2)
                    for each in mine:
                        await app.processors.resume(each)
                case 1:
                    assert [step async for step in app.rebuild(name)][-1].switched
                case _:
                    async for _ in app.projections.deploy(name):
                        pass
                    diff = await app.projections.diff(name, within=60.0)
                    found += [] if diff.same else [repr(diff)]
                    await app.projections.switch(name)
        except DaichoError:  # two of these at once may be in each other's way, and say so
            await asyncio.sleep(0)
    return found


async def until_all(heard: list[int], many: int) -> None:
    while len(heard) < many:  # noqa: ASYNC110 - the subscriber is a plain user's loop, which tells nobody
        await asyncio.sleep(0.01)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> str:
    kind = request.param
    return "memory:" if kind == "memory" else request.getfixturevalue("sqlite" if kind == "sqlite" else "postgres_url")


@pytest.mark.parametrize("seed", SEEDS)
async def test_at_rest_everything_derived_equals_the_log(
    place: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    small_pages(monkeypatch, dice)
    effects, heard = Counter[str](), list[int]()

    @event_handler
    async def effect(event: Withdrawn) -> None:
        effects[event.transfer] += 1

    views: list[Projection[Any] | Any] = [balances, in_segments, *([] if place == "memory:" else [sums])]
    parts = [*BANK, in_segments, effect, *views[2:]]
    async with App(*parts, store=place, segments={in_segments: 4}) as app:
        done = asyncio.Event()

        async def listen() -> None:
            async for event in app.subscribe(after=0):
                heard.append(event.position)

        listening = asyncio.create_task(listen())
        tending = asyncio.create_task(tend(app, random.Random(seed), [view.name for view in views], done))
        await asyncio.gather(*[write(app, random.Random(seed * 100 + n), n) for n in range(3)])
        done.set()
        assert await tending == []
        await app.settle()
        monkeypatch.setattr("daicho.read.history._PAGE", 1_000_000)
        log = [event async for event in app.events()]
        for view in views[:2]:
            rows = {row.account: (row.amount, row.movements) for row in await app.views[view].find()}
            assert rows == by_hand(log, Opened, Deposited, Withdrawn), view.name
        for view in views[2:]:
            rows = {row.account: (row.amount, row.movements) for row in await app.views[view].find()}
            assert rows == by_hand(log, Deposited)
        assert effects == Counter({e.event.transfer: 1 for e in log if isinstance(e.event, Withdrawn)})
        async with asyncio.timeout(120):
            await until_all(heard, len(log))
        listening.cancel()
        await asyncio.wait([listening])
        assert heard == [event.position for event in log]
