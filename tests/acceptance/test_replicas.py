"""Queries are answered by real streaming replicas while they are near enough, and never staler than was asked for."""

import asyncio
import importlib
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from daicho import (
    Aggregate,
    App,
    BadUrl,
    Command,
    ConfigurationError,
    Crud,
    Event,
    NoReplica,
    NotAReplica,
    PrimaryReads,
    Query,
    Receipt,
    ReplicaPolicy,
    ReplicaState,
    Row,
    StaleAnswer,
    StoreReadOnly,
    StoreUnavailable,
    Views,
    apply,
    handle,
    projection,
    query_handler,
)
from daicho.cli import main
from tests.calling import calling
from tests.services import postgres as clusters
from tests.services.find import needed
from tests.services.postgres import Postgres, Replica, drop_database, fresh_database
from tests.services.running import Host, free_port
from tests.serving import served

pytestmark = pytest.mark.slow

QUICK = ReplicaPolicy(every=0.05, max_lag=30.0, answer_within=30.0, wait=30.0)
"""Looks often, and is patient: what is not about being late must not depend on how fast this machine is."""
NO_READS = PrimaryReads(reads=0, refused=0, under_way=0, answers=None)


class Add(Command):
    item: str
    count: int


class Added(Event, name="item.added", version=1):
    item: str
    count: int


class Item(Aggregate, category="item", key="item"):
    total: int = 0

    @handle
    def add(self, command: Add) -> Iterator[Added]:
        yield Added(item=command.item, count=command.count)

    @apply
    def added(self, event: Added) -> None:
        self.total += event.count


class Stock(Row):
    item: str
    total: int


@projection("stock", key=lambda event: event.item)
def stock(row: Stock | None, event: Added) -> Stock:
    return Stock(item=event.item, total=(row.total if row else 0) + event.count)


class Total(Query[int]):
    item: str


@query_handler
async def total(query: Total, views: Views) -> int:
    row = await views[stock].get(query.item)
    return row.total if row else 0


class Shelf(Row):
    name: str


shelves = Crud(Shelf, key="name")


class Shelves(Query[int]):
    pass


@query_handler
async def count_shelves(_: Shelves, views: Views) -> int:
    return await views[shelves].count()


def make(store: str, read_from: list[str], policy: ReplicaPolicy = QUICK) -> App:
    return App(Item, stock, total, shelves, count_shelves, store=store, read_from=read_from, replicas=policy)


@pytest.fixture(scope="module")
def primary(host: Host) -> Postgres:
    with needed():
        return clusters.postgres(host)


@pytest.fixture(scope="module")
def one(primary: Postgres) -> Replica:
    return clusters.replica(primary)


@pytest.fixture(scope="module")
def two(primary: Postgres) -> Replica:
    return clusters.replica(primary)


@pytest.fixture
def url(primary: Postgres) -> Iterator[str]:
    url = fresh_database(primary)
    yield url
    drop_database(primary, url)


def name(url: str) -> str:
    return url.rpartition("/")[2]


