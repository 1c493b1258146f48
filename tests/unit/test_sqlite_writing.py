"""The writer of a SQLite store: shared commits, isolation, busy files, several loops."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from daicho.adapters.owner import HERE
from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.adapters.stores.sqlite.base import Opened
from daicho.adapters.stores.sqlite.reading import _query
from daicho.adapters.stores.sqlite.writer import OCCUPIED, Transaction
from daicho.core.conditions import ABSENT, AppendCondition, Criteria
from daicho.core.errors import ConcurrencyError, DuplicateEventId, LostLease, StoreBusy
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.event_store import Appended, InlineTransaction, Selection
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.view_store import TableSpec
from daicho.testing.contracts.base import HandClock, append, event, fresh_id, request

OPTIONS = ["driver=apsw", "driver=sqlite3&allow_affected_sqlite=true"]


class Count(Row):
    n: int


COUNTS = TableSpec("counts", 1, Count)


@asynccontextmanager
async def opened(path: Path, options: str = "") -> AsyncIterator[SqliteStorage]:
    store = SqliteStorage(f"sqlite:///{path}?{options}", now=HandClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def inside(store: SqliteStorage) -> Opened:
    return store._opened()


@pytest.mark.parametrize("options", OPTIONS)
def test_concurrent_appends_share_commits(tmp_path: Path, options: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            before = inside(store).writer.commits
            answers = await asyncio.gather(*(append(store, request(f"order-{n}", "a")) for n in range(100)))
            assert inside(store).writer.commits - before < 20
            positions = [answer.positions[0] for [answer] in answers]
            assert sorted(positions) == list(range(1, 101))

    asyncio.run(scenario())


def test_a_lone_caller_is_served_in_its_own_thread(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            inside(store).writer._quiet = 1000
            inside(store).writer.commit_seconds = 0
            threads: list[threading.Thread] = []
            await store._write(lambda _: threads.append(threading.current_thread()))
            assert threads == [threading.current_thread()]
            await asyncio.gather(
                *(store._write(lambda _: threads.append(threading.current_thread()), weight=100) for _ in range(2))
            )
            assert threading.current_thread() not in threads[1:]

    asyncio.run(scenario())


@pytest.mark.parametrize("options", OPTIONS)
def test_only_the_guilty_one_of_a_group_fails(tmp_path: Path, options: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            taken = event()
            await append(store, request("order-1", taken))

            def explode(_: Transaction) -> None:
                raise ZeroDivisionError("bang")

            answers: list[Any] = await asyncio.gather(
                store.append([request("order-2", "a")]),
                store._write(explode, weight=100),
                store.append([request("order-3", "a", taken), request("order-4", "a", "b")]),
                store.append([request("order-5", "a")]),
                return_exceptions=True,
            )
            [[first], exploded, [reused, fourth], [fifth]] = answers
            assert isinstance(exploded, ZeroDivisionError)
            assert isinstance(reused, DuplicateEventId)
            assert all(isinstance(answer, Appended) for answer in (first, fourth, fifth))
            events = await store.read(Selection(), limit=100)
            assert [found.position for found in events] == [1, 2, 3, 4, 5]
            assert {found.stream for found in events} == {"order-1", "order-2", "order-4", "order-5"}

    asyncio.run(scenario())


def test_inline_work_that_raises_undoes_its_own_request_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await store.open_table(COUNTS)

            def counts(transaction: InlineTransaction, _: Any) -> None:
                transaction.write(COUNTS, {"all": Count(n=1)}, [])
                raise ValueError("cannot count")

            answers = await store.append(
                [
                    request("order-1", "a", event("b", tags=("x:1",))),
                    request("order-2", event("b", tags=("x:2",)), inline=counts),
                    request("order-2", "c", expected=ABSENT),
                ]
            )
            assert [type(answer) for answer in answers] == [Appended, ValueError, Appended]
            assert await store.get(COUNTS, "all") is None
            assert [found.position for found in await store.read(Selection(), limit=9)] == [1, 2, 3]
            assert await store.read(Selection(criteria=Criteria(tags=["x:2"])), limit=9) == []

    asyncio.run(scenario())


def test_two_stores_on_one_file_see_each_other_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as one, opened(tmp_path / "app.db") as other:
            for n in range(20):
                waiting = asyncio.ensure_future(other.wait(n))
                writer, reader = (one, other) if n % 2 else (other, one)
                [answer] = await append(writer, request(f"order-{n}", "a"))
                assert answer.positions == (n + 1,)
                assert await asyncio.wait_for(waiting, 5) == n + 1
                assert await reader.stream_version(f"order-{n}") == 1

    asyncio.run(scenario())


def test_many_waiters_may_be_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            waiting = [asyncio.ensure_future(store.wait(0)) for _ in range(10)]
            await asyncio.sleep(0)
            for task in waiting[:5]:
                task.cancel()
            await append(store, request("order-1", "a"))
            found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
            assert [type(each) for each in found] == [asyncio.CancelledError] * 5 + [int] * 5
            [watch] = inside(store).watches._watches.values()
            assert not watch.waiting

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_a_locked_file_is_busy_after_the_timeout_and_works_again(tmp_path: Path, options: str) -> None:
    path = tmp_path / "app.db"

    async def scenario() -> None:
        async with opened(path, f"{options}&busy_timeout=0.05") as store:
            other = store._driver.connect(str(path))  # one library: two would not see each other's locks
            other.execute("begin immediate")
            answers = await asyncio.gather(
                *(store.append([request(f"order-{n}", "a")]) for n in range(5)), return_exceptions=True
            )
            assert {type(answer) for answer in answers} == {StoreBusy}
            other.execute("rollback")
            other.close()
            assert await store.head() == 0
            await append(store, request("order-1", "a"))

    asyncio.run(scenario())


def test_loops_in_several_threads_share_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    store = SqliteStorage(f"sqlite:///{path}", now=HandClock())
    asyncio.run(store.open())
    failures: list[BaseException] = []

    async def work(name: str) -> None:
        async def one(k: int) -> None:
            for n in range(10):
                await append(store, request(f"{name}-{k}", "a", expected=n))

        await asyncio.gather(*(one(k) for k in range(4)))

    def thread(name: str) -> None:
        try:
            asyncio.run(work(name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=thread, args=(name,)) for name in ("a", "b", "c")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures
    assert asyncio.run(store.head()) == 120
    asyncio.run(store.close())


def test_what_rides_along_is_there_when_asked_for_and_after_closing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await store.save_snapshot(Snapshot(stream="order-1", version=3, fold="f", state=b"\x81\x01"))
            assert (await store.load_snapshot("order-1")) is not None
            for n in range(50):
                await store.save_snapshot(Snapshot(stream=f"order-{n}", version=n, fold="f", state=b'{"n":1}'))
        async with opened(tmp_path / "app.db") as store:
            found = await store.load_snapshot("order-49")
            assert found == Snapshot(stream="order-49", version=49, fold="f", state=b'{"n":1}')
            assert await store.drop_snapshots() == 50

    asyncio.run(scenario())


def test_a_note_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            store._ride(lambda transaction: transaction.connection.execute("insert into nowhere values (1)"))
            await append(store, request("order-1", "a"))
            await inside(store).writer.settle()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert "nowhere" in caplog.text


def test_recorded_at_never_goes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = HandClock()
        store = SqliteStorage(f"sqlite:///{tmp_path / 'app.db'}", now=clock)
        await store.open()
        await append(store, request("order-1", "a"))
        clock.move(-60)
        await append(store, request("order-1", "a"))
        clock.move(120)
        await append(store, request("order-1", "a"))
        times = [found.recorded_at for found in await store.read(Selection(stream="order-1"), limit=9)]
        assert times == sorted(times)
        assert times[0] == times[1] < times[2]
        await store.close()

    asyncio.run(scenario())


def test_a_cancelled_append_stops_nobody_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            tasks = [asyncio.ensure_future(store.append([request(f"order-{n}", "a")])) for n in range(10)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(answer, list) for answer in answers[1::2])
            events = await store.read(Selection(), limit=99)
            assert [found.position for found in events] == list(range(1, len(events) + 1))

    asyncio.run(scenario())


@pytest.mark.parametrize("options", OPTIONS)
def test_the_log_file_is_folded_back_while_running(tmp_path: Path, options: str) -> None:
    path, log = tmp_path / "app.db", tmp_path / "app.db-wal"

    def size(file: Path) -> int:
        return file.stat().st_size

    async def scenario() -> None:
        async with opened(path, f"{options}&durability=relaxed") as store:
            data = b'{"text":"' + b"x" * 50_000 + b'"}'
            for n in range(40):
                await append(store, *(request(f"order-{n}", event(data=data)) for _ in range(10)))
            assert size(path) > 8 * 2**20  # 20 MB went through the log
            assert size(log) < 12 * 2**20

    asyncio.run(scenario())
    assert not log.exists()


def test_a_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    host = HERE
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    living, other_start, dead = (
        f"{host}:{os.getpid()}:{start}:aa",
        f"{host}:{os.getpid()}:1:bb",
        f"{host}:4194305:77:cc",
    )

    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await store.register("projection:x", position=0)
            for gone in (dead, other_start):
                claimed = await store.claim("projection:x", gone)
                assert claimed is not None
            mine = await store.claim("projection:x", living)
            assert mine is not None
            assert mine.token == 3
            assert await store.claim("projection:x", f"elsewhere:{os.getpid()}:5:dd") is None
            with pytest.raises(LostLease):
                await store.advance(Advance(processor="projection:x", token=2, old=0, new=5))
            await store.advance(Advance(processor="projection:x", token=3, old=0, new=5))
            await store.release(living)
            assert await store.claim("projection:x", f"elsewhere:{os.getpid()}:5:dd") is not None

    asyncio.run(scenario())


def test_boundaries_look_at_every_alternative(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await append(
                store, request("seat-1", event("taken", tags=("seat:1", "show:9"))), request("note-1", "noted")
            )

            async def refused(criteria: Criteria, after: int = 0) -> bool:
                [answer] = await store.append([request(f"x-{fresh_id()}", condition=AppendCondition(criteria, after))])
                return isinstance(answer, ConcurrencyError)

            assert await refused(Criteria(tags=["seat:1", "show:9"]))
            assert await refused(Criteria(types=["taken"], tags=["show:9"]))
            assert await refused(Criteria(tags=["seat:2"]) | Criteria(types=["noted"]))
            assert await refused(Criteria(), 1)
            assert not await refused(Criteria(), 2)
            assert not await refused(Criteria(tags=["seat:1", "show:8"]))
            assert not await refused(Criteria(types=["freed"], tags=["show:9"]))
            assert not await refused(Criteria(tags=["seat:1"]), 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("selection", "path"),
    [
        (Selection(after=5), "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"),
        (Selection(after=5, types=("a", "b")), "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"),
        (
            Selection(after=5, category="order", up_to=90),
            "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (Selection(category="order"), "SCAN events"),
        (Selection(stream="order-1", after_version=3), "(stream=? AND version>?)"),
        (Selection(stream="order-1", newest_first=True), "(stream=?)"),
        (Selection(stream="order-1", correlation_id="c", after=1), "(stream=?)"),
        (Selection(correlation_id="c", after=5), "(event_id>? AND event_id<?)"),
        (Selection(correlation_id="c", after=5), "events_of_other_ids (correlation_id=?)"),
        (Selection(event_id="e"), "(event_id=?)"),
    ],
)
def test_common_reads_follow_an_index_and_never_sort(tmp_path: Path, selection: Selection, path: str) -> None:
    async def plan() -> list[str]:
        async with opened(tmp_path / "app.db") as store:
            text, bound = _query(selection, 100)
            rows = await store._aside(lambda c: c.execute(f"explain query plan {text}", bound))
            return [row[3] for row in rows]

    steps = asyncio.run(plan())
    assert any(path in step for step in steps)
    assert not any(step.startswith("SCAN") for step in steps[1:])
    assert not any("TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_log_file_gets_its_room_after_a_few_commits_and_nothing_else_does(tmp_path: Path, options: str) -> None:
    file = tmp_path / "app.db"

    def sizes() -> tuple[int, int]:
        return os.path.getsize(file), os.path.getsize(f"{file}-wal")

    async def scenario() -> None:
        async with opened(file, options) as store:
            for n in range(40):
                await append(store, request(f"order-{n}", "a"))
                await store._write(lambda _: None, weight=1000)  # so that the writer's thread has a turn
            size, log_size = sizes()
            assert size < 1024 * 1024 < 4 * 1024 * 1024 <= log_size
            assert len(await store.read(Selection(), limit=100)) == 40
            tables = await store._here(lambda connection: connection.execute("select name from sqlite_schema"))
            assert ("daicho_room",) not in tables
            assert await store._here(lambda connection: connection.execute("pragma integrity_check")) == [("ok",)]

    asyncio.run(scenario())
    assert os.path.getsize(file) < 1024 * 1024


def test_a_look_through_the_writer_never_sees_what_is_not_durable(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            writer, seen = inside(store).writer, list[Any]()

            def work(transaction: Transaction) -> None:
                transaction.connection.execute("pragma user_version = 7")
                seen.append(writer.look(lambda connection: connection.execute("pragma user_version")))
                transaction.connection.execute("pragma user_version = 1")

            await store._write(work)
            assert seen == [OCCUPIED]
            assert writer.look(lambda connection: connection.execute("pragma user_version")) == [(1,)]

    asyncio.run(scenario())


def test_while_somebody_writes_reads_take_another_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await append(store, request("order-1", "a"))
            with inside(store).writer._turn:
                assert await store.stream_version("order-1") == 1

    asyncio.run(scenario())
