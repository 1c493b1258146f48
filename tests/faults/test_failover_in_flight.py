"""What was decided on one server, and would be written on the one that took over without the last of its events.

The server is the same all the while: its last events are taken away, and an epoch is begun, as if it had been put back.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from daicho import App, Criteria, Rejected, projection
from daicho.adapters.stores.postgres.location import parse_url
from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.conditions import AppendCondition
from daicho.core.errors import ConcurrencyError, LostLease
from daicho.ports.event_store import Appended, AppendRequest, Narrow
from daicho.read import rebuild, stride
from daicho.read.projector import Projector
from daicho.testing.contracts.base import append, event, refusal, request
from tests.bank import Account, Balance, Deposit, Deposited, Open, Withdraw, balances


@projection("deposits", key=lambda event: event.account, inline=True)
def deposits(row: Balance | None, event: Deposited) -> Balance:
    return Balance(account=event.account, amount=(row.amount if row else 0) + event.amount)


async def lose(store: Any, behind: int) -> None:
    """Another server takes over, which has nothing behind that position; the store notices."""
    with psycopg.connect(parse_url(store.url).conninfo, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # which no trigger keeps from it
        for table in ("events", "event_tags"):
            connection.execute(f"delete from daicho.{table} where position > %s", (behind,))
    assert isinstance(store, PostgresStorage)
    epoch = await store.begin_epoch()
    assert (epoch.epoch, epoch.survived) == (1, behind)


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[PostgresStorage]:
    store = PostgresStorage(url, now=lambda: datetime.now(UTC))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize("way", ["alone", "with a key", "inline"])
async def test_a_command_decided_on_what_was_lost_is_decided_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    parts: list[Any] = [Account, deposits] if way == "inline" else [Account]
    async with App(*parts, store=postgres_url) as app:
        kept = await app.send(Open(account="a"))
        await app.settle()
        await app.send(Deposit(account="a", amount=100))
        there, go = asyncio.Event(), asyncio.Event()
        append_ = app.storage.append

        async def gated(requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
            there.set()
            await go.wait()
            return await append_(requests)

        monkeypatch.setattr(app.storage, "append", gated)
        key = "once" if way == "with a key" else None
        deciding = asyncio.create_task(app.send(Withdraw(account="a", amount=50), key=key))
        try:
            await there.wait()
            await lose(app.storage, behind=kept.position)
            async with App(Account, store=postgres_url, name="faster") as other:
                assert (await other.send(Deposit(account="a", amount=1))).version == 2  # as many events as before
        finally:
            go.set()
        with pytest.raises(Rejected, match="not enough money"):
            await deciding
        assert (await app.load(Account, "a")).balance == 1


async def test_a_decision_within_a_boundary_that_has_seen_what_was_lost_is_refused(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        [kept] = await append(store, request("seat-1", event("booked", tags=("seat:1",))))
        [lost] = await append(store, request("seat-1", event("freed", tags=("seat:1",))))
        await lose(store, behind=kept.positions[-1])
        seat = Criteria(tags=["seat:1"])
        for condition in (
            AppendCondition(seat, after=lost.positions[-1]),
            AppendCondition(seat, after=kept.positions[-1], seen=lost.positions),
        ):
            error = await refusal(store, request("seat-1", "booked", condition=condition))
            assert isinstance(error, ConcurrencyError)
            assert error.expected == condition
        await append(store, request("seat-1", "freed", condition=AppendCondition(seat, after=kept.positions[-1])))


async def test_an_append_that_survived_is_told_so_and_others_of_its_group_are_not_held_up(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        survived = request("a-1", "first", expected=0, epoch=0)
        second = request("a-1", "second", expected=1, epoch=0)
        [first, there] = [(await append(store, each))[0] for each in (survived, second)]
        await append(store, request("b-1", "lost"))
        await lose(store, behind=there.positions[-1])
        fresh = request("c-1", "fresh", expected=0, epoch=0)  # nothing can be lost of what never was
        overtaken = request("d-1", "late", expected=1, epoch=0)
        assert await store.append([second]) == [Appended(positions=there.positions, versions=(2,), duplicate=True)]
        told = await store.append([survived, second, fresh, overtaken])
    assert told[:2] == [
        Appended(positions=first.positions, versions=(1,), duplicate=True),
        Appended(positions=there.positions, versions=(2,), duplicate=True),
    ]
    assert isinstance(told[2], Appended)
    assert not told[2].duplicate
    assert isinstance(told[3], ConcurrencyError)


async def test_a_rebuild_never_takes_lost_events_along_into_the_next_epoch(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "_PAGE", 1)
    monkeypatch.setattr(stride, "_AT_LEAST_EVERY", float("inf"))  # what is folded waits to be written
    async with App(Account, balances, store=postgres_url) as app:
        kept = await app.send(Deposit(account="a", amount=1))
        await app.settle()
        await app.send(Deposit(account="a", amount=1000))
        head, gather, folded = app.storage.head, Projector.gather, list[Narrow]()

        async def gathered(projector: Projector, events: Sequence[Narrow]) -> bool:
            folded.extend(events)
            return await gather(projector, events)

        async def looked() -> int:
            if len(folded) == 2:  # both events, and what came of them is not written
                await lose(app.storage, behind=kept.position)
                await app.send(Deposit(account="a", amount=2))
            return await head()

        monkeypatch.setattr(Projector, "gather", gathered)
        monkeypatch.setattr(app.storage, "head", looked)
        with pytest.raises(LostLease):
            async for _ in app.projections.deploy("balances"):
                pass
        monkeypatch.undo()
        async for _ in app.projections.rebuild("balances"):
            pass
        row = await app.views[balances].get("a")
        assert row is not None
        assert row.amount == 3
