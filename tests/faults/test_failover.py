"""Another PostgreSQL server takes over: what survived goes on, what was lost is known, and nobody goes on as if."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from daicho import App, Orphan
from daicho.adapters.stores.postgres.location import parse_url
from daicho.adapters.stores.postgres.seat import Seat
from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.errors import CannotPromote, OrphanedPosition, OrphanedView, StaleServer
from daicho.core.streams import Position
from daicho.ports.epochs import Epoch
from daicho.ports.event_store import Appended, Selection
from daicho.read import mending
from daicho.read.projections import Projections
from daicho.read.rebuild import RebuildStep
from daicho.testing.contracts.base import request
from tests.faults.failing import PARTS, Account, Here, Paid, Pair, Pay, Totals, ask_totals, totals
from tests.services.find import needed
from tests.services.pgbouncer import pgbouncer
from tests.services.postgres import Postgres
from tests.services.proxy import Proxy
from tests.services.running import Host


@pytest.fixture
def pair(host: Host) -> Iterator[Pair]:
    with needed():
        pair = Pair(host)
    yield pair
    pair.end()


def store_at(url: str) -> PostgresStorage:
    return PostgresStorage(url, now=lambda: datetime.now(UTC))


async def append(store: PostgresStorage, *streams: str) -> list[int]:
    answers = await store.append([request(stream, "a") for stream in streams])
    return [position for answer in answers if isinstance(answer, Appended) for position in answer.positions]


async def epochs(server: Postgres) -> list[Epoch]:
    store = store_at(server.url)
    await store.open()
    try:
        return list(await store.epochs())
    finally:
        await store.close()


async def test_after_a_failover_positions_are_new_ones_and_the_lost_tail_is_known_exactly(pair: Pair) -> None:
    store = store_at(pair.url)
    await store.open()
    kept = await append(store, "kept-1", "kept-2")
    pair.cut()
    lost = await append(store, "lost-1", "lost-2", "lost-3")
    others = [store_at(pair.url) for _ in range(5)]
    await asyncio.gather(*[other.open() for other in others])
    pair.fail_over()

    new = await append(store, "new-1")

    at_once = await asyncio.gather(*[append(other, f"other-{n}", f"more-{n}") for n, other in enumerate(others)])
    assert {Position(position).epoch for positions in at_once for position in positions} == {1}
    assert len({*new, *(position for positions in at_once for position in positions)}) == 11
    for other in others:
        await other.close()
    assert [Position(position).epoch for position in kept + lost] == [0] * 5
    assert Position(new[0]).epoch == 1
    found = await store.read(Selection(), limit=3)
    assert [(event.stream, event.position) for event in found] == [
        ("kept-1", kept[0]), ("kept-2", kept[1]), ("new-1", new[0]),
    ]  # fmt: skip
    assert await store.wait(lost[-1]) >= new[0]
    assert [(event.stream, event.position) for event in store.lost_here()] == [
        ("lost-1", lost[0]), ("lost-2", lost[1]), ("lost-3", lost[2]),
    ]  # fmt: skip
    await store.close()
    [first, second] = await epochs(pair.standby)
    assert (first.epoch, second.epoch, second.survived, second.seen) == (0, 1, kept[-1], lost[-1])


async def test_whoever_was_ahead_is_found_told_and_mended(
    pair: Pair, read_store_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild, failures = Projections.rebuild, [RuntimeError("no error of Daicho's own")]

    def once_in_vain(self: Projections, name: str) -> AsyncIterator[RebuildStep]:
        if failures:
            raise failures.pop()
        return rebuild(self, name)

    monkeypatch.setattr(Projections, "rebuild", once_in_vain)
    monkeypatch.setattr(mending, "_LOOK_EVERY", 0.2)
    places: dict[Any, str] = {totals: read_store_url("redis")}
    bus: dict[str, Any] = {"bus": "memory:failover", "partitions": 1}
    app = App(*PARTS, store=pair.url, views=places, name="bank", publish={Paid}, **bus)
    others = App(totals, ask_totals, store="memory:", name="others", listen=["bank"], **bus)
    async with app, others:
        kept = await app.send(Pay(account="ann", amount=10))
        await app.settled(kept)
        reading = app.subscribe(category="account")
        assert (await anext(reading)).position == kept.position
        pair.cut()
        lost = await app.send(Pay(account="ann", amount=1000))
        await app.send(Pay(account="ghost", amount=1))
        await app.settle()
        await until_heard(others, {"ann": 1010, "ghost": 1})
        ghosts = [await anext(reading), await anext(reading)]
        assert await app.ask(Totals(), after=lost) == {"ann": 1010, "ghost": 1}
        assert (await app.load(Account, "ann")).total == 1010
        pair.fail_over()

        new = await app.send(Pay(account="ann", amount=5))

        assert (await app.load(Account, "ann")).total == 15
        with pytest.raises(OrphanedPosition) as told:
            await app.ask(Here(), after=lost)
        assert (told.value.data["position"], told.value.data["epoch"]) == (lost.position, 1)
        with pytest.raises(OrphanedPosition):
            await app.settled(lost)
        with pytest.raises(OrphanedPosition):
            await anext(reading)
        with pytest.raises(OrphanedPosition):
            await anext(app.subscribe(after=ghosts[-1].position))
        assert await app.ask(Here(), after=new, within=60) == {"ann": 15}
        assert await until_mended(app, new) == {"ann": 15}
        # others have heard of what never happened, which cannot be taken back; and go on hearing
        await until_heard(others, {"ann": 1015, "ghost": 1})
        [acted, published] = await until_left(app, "reaction:note_payment", "relay:bank")
        assert (acted.where, acted.epoch, acted.first, acted.events) == ("memory", 1, lost.position, 4)
        assert (published.where, published.first, published.last) == ("bus", lost.position, ghosts[-1].position)
        assert "reaction:note_payment" in [problem.what for problem in (await app.health()).problems]
        await app.accept_orphan("reaction:note_payment")
        await app.accept_orphan("relay:bank")
        assert await app.orphaned() == []
        await app.settle()
        assert (await app.health()).status == "ok"


async def until_mended(app: App, after: object) -> dict[str, int]:
    """The answer of the view in Redis, once it is given: until then it is refused, and never a wrong one."""
    while True:
        try:
            return await app.ask(Totals(), after=after, within=60)  # type: ignore[arg-type]
        except OrphanedView:
            await asyncio.sleep(0.02)


async def until_left(app: App, *checkpoints: str) -> list[Orphan]:
    while True:
        found = await app.orphaned()
        if [each.checkpoint for each in found] == list(checkpoints):
            return found
        await asyncio.sleep(0.02)


async def until_heard(others: App, wanted: dict[str, int]) -> None:
    while await others.ask(Totals()) != wanted:  # noqa: ASYNC110 - it is another App
        await asyncio.sleep(0.02)


async def test_a_standby_is_promoted_without_loss_while_the_primary_still_answers(pair: Pair) -> None:
    app = App(*PARTS, store=pair.url, read_from=[pair.standby.url])
    async with app:
        for n in range(20):
            await app.send(Pay(account=f"a{n}", amount=1))
        before = await app.failover.check()
        assert before.primary is not None
        assert (before.primary.role, before.fencing, before.is_synchronous) == ("primary", "possible", False)
        [standby] = before.standbys
        assert (standby.role, standby.sync, before.best) == ("standby", "async", standby.url)

        done = await app.failover.promote()

        assert (done.epoch, done.events_lost, done.fencing) == (1, 0, "done")
        last = await app.send(Pay(account="after", amount=1))
        assert last.position.epoch == 1
        events = [event.stream async for event in app.events(category="account")]
        assert events == [*(f"account-a{n}" for n in range(20)), "account-after"]
    with psycopg.connect(pair.primary.url) as old, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        old.execute("create table daicho.anything ()")


async def test_what_the_dead_primary_had_not_passed_on_can_be_listed_from_its_disk(pair: Pair) -> None:
    store = store_at(pair.url)
    await store.open()
    await append(store, "kept-1", "kept-2")
    pair.cut()
    await append(store, "lost-1", "lost-2")
    await store.close()
    app = App(*PARTS, store=pair.url, read_from=[pair.standby.url])
    risk = await app.failover.check()
    assert (risk.events_at_risk, risk.fencing) == (2, "possible")
    pair.primary.kill()
    assert (await app.failover.check()).fencing == "down"
    done = await app.failover.promote()
    assert (done.epoch, done.fencing, done.events_lost) == (1, "down", None)
    pair.primary.start()
    found = await app.failover.lost(pair.primary.url)
    assert [(event.stream, event.version) for event in found] == [("lost-1", 1), ("lost-2", 1)]


async def test_behind_a_pooler_whose_server_changes_unnoticed_the_epoch_begins_all_the_same(pair: Pair) -> None:
    with needed(), Proxy(pair.primary.port) as way:
        pool = pgbouncer(pair.primary, behind=way.port)
        store = store_at(f"{pool.url}?reconnect_within=60")
        await store.open()
        assert store.describe()["pooler"] == "transaction"
        kept = await append(store, "kept-1")
        pair.cut()
        lost = await append(store, "lost-1", "lost-2")
        pair.fail_over()
        way.target_port = pair.standby.port
        way.cut()

        new = await append(store, "new-1")

        assert [Position(place).epoch for place in (*kept, *lost, *new)] == [0, 0, 0, 1]
        assert [event.stream for event in await store.read(Selection(), limit=9)] == ["kept-1", "new-1"]
        assert [event.stream for event in store.lost_here()] == ["lost-1", "lost-2"]
        await store.close()
        pool.kill()


async def test_an_old_primary_that_comes_back_is_refused_by_whoever_knows_the_new_one(pair: Pair) -> None:
    store = store_at(pair.url)
    await store.open()
    await append(store, "kept-1")
    pair.cut()
    pair.fail_over()
    await append(store, "new-1")
    await store.close()
    pair.primary.start()
    seat = Seat(parse_url(pair.url))
    async with await psycopg.AsyncConnection.connect(pair.standby.url, autocommit=True) as new:
        assert await seat.check(new) == 1
    async with await psycopg.AsyncConnection.connect(pair.primary.url, autocommit=True) as old:
        with pytest.raises(StaleServer, match="has been replaced"):
            await seat.check(old)
    again = store_at(pair.url)  # the old one is named first, and takes writes
    await again.open()
    assert [event.stream for event in await again.read(Selection(), limit=9)] == ["kept-1", "new-1"]
    await again.close()


async def test_nothing_is_promoted_while_the_primary_may_still_take_writes(pair: Pair) -> None:
    with psycopg.connect(pair.primary.url, autocommit=True) as connection:
        connection.execute("create role plain login")
        connection.execute("grant all on schema public to plain")
    plain = pair.primary.url.replace("postgres@", "plain@")
    app = App(*PARTS, store=plain)
    with pytest.raises(CannotPromote, match="old primary"):
        await app.failover.promote(pair.standby.url)
    with psycopg.connect(pair.standby.url) as connection:
        assert connection.execute("select pg_is_in_recovery()").fetchone() == (True,)
