"""An append that is begun at once, without a task: it is answered as any other, whatever goes wrong on its way."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.conditions import ANY, EXISTS
from daicho.core.errors import ConcurrencyError, OutcomeUnknown
from daicho.ports.event_store import Appended, AppendRequest, Beginning
from daicho.testing.contracts.base import event, request, soon
from tests.services.postgres import Postgres
from tests.services.postgres_proxy import PostgresProxy


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[PostgresStorage]:
    """A store that has appended before, so that the server knows the statement."""
    store = PostgresStorage(url, now=lambda: datetime.now(UTC))
    await store.open()
    try:
        await store.append([request("before", "a", expected=0)])
        yield store
    finally:
        await store.close()


def begin(store: PostgresStorage, asked: AppendRequest) -> asyncio.Future[Appended | Exception]:
    told: asyncio.Future[Appended | Exception] = asyncio.get_running_loop().create_future()
    assert store.begin(asked, told.set_result)
    return told


def stored(url: str, stream: str) -> list[tuple[int, int]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select position, version from daicho.events where stream = %s order by version", (stream,)
        ).fetchall()


async def test_it_is_on_its_way_before_anything_else_happens(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        told = begin(store, request("order-1", "a", expected=0))
        assert store._opened().writing.locked()
        answer = await soon(told)
        assert isinstance(answer, Appended)
        assert (answer.versions, answer.duplicate) == ((1,), False)
        assert stored(postgres_url, "order-1") == [(answer.positions[0], 1)]
        assert await soon(store.wait(answer.positions[0] - 1)) == answer.positions[0]


async def test_it_is_refused_with_the_version_there_is(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        answer = await soon(begin(store, request("before", "b", expected=7)))
        assert isinstance(answer, ConcurrencyError)
        assert (answer.expected, answer.actual) == (7, 1)
        assert stored(postgres_url, "before") == [(1, 1)]


async def test_begun_again_it_is_answered_with_the_places_of_the_first_time(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        asked = request("order-1", "a", expected=0)
        first, again = await soon(begin(store, asked)), await soon(begin(store, asked))
        assert isinstance(first, Appended)
        assert isinstance(again, Appended)
        assert (again.positions, first.duplicate, again.duplicate) == (first.positions, False, True)


@pytest.mark.parametrize("reached", [True, False])
async def test_a_connection_that_breaks_meanwhile_neither_loses_nor_doubles_it(
    postgres_url: str, reached: bool
) -> None:
    with PostgresProxy(int(postgres_url.rpartition(":")[2].partition("/")[0])) as proxy:
        async with opened(proxy.through(postgres_url)) as store:
            trap = (proxy.cut_after_commit_before_ack if reached else proxy.cut_before)(b"order-1")
            answer = await soon(begin(store, request("order-1", "a", expected=0)))
            assert trap.sprung
            assert isinstance(answer, Appended)
            assert not answer.duplicate
            assert stored(postgres_url, "order-1") == [(answer.positions[0], 1)]


async def test_a_server_that_stays_away_leaves_the_outcome_unknown(own_postgres: Postgres) -> None:
    with PostgresProxy(own_postgres.port) as proxy:
        async with opened(f"{proxy.through(own_postgres.url)}?reconnect_within=0.3") as store:
            proxy.cut_after_commit_before_ack(b"order-1")
            told = begin(store, request("order-1", "a", expected=0))
            proxy.refuse()
            assert isinstance(await soon(told), OutcomeUnknown)
            proxy.accept()


async def test_another_one_meanwhile_waits_for_its_turn(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        told = begin(store, request("order-1", "a", expected=0))
        assert not store.begin(request("order-2", "a", expected=0), pytest.fail)
        [second] = await store.append([request("order-1", "b", expected=1)])
        assert told.done()
        assert isinstance(second, Appended)
        assert second.versions == (2,)


async def test_closing_the_store_waits_for_it(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        told = begin(store, request("order-1", "a", expected=0))
        await store.close()
        assert isinstance(told.result(), Appended)
    assert len(stored(postgres_url, "order-1")) == 1


@pytest.mark.parametrize(
    "asked",
    [
        request("order-1", "a", expected=ANY),
        request("order-1", "a", expected=EXISTS),
        request("order-1", "a", "b", expected=0),
        request("order-1", event("a", tags=("x",)), expected=0),
        request("order-1", event("a", actor="\ud800"), expected=0),
        request("order-1", "a", expected=0, inline=lambda _, __: None),
    ],
    ids=["any", "exists", "two events", "tags", "no text", "inline"],
)
async def test_what_is_not_everyday_is_left_alone(postgres_url: str, asked: AppendRequest) -> None:
    async with opened(postgres_url) as store:
        assert not store.begin(asked, pytest.fail)
        assert not store._opened().writing.locked()
        assert stored(postgres_url, "order-1") == []


async def test_nothing_is_begun_beside_the_transaction_of_a_caller(postgres_url: str) -> None:
    async with opened(postgres_url) as store, await psycopg.AsyncConnection.connect(postgres_url) as connection:
        await connection.execute("select 1")
        joined = await store.join(connection)
        assert isinstance(store, Beginning)
        assert not isinstance(joined, Beginning)