async def until(condition: Callable[[], Any], within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a look at real servers has no event to wait for
            await asyncio.sleep(0.01)


@asynccontextmanager
async def entered(app: App) -> AsyncGenerator[App]:
    async with app:
        await until(lambda: all(state.in_service for state in app.replicas))
        yield app


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def only(app: App) -> ReplicaState:
    [state] = app.replicas
    return state


async def of_replica(app: App, query: Query[Any], after: Receipt | int | None, expected: object) -> None:
    """Asks until a replica has answered. Whoever answers, the answer is as expected."""
    reads = sum(state.reads for state in app.replicas)
    while sum(state.reads for state in app.replicas) == reads:
        assert await app.ask(query, after=after, within=60) == expected
        await asyncio.sleep(0.01)


async def make_tables(url: str) -> None:
    async with App(Item, store=url):
        pass


async def add(app: App, count: int = 1) -> Receipt:
    return await app.send(Add(item="pen", count=count))


# -- who answers -------------------------------------------------------------------------------------------------------


def test_replicas_answer_each_its_share_and_the_primary_only_takes_commands(
    url: str, one: Replica, two: Replica
) -> None:
    async def main() -> None:
        async with entered(make(url, [one.at(url), two.at(url)])) as app:
            for count in range(1, 11):
                assert await app.ask(Total(item="pen"), after=await add(app)) == count
            assert [state.reads for state in app.replicas] == [5, 5]
            assert [state.name for state in app.replicas] == [
                f"127.0.0.1:{each.port}/{name(url)}" for each in (one, two)
            ]
            assert app.primary_reads == PrimaryReads(reads=0, refused=0, under_way=0, answers=True)
            assert (await app.health()).problems == ()

    run(main())


def test_an_answer_with_a_token_is_never_stale_though_the_replica_shows_nothing_new(url: str, one: Replica) -> None:
    async def main() -> None:
        async with entered(make(url, [one.at(url)], replace(QUICK, wait=0.05))) as app:
            await of_replica(app, Total(item="pen"), await add(app), 1)
            with one.paused():
                reads, receipt = only(app).reads, await add(app)
                asked = [app.ask(Total(item="pen"), after=receipt, within=60) for _ in range(5)]
                assert await asyncio.gather(*asked) == [2] * 5
                answered = await app.answered(Total(item="pen"), after=receipt, within=60)
                assert (answered.answer, answered.position >= receipt.position) == (2, True)
                assert (only(app).reads, only(app).moved >= 6) == (reads, True)
            await of_replica(app, Total(item="pen"), receipt, 2)

    run(main())


def test_a_table_without_events_is_read_on_a_replica_once_it_has_what_was_there_when_the_command_was_sent(
    url: str, one: Replica
) -> None:
    async def main() -> None:
        async with entered(make(url, [one.at(url)], replace(QUICK, wait=0.05))) as app:
            with one.paused():
                await app.crud(shelves).put(Shelf(name="top"))
                receipt = await add(app)
                assert await app.ask(Shelves(), after=receipt, within=60) == 1
                assert only(app).reads == 0
            await of_replica(app, Shelves(), receipt, 1)

    run(main())


def test_a_replica_follows_a_view_that_was_built_anew(url: str, one: Replica) -> None:
    async def main() -> None:
        async with entered(make(url, [one.at(url)])) as app:
            await of_replica(app, Total(item="pen"), await add(app, 7), 7)
            async for _ in app.rebuild("stock"):
                pass
            await of_replica(app, Total(item="pen"), await add(app), 8)

    run(main())


def test_a_live_answer_misses_nothing_that_a_replica_does_not_show_yet(url: str, one: Replica) -> None:
    async def main() -> None:
        async with entered(make(url, [one.at(url)], replace(QUICK, wait=0.05))) as app:
            changes = app.watch(Total(item="pen"))
            assert (await asyncio.wait_for(anext(changes), 60)).answer == 0
            receipt = await add(app)
            change = await asyncio.wait_for(anext(changes), 60)
            assert (change.answer, change.position >= receipt.position) == (1, True)
            with one.paused():
                await add(app)
                assert (await asyncio.wait_for(anext(changes), 60)).answer == 2

    run(main())


# -- in service or not -------------------------------------------------------------------------------------------------


def test_a_replica_too_far_behind_is_taken_out_and_comes_back_by_itself(url: str, one: Replica) -> None:
    async def main() -> None:
        async with entered(make(url, [one.at(url)], replace(QUICK, max_lag=0.5))) as app:
            await of_replica(app, Total(item="pen"), await add(app), 1)
            with one.paused():
                await until(lambda: not only(app).in_service)  # although nobody writes
                state = only(app)
                assert (state.lag_seconds or 0) > 0.5
                assert (state.lag_bytes or 0) > 0
                assert "behind" in state.why
                await app.settled(await add(app))
                assert await app.ask(Total(item="pen")) == 2
                assert only(app).reads == state.reads
                problems = (await app.health()).problems
                assert {problem.what for problem in problems} == {f"replica {state.name}", "replicas"}
            await of_replica(app, Total(item="pen"), 2, 2)
            # nobody writes, and it is not behind, however long that goes on
            seen = only(app).last_seen
            assert seen is not None
            later = seen + timedelta(seconds=1)

            def is_level(state: ReplicaState) -> bool:
                return (state.last_seen or seen) > later and (state.lag_seconds, state.lag_bytes) == (0, 0)

            await until(lambda: is_level(only(app)))

    run(main())


def test_a_frozen_replica_is_taken_out_under_load_and_nothing_old_is_told_as_new(url: str, one: Replica) -> None:
    async def main() -> None:
        async with entered(make(url, [one.at(url)], replace(QUICK, max_lag=1.0, answer_within=0.5))) as app:
            told: list[str] = []
            over = asyncio.Event()
            floor = 0

            async def reader() -> None:
                while not over.is_set():
                    least = floor
                    answer = await app.ask(Total(item="pen"), within=60)
                    if answer < least:
                        told.append(f"{answer} after {least}")

            async def writer() -> None:
                count = 0
                while not over.is_set():
                    receipt, count = await add(app), count + 1
                    answer = await app.ask(Total(item="pen"), after=receipt, within=60)
                    if answer != count:
                        told.append(f"{answer} under the token of {count}")

            load = [asyncio.create_task(reader()) for _ in range(8)] + [asyncio.create_task(writer())]
            await until(lambda: only(app).reads > 50)
            one.freeze()
            try:
                await until(lambda: not only(app).in_service)
                assert "answer" in only(app).why
                # what is written from now on, everybody sees: only the primary answers
                receipt = await add(app, 0)
                floor = await app.ask(Total(item="pen"), after=receipt, within=60)
                # by then, it is too old for a replica in service not to have it
                old_at = asyncio.get_running_loop().time() + 1.5
                reads = (app.primary_reads or NO_READS).reads
                await until(lambda: (app.primary_reads or NO_READS).reads > reads + 50)
                await until(lambda: asyncio.get_running_loop().time() > old_at)
            finally:
                one.thaw()
            await until(lambda: only(app).in_service)
            reads = only(app).reads
            await until(lambda: only(app).reads > reads + 50)
            over.set()
            await asyncio.gather(*load)
            assert told == []

    run(main())


def test_a_replica_that_is_down_at_the_start_is_taken_in_and_one_that_dies_comes_back(url: str, two: Replica) -> None:
    async def main() -> None:
        two.kill()
        async with make(url, [two.at(url)]) as app:
            assert not only(app).in_service
            assert await app.ask(Total(item="pen"), after=await add(app)) == 1
            two.start()
            await of_replica(app, Total(item="pen"), await add(app), 2)
            two.kill()
            assert await app.ask(Total(item="pen"), after=await add(app), within=60) == 3
            await until(lambda: not only(app).in_service)
            two.start()
            await of_replica(app, Total(item="pen"), 3, 3)

    run(main())


def test_the_primary_answers_so_many_at_once_and_no_more(url: str, one: Replica) -> None:
    async def main() -> None:
        policy = replace(QUICK, max_lag=0.3, on_primary=1)
        gate = asyncio.Event()

        class Slow(Query[bool]):
            pass

        @query_handler
        async def slow(_: Slow, views: Views) -> bool:
            await views[stock].get("pen")
            return await gate.wait()

        app = App(Item, stock, total, slow, store=url, read_from=[one.at(url)], replicas=policy)
        async with entered(app):
            with one.paused():
                await until(lambda: not only(app).in_service)
                first = asyncio.create_task(app.ask(Slow(), within=60))
                await until(lambda: (app.primary_reads or NO_READS).under_way == 1)
                with pytest.raises(NoReplica, match="answering 1 others"):
                    await app.ask(Total(item="pen"), within=0.01)
                gate.set()
                assert await first
                assert await app.ask(Total(item="pen"), within=60) == 0
                assert app.primary_reads == PrimaryReads(reads=2, refused=1, under_way=0, answers=True)

    run(main())


# -- without the primary -----------------------------------------------------------------------------------------------


def test_a_process_for_queries_needs_no_way_to_the_primary(url: str, one: Replica) -> None:
    async def main() -> None:
        away = url.replace("127.0.0.1", "127.0.0.2")
        async with make(url, []) as commands:
            receipt = await add(commands, 3)
            await commands.settled(receipt)
            queries = make(f"{away}?reconnect_within=0", [one.at(url)])
            with pytest.raises(StoreUnavailable):
                await queries.start(processors=False, register=True)  # one for commands does
            await queries.start(processors=False)
            try:
                await until(lambda: only(queries).in_service)
                assert await queries.ask(Total(item="pen"), after=receipt) == 3
                receipt = await add(commands, 4)
                assert await queries.ask(Total(item="pen"), after=receipt, within=60) == 7
                events = [event.event.count async for event in queries.events(category="item")]
                assert events[:1] == [3]
                feed = queries.subscribe(after=receipt.position - 1)
                assert (await anext(feed)).event.count == 4
                with pytest.raises(StoreReadOnly):
                    await add(queries)
                assert (await queries.health()).status == "ok"
                assert queries.primary_reads == PrimaryReads(reads=0, refused=0, under_way=0, answers=None)
            finally:
                await queries.stop()

    run(main())


def test_while_the_primary_is_down_replicas_answer_with_what_they_have(host: Host) -> None:
    with needed():
        primary = clusters.postgres(host)
    standby = clusters.replica(primary)

    async def main() -> None:
        url = f"{primary.url}?reconnect_within=0"
        policy = replace(QUICK, max_lag=0.3, wait=0.05)
        async with entered(make(url, [standby.at(primary.url)], policy)) as app:
            receipt = await add(app, 5)
            await of_replica(app, Total(item="pen"), receipt, 5)
            primary.kill()
            await until(lambda: (only(app).lag_seconds or 0) > 0.3 and only(app).in_service and only(app).why)
            assert await app.ask(Total(item="pen")) == 5
            assert await app.ask(Total(item="pen"), after=receipt) == 5
            with pytest.raises(StaleAnswer):
                await app.ask(Total(item="pen"), after=receipt.position + 1, within=0.05)
            primary.start()
            await until(lambda: only(app).in_service and not only(app).why)

    try:
        run(main())
    finally:
        standby.kill()
        primary.kill()


def test_a_query_service_beside_a_replica_answers_over_http_with_tokens_and_tells_how_the_replica_stands(
    url: str, one: Replica
) -> None:
    away = url.replace("127.0.0.1", "127.0.0.2")  # nobody listens there: there is no way to the primary

    async def main() -> None:
        app = importlib.import_module("examples.quickstart").shop()
        app.url = url
        async with calling(app) as commands:
            created = await commands.post("/orders", json={"order_id": "o-1", "sku": "pen", "quantity": 1})
            assert created.status_code == 201
            with (
                served("query", "--read-from", one.at(url), store=f"{away}?reconnect_within=0") as queries,
                httpx.Client(base_url=queries.url, trust_env=False, timeout=60) as client,
            ):
                token = {"Min-Position": created.headers["Daicho-Position"], "Prefer": "wait=30"}

                async def ask() -> httpx.Response:
                    asked = {"status": "pending"}
                    return await asyncio.to_thread(client.get, "/orders", params=asked, headers=token)

                while (answer := await ask()).status_code == 503:  # noqa: ASYNC110 - until the first beats have come
                    await asyncio.sleep(0.05)
                assert answer.status_code == 200, answer.text
                assert int(answer.headers["Daicho-Position"]) >= int(token["Min-Position"])
                assert await asyncio.to_thread(lambda: client.post("/orders", json={}).status_code) == 404
                metrics = (await asyncio.to_thread(client.get, "/metrics")).text
                replica = f"127.0.0.1:{one.port}/{name(url)}"
                assert f'daicho_replica_reads_total{{replica="{replica}"}} 1.0' in metrics
                assert f'daicho_replica_lag_bytes{{replica="{replica}"}}' in metrics
                assert f'daicho_replica_in_service{{replica="{replica}"}}' in metrics

    run(main())


def test_the_command_line_lists_replicas_and_doctor_and_health_tell_of_those_that_are_out(
    url: str, one: Replica, primary: Postgres
) -> None:
    run(make_tables(url))
    one.catches_up()
    nobody = f"postgresql://ada:secret@127.0.0.1:{free_port()}/x"

    def said(*words: str, read_from: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["--store", url, "--read-from", read_from, *words])
        return done.exit_code, done.output

    code, told = said("replica", "list", "-o", "json", read_from=one.at(url))
    [row] = json.loads(told)["data"]
    assert (code, row["name"], row["in_service"], row["why"]) == (0, f"127.0.0.1:{one.port}/{name(url)}", True, "")
    assert (type(row["lag_seconds"]), type(row["lag_bytes"]), row["position"]) == (float, int, 0)
    code, told = said("replica", "list", read_from=f"{one.at(url)}, {nobody}")
    assert (code, "secret" in told, "does not answer" in told) == (1, False, True)
    for verb in ("doctor", "health"):
        code, told = said(verb, read_from=nobody)
        assert (code, "secret" in told, f"replica {nobody.rpartition('@')[2]}" in told) == (1, False, True), told
    assert said("health", read_from=one.at(url))[0] == 0
    code, told = said("replica", "list", read_from="")
    assert (code, "no replica was named" in told) == (2, True)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_no_replica_of_the_store_is_refused(
    url: str, primary: Postgres, one: Replica, postgres_url: str
) -> None:
    async def main() -> None:
        other = fresh_database(primary)
        one.catches_up()
        for stranger in (postgres_url, one.at(other)):
            app = make(url, [stranger])
            with pytest.raises(NotAReplica, match="no replica of the store"):
                await app.start()
            assert not app.is_running
        drop_database(primary, other)
        async with make(url, [url]) as app:  # the primary itself, as after a failover
            assert (only(app).in_service, only(app).why) == (False, "it is no replica: it takes writes itself")
            assert await app.ask(Total(item="pen"), after=await add(app)) == 1

    run(main())


def test_only_a_postgresql_store_has_replicas() -> None:
    with pytest.raises(ConfigurationError, match="needs a PostgreSQL store"):
        make("sqlite:///x.db", ["postgresql://host/x"])
    with pytest.raises(BadUrl):
        make("postgresql://host/x", ["sqlite:///x.db"])
    with pytest.raises(ConfigurationError, match="twice"):
        make("postgresql://host/x", ["postgresql://a@host/x", "postgresql://b:secret@host/x"])
    with pytest.raises(ConfigurationError, match="makes no sense"):
        ReplicaPolicy(max_lag=0)
