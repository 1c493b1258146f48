"""PostgreSQL and the way to it at fault: what was acknowledged stands, what was not is known or told to be unknown."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.conditions import ABSENT, ANY, AppendCondition, Criteria
from daicho.core.errors import OutcomeUnknown, StoreUnavailable
from daicho.ports.event_store import Appended, AppendRequest, CommandOutcome, Selection
from daicho.testing.contracts.base import event, request
from tests.services.postgres import Postgres
from tests.services.postgres_proxy import PostgresProxy
from tests.services.running import through


def store_at(url: str) -> PostgresStorage:
    return PostgresStorage(url, now=lambda: datetime.now(UTC))


def stored(url: str) -> list[tuple[int, str, int, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select position, stream, version, event_id from daicho.events order by position"
        ).fetchall()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


@pytest.mark.parametrize("expected", [ANY, ABSENT, 0])
async def test_an_append_whose_acknowledgement_is_lost_is_answered_with_its_places(
    postgres_url: str, expected: object
) -> None:
    with PostgresProxy(port_of(postgres_url)) as proxy:
        store = store_at(proxy.through(postgres_url))
        await store.open()
        await store.append([request("before", "a")])
        asked = [request(f"order-{n}", "a", "b", expected=expected) for n in range(3)]  # type: ignore[arg-type]
        trap = proxy.cut_after_commit_before_ack(b".append")
        answers = await store.append(asked)
        assert trap.sprung
        await store.close()
    there = stored(postgres_url)
    assert [(stream, version) for _, stream, version, _ in there] == [
        ("before", 1), ("order-0", 1), ("order-0", 2), ("order-1", 1), ("order-1", 2), ("order-2", 1), ("order-2", 2),
    ]  # fmt: skip
    places = [position for position, _, _, _ in there[1:]]
    assert [answer.positions for answer in answers if isinstance(answer, Appended)] == [
        tuple(places[0:2]), tuple(places[2:4]), tuple(places[4:6]),
    ]  # fmt: skip
    assert all(isinstance(answer, Appended) and not answer.duplicate for answer in answers)


async def test_a_conditional_append_does_not_take_its_own_events_for_somebody_elses(postgres_url: str) -> None:
    with PostgresProxy(port_of(postgres_url)) as proxy:
        store = store_at(proxy.through(postgres_url))
        await store.open()
        condition = AppendCondition(Criteria(tags=["seat:1"]))
        trap = proxy.cut_after_commit_before_ack(b".append")
        [answer] = await store.append([request("order-1", event("sold", tags=("seat:1",)), condition=condition)])
        assert trap.sprung
        assert isinstance(answer, Appended)
        await store.close()
    assert [position for position, _, _, _ in stored(postgres_url)] == list(answer.positions)


async def test_an_append_that_never_reached_the_server_is_sent_again(postgres_url: str) -> None:
    with PostgresProxy(port_of(postgres_url)) as proxy:
        store = store_at(proxy.through(postgres_url))
        await store.open()
        trap = proxy.cut_before(b".append")
        [answer] = await store.append([request("order-1", "a", expected=ABSENT)])
        assert trap.sprung
        assert isinstance(answer, Appended)
        await store.close()
    assert [(stream, version) for _, stream, version, _ in stored(postgres_url)] == [("order-1", 1)]


async def test_an_append_with_inline_work_whose_acknowledgement_is_lost_happened_once(postgres_url: str) -> None:
    with PostgresProxy(port_of(postgres_url)) as proxy:
        store = store_at(proxy.through(postgres_url))
        await store.open()
        trap = proxy.cut_after_commit_before_ack(b"COMMIT")
        [answer] = await store.append([request("order-1", "a", inline=lambda _, __: None)])
        assert trap.sprung
        assert isinstance(answer, Appended)
        await store.close()
    assert [position for position, _, _, _ in stored(postgres_url)] == list(answer.positions)


async def test_a_statement_that_breaks_each_new_connection_is_told_of_and_the_next_is_served(
    postgres_url: str,
) -> None:
    """Of a server that dies of it, or a pooler that cuts what takes it too long: nobody tries for ever."""
    with PostgresProxy(port_of(postgres_url)) as proxy:
        store = store_at(f"{proxy.through(postgres_url)}?reconnect_within=0.3")
        await store.open()
        await store.append([request("before", "a")])
        traps = [proxy.cut_before(pattern) for pattern in (b"deadly", b".append") for _ in range(1000)]
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await asyncio.wait_for(store.read(Selection(stream="deadly"), limit=9), 10)
        with pytest.raises(OutcomeUnknown, match=r"each new one as well[\s\S]*same ids"):
            await asyncio.wait_for(store.append([request("order-1", "a", "b")]), 10)
        assert sum(trap.sprung for trap in traps) >= 6
        for trap in traps:
            trap.is_set = False
        [answer] = await store.append([request("order-1", "a", "b")])
        assert isinstance(answer, Appended)
        await store.close()
    assert [(stream, version) for _, stream, version, _ in stored(postgres_url)] == [
        ("before", 1), ("order-1", 1), ("order-1", 2),
    ]  # fmt: skip


async def test_a_server_that_stays_away_leaves_the_outcome_unknown_and_a_retry_finds_it(own_postgres: Postgres) -> None:
    url = own_postgres.url
    with PostgresProxy(own_postgres.port) as proxy:
        store = store_at(f"{proxy.through(url)}?reconnect_within=0.3")
        await store.open()
        await store.append([request("before", "a")])
        asked = request("order-1", "a", "b", expected=ABSENT)
        proxy.cut_after_commit_before_ack(b".append")
        appending = asyncio.create_task(store.append([asked]))
        await asyncio.sleep(0)
        proxy.refuse()
        with pytest.raises(OutcomeUnknown, match="same ids"):
            await appending
        proxy.accept()
        [answer] = await store.append([asked])
        assert isinstance(answer, Appended)
        assert answer.positions == tuple(position for position, stream, _, _ in stored(url) if stream == "order-1")
        await store.close()


async def test_reads_and_writes_go_on_after_the_server_was_killed_and_started_again(own_postgres: Postgres) -> None:
    store = store_at(own_postgres.url)
    await store.open()
    [before] = await store.append([request("order-1", "a")])
    own_postgres.kill()
    again = asyncio.gather(
        store.append([request("order-1", "b", expected=1)]), store.read(Selection(stream="order-1"), limit=10)
    )
    await asyncio.sleep(0.2)
    own_postgres.start()
    [[after], seen] = await again
    assert isinstance(before, Appended)
    assert isinstance(after, Appended)
    assert after.versions == (2,)
    assert [e.type for e in seen][:1] == ["a"]
    assert await store.head() >= after.positions[0]
    await store.close()


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    store = store_at("postgresql://me:secret@127.0.0.1:1/app?reconnect_within=0.1")
    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    assert "127.0.0.1:1/app" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_transaction_left_open_by_somebody_else_is_named_by_the_doctor_and_does_not_stop_writers(
    postgres_url: str,
) -> None:
    store = store_at(postgres_url)
    await store.open()
    [first] = await store.append([request("order-1", "a")])
    stranger = await psycopg.AsyncConnection.connect(postgres_url, application_name="forgetful")
    await stranger.execute("select daicho.begin_append()")
    [second] = await store.append([request("order-1", "b")])
    assert isinstance(first, Appended)
    assert isinstance(second, Appended)
    assert [e.type for e in await store.read(Selection(stream="order-1"), limit=10)] == ["a", "b"]
    seen = await store.read(Selection(up_to=first.positions[0]), limit=10)
    assert [e.position for e in seen] == list(first.positions)
    [writers] = [finding for finding in await store.examine() if finding.what == "writers"]
    assert writers.ok  # not yet for long
    await stranger.rollback()
    assert await store.wait(first.positions[0]) == second.positions[0]
    await stranger.close()
    await store.close()


async def test_an_outcome_recorded_with_an_append_whose_acknowledgement_is_lost_stands_once(postgres_url: str) -> None:
    with PostgresProxy(port_of(postgres_url)) as proxy:
        store = store_at(proxy.through(postgres_url))
        await store.open()
        outcome = CommandOutcome(command_id=str(uuid4()), name="Tested", state="done", received_at="2026-01-02")
        proxy.cut_after_commit_before_ack(b".append")
        asked = AppendRequest(writes=request("order-1", "a").writes, outcome=outcome)
        [answer] = await store.append([asked])
        assert isinstance(answer, Appended)
        kept = await store.outcome(outcome.command_id)
        assert kept is not None
        assert (kept.stream, kept.version, kept.position) == ("order-1", 1, answer.positions[0])
        await store.close()


def test_the_proxy_is_in_the_way(postgres_url: str) -> None:
    with PostgresProxy(port_of(postgres_url)) as proxy:
        assert proxy.through(postgres_url) == through(postgres_url, proxy.port)
