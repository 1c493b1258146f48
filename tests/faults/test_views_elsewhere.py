"""Views with rows in Redis, MongoDB or OpenSearch: nothing is lost or counted twice, whatever breaks in between."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from daicho import Aggregate, App, Change, Command, Event, Query, Row, Views, apply, handle, projection, query_handler
from daicho.core.errors import BadUrl, ConfigurationError, StoreUnavailable, UnknownView
from daicho.testing import VirtualClock
from daicho.wiring.urls import open_read_store, open_storage
from tests.services import redis as redis_servers
from tests.services.find import needed
from tests.services.redis import Redis
from tests.services.running import Host


class Move(Command):
    transfer: str
    source: str
    target: str
    amount: int


class Close(Command):
    transfer: str
    account: str


class Moved(Event, name="moved"):
    source: str
    target: str
    amount: int


class Closed(Event, name="closed"):
    account: str


class Transfer(Aggregate, category="transfer", key="transfer"):
    done: bool = False

    @handle
    def move(self, command: Move) -> Iterator[Moved]:
        yield Moved(source=command.source, target=command.target, amount=command.amount)

    @handle
    def close(self, command: Close) -> Iterator[Closed]:
        yield Closed(account=command.account)

    @apply
    def happened(self, _: Moved | Closed) -> None:
        self.done = True


class Balance(Row, index=("amount",)):
    account: str
    amount: int = 0
    moves: int = 0


poison: set[int] = set()


@projection("balances", key=lambda e: (e.source, e.target) if isinstance(e, Moved) else e.account)
def balances(row: Balance | None, event: Moved | Closed, account: str) -> Balance | None:
    if isinstance(event, Closed):
        return None
    if event.amount in poison:
        raise ValueError(f"{event.amount} is too much")
    row = row or Balance(account=account)
    change = event.amount * ((event.target == account) - (event.source == account))
    return Balance(account=account, amount=row.amount + change, moves=row.moves + 1)


class Ask(Query[list[Balance]]):
    pass


@query_handler
async def ask_balances(_: Ask, views: Views) -> list[Balance]:
    return await views[balances].find()


@pytest.fixture(params=["redis", "mongodb", "opensearch"])
def place(request: pytest.FixtureRequest, read_store_url: Callable[[str], str]) -> str:
    """URL of an empty read store."""
    return read_store_url(request.param)


@pytest.fixture
def own_redis(host: Host) -> Iterator[Redis]:
    with needed():
        server = redis_servers.redis(host)
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def nothing_is_poisoned() -> Iterator[None]:
    poison.clear()
    yield
    poison.clear()


def bank(store: str, place: str) -> App:
    return App(Transfer, balances, ask_balances, store=store, views={balances: place})


def moves(first: int, last: int) -> list[Command]:
    """Transfers among five accounts; now and then a0 is closed. What is counted twice of the others stays so."""
    return [
        Close(transfer=f"t{n}", account=f"a{n % 5}")
        if n % 10 == 0
        else Move(transfer=f"t{n}", source=f"a{n % 5}", target=f"a{(n + 1 + n % 3) % 5}", amount=n)
        for n in range(first, last)
    ]


def expected(commands: list[Command]) -> dict[str, tuple[int, int]]:
    """Amount and number of moves by account, by plain bookkeeping."""
    amounts, seen = Counter[str](), Counter[str]()
    for command in commands:
        if isinstance(command, Close):
            amounts.pop(command.account, None)
            seen.pop(command.account, None)
        elif isinstance(command, Move):
            amounts[command.target] += command.amount
            amounts[command.source] -= command.amount
            seen.update({command.source, command.target})
    return {account: (amounts[account], seen[account]) for account in seen}


async def shown(app: App, after: Any = None) -> dict[str, tuple[int, int]]:
    return {row.account: (row.amount, row.moves) for row in await app.ask(Ask(), after=after, within=20)}


async def sent(app: App, commands: list[Command]) -> Any:
    for command in commands:
        receipt = await app.send(command)
    return receipt


async def test_rows_are_there_when_the_answer_has_to_have_seen_the_command(sqlite: str, place: str) -> None:
    async with bank(sqlite, place) as app:
        done: list[Command] = []
        for command in moves(1, 25):
            done.append(command)
            assert await shown(app, await app.send(command)) == expected(done)
        richest = await app.views[balances].find(order_by="amount", descending=True, limit=1)
        assert richest[0].amount == max(amount for amount, _ in expected(done).values())


async def test_another_process_finds_them_behind_the_receipt_too(sqlite: str, place: str) -> None:
    reader = bank(sqlite, place)
    async with bank(sqlite, place) as app:
        await sent(app, moves(1, 3))
        await app.settle()
        await reader.start(processors=False)
        try:
            for n in range(3, 12):
                assert await shown(reader, await sent(app, moves(n, n + 1))) == expected(moves(1, n + 1))
        finally:
            await reader.stop()


async def test_another_run_goes_on_where_the_rows_are(sqlite: str, place: str) -> None:
    async with bank(sqlite, place) as app:
        await sent(app, moves(1, 40))
    async with bank(sqlite, place) as app:
        assert await shown(app, await sent(app, moves(40, 60))) == expected(moves(1, 60))


@pytest.mark.parametrize("lost", ["position here", "position there", "both"])
async def test_events_that_come_again_are_not_counted_again(sqlite: str, place: str, lost: str) -> None:
    async with bank(sqlite, place) as app:
        last = await sent(app, moves(1, 40))
        await shown(app, last)
        [name] = [lag.processor for lag in await app.lag() if "balances" in lag.processor]
    clock = VirtualClock()
    if lost != "position there":
        storage = open_storage(sqlite, clock)
        await storage.open()
        await storage.rewind(name, 3)
        await storage.close()
    if lost != "position here":
        store = open_read_store(place, clock)
        await store.open()
        await store.forget(name)
        await store.close()
    async with bank(sqlite, place) as app:
        assert await shown(app, await sent(app, moves(40, 50))) == expected(moves(1, 50))


async def test_a_key_that_cannot_be_folded_waits_and_the_others_go_on(sqlite: str, place: str) -> None:
    poison.add(11)  # a1 to a4
    async with bank(sqlite, place) as app:
        await sent(app, moves(1, 30))
        await app.settle(within=20)
        seen, right = await shown(app), expected(moves(1, 30))
        untouched = {account: right[account] for account in right if account not in ("a1", "a4")}
        assert {account: seen[account] for account in untouched} == untouched
        letters = await app.dead_letters.list()
        assert {letter.key for letter in letters} == {"a1", "a4"}
        assert letters[0].error == "ValueError: 11 is too much"
        poison.clear()
        await app.dead_letters.retry()
        async with asyncio.timeout(20):
            while await app.dead_letters.list():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await shown(app, await sent(app, moves(30, 40))) == expected(moves(1, 40))


async def test_a_view_is_built_anew_beside_the_live_one(sqlite: str, place: str) -> None:
    async with bank(sqlite, place) as app:
        last = await sent(app, moves(1, 50))
        before = await shown(app, last)
        steps = [step async for step in app.rebuild("balances")]
        assert (steps[-1].switched, steps[-1].generation) == (True, 2)
        assert await shown(app, last) == before == expected(moves(1, 50))
        assert await shown(app, await sent(app, moves(50, 60))) == expected(moves(1, 60))
        assert [step async for step in app.rebuild("balances")][-1].generation == 3
    store = open_read_store(place, VirtualClock())
    await store.open()
    assert (list(await store.generations("balances")), await store.live_generation("balances")) == ([2, 3], 3)
    await store.close()


async def test_a_read_store_that_lost_everything_is_filled_again(sqlite: str, own_redis: Redis) -> None:
    async with bank(sqlite, own_redis.url) as app:
        await sent(app, moves(1, 40))
    own_redis.ask("FLUSHALL")
    async with bank(sqlite, own_redis.url) as app:
        assert await shown(app, await sent(app, moves(40, 50))) == expected(moves(1, 50))


async def test_a_read_store_that_is_emptied_meanwhile_is_filled_again(sqlite: str, own_redis: Redis) -> None:
    async with bank(sqlite, own_redis.url) as app:
        await shown(app, await sent(app, moves(1, 40)))
        own_redis.ask("FLUSHALL")
        last = await sent(app, moves(40, 50))
        async with asyncio.timeout(20):
            while (await shown(app, last)) != expected(moves(1, 50)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_commands_are_taken_while_the_read_store_is_away(sqlite: str, own_redis: Redis) -> None:
    async with bank(sqlite, f"{own_redis.url}?reconnect_within=0.2") as app:
        await shown(app, await sent(app, moves(1, 20)))
        own_redis.kill()
        last = await sent(app, moves(20, 40))
        with pytest.raises(StoreUnavailable):
            await app.views[balances].find()
        own_redis.start()
        assert await shown(app, last) == expected(moves(1, 40))


async def test_rows_that_are_ahead_when_everything_dies_are_let_alone(sqlite: str, own_redis: Redis) -> None:
    """As if the process had died between the two commits: rows and position over there, and not a trace here."""
    async with bank(sqlite, own_redis.url) as app:
        await sent(app, moves(1, 40))
        [name] = [lag.processor for lag in await app.lag()]
    storage = open_storage(sqlite, VirtualClock())
    await storage.open()
    await storage.rewind(name, 0)
    await storage.close()
    async with bank(sqlite, own_redis.url) as app:
        assert await shown(app, await sent(app, moves(40, 41))) == expected(moves(1, 41))


async def test_whoever_watches_sees_each_change_there(sqlite: str, place: str) -> None:
    async with bank(sqlite, place) as app:
        changes, done = app.watch(Ask()), list[Command]()
        assert (await anext(changes)).answer == []
        for command in moves(1, 13):
            done.append(command)
            await app.send(command)
            await until(changes, expected(done))


async def test_a_watch_outlives_the_read_store(sqlite: str, own_redis: Redis) -> None:
    async with bank(sqlite, f"{own_redis.url}?reconnect_within=0.2") as app:
        changes = app.watch(Ask())
        await sent(app, moves(1, 10))
        await until(changes, expected(moves(1, 10)))
        waiting = asyncio.create_task(until(changes, expected(moves(1, 20))))
        own_redis.kill()
        await sent(app, moves(10, 20))
        own_redis.start()
        await waiting


async def until(changes: AsyncIterator[Change[list[Balance]]], right: dict[str, tuple[int, int]]) -> None:
    async with asyncio.timeout(20):
        async for change in changes:
            if {row.account: (row.amount, row.moves) for row in change.answer} == right:
                return
    raise AssertionError("the watch has ended")


@projection("at_once", key=lambda e: e.account, inline=True)
def at_once(row: Balance | None, event: Closed) -> Balance | None: ...


def test_what_cannot_be_elsewhere_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ConfigurationError, match="inline"):
        App(Transfer, at_once, store="memory:", views={at_once: "redis://127.0.0.1:1/0"})
    with pytest.raises(UnknownView, match="balances"):
        App(Transfer, store="memory:", views={balances: "redis://127.0.0.1:1/0"})
    with pytest.raises(BadUrl) as caught:
        App(Transfer, balances, store="memory:", views={balances: "mysql://me:secret@host/db"})
    assert "secret" not in str(caught.value)


async def test_a_read_store_that_is_not_there_is_told_at_the_start(sqlite: str) -> None:
    with pytest.raises(StoreUnavailable):
        async with bank(sqlite, "redis://127.0.0.1:1/0?reconnect_within=0.1"):
            pass
