"""Which files a SQLite store opens, which it refuses, and what it says then."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from daicho.adapters.stores.sqlite import SqliteStorage, parse_url
from daicho.adapters.stores.sqlite import storage as storage_module
from daicho.adapters.stores.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from daicho.adapters.stores.sqlite.sidecar import Sidecar, is_safe
from daicho.core.conditions import ABSENT
from daicho.core.errors import (
    BadUrl,
    ForeignStore,
    StoreClosed,
    StoreCorrupt,
    StoreFull,
    UnsafeSqlite,
)
from daicho.ports.event_store import Selection
from daicho.testing.contracts.base import HandClock, append, request

OPTIONS = ["driver=apsw", "driver=sqlite3&allow_affected_sqlite=true"]


@asynccontextmanager
async def opened(path: Path, options: str = "") -> AsyncIterator[SqliteStorage]:
    store = SqliteStorage(f"sqlite:///{path}?{options}", now=HandClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def open_and_close(path: Path, options: str = "") -> None:
    async with opened(path, options):
        pass


def changed(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite://", "memory:"),
        ("sqlite:///", "memory:"),
        ("sqlite:///:memory:", "memory:"),
        ("sqlite://app.db", "host"),
        ("postgresql://x", "sqlite://"),
        ("sqlite:///app.db?speed=9", "driver=apsw|sqlite3"),
        ("sqlite:///app.db?driver=odbc", "apsw or sqlite3"),
        ("sqlite:///app.db?durability=none", "full or relaxed"),
        ("sqlite:///app.db?busy_timeout=soon", "seconds"),
        ("sqlite:///app.db?busy_timeout=-1", "seconds"),
        ("sqlite:///app.db?busy_timeout=nan", "seconds"),
        ("sqlite:///app.db?driver=apsw&driver=apsw", "twice"),
        ("sqlite:///folder/", "not the name of a file"),
    ],
)
def test_a_bad_url_is_told_what_would_be_good(url: str, told: str) -> None:
    with pytest.raises(BadUrl) as caught:
        parse_url(url)
    assert told in str(caught.value)


def test_a_url_says_everything() -> None:
    location = parse_url("sqlite:////var/lib/my%20shop.db?driver=sqlite3&durability=relaxed&busy_timeout=0.5")
    assert location.path == "/var/lib/my shop.db"
    assert (location.driver, location.durability, location.busy_timeout) == ("sqlite3", "relaxed", 0.5)
    assert parse_url("sqlite:///shop.db").path == str(Path.cwd() / "shop.db")


@pytest.mark.parametrize("options", OPTIONS)
def test_a_file_of_another_program_is_left_as_it_is(tmp_path: Path, options: str) -> None:
    path = tmp_path / "app.db"
    changed(path, "create table customers (name text)")
    before = path.read_bytes()
    with pytest.raises(ForeignStore, match="customers"):
        asyncio.run(open_and_close(path, options))
    assert path.read_bytes() == before


@pytest.mark.parametrize("options", OPTIONS)
def test_a_file_with_another_application_id_is_refused(tmp_path: Path, options: str) -> None:
    path = tmp_path / "app.db"
    changed(path, "pragma application_id = 252006674", "create table fossil (x)", "drop table fossil")
    with pytest.raises(ForeignStore, match="0xf055112"):
        asyncio.run(open_and_close(path, options))


@pytest.mark.parametrize("options", OPTIONS)
def test_a_file_of_a_newer_daicho_is_refused(tmp_path: Path, options: str) -> None:
    path = tmp_path / "app.db"
    asyncio.run(open_and_close(path, options))
    changed(path, "pragma user_version = 99")
    with pytest.raises(ForeignStore, match="newer Daicho") as caught:
        asyncio.run(open_and_close(path, options))
    assert caught.value.data["version"] == 99


@pytest.mark.parametrize("options", OPTIONS)
def test_what_is_not_a_database_is_called_corrupt(tmp_path: Path, options: str) -> None:
    path = tmp_path / "app.db"
    path.write_text("dear diary, " * 1000)
    with pytest.raises(StoreCorrupt):
        asyncio.run(open_and_close(path, options))
    assert path.read_text() == "dear diary, " * 1000


@pytest.mark.parametrize("options", OPTIONS)
def test_damaged_pages_are_never_served(tmp_path: Path, options: str) -> None:
    path = tmp_path / "app.db"

    async def fill() -> None:
        async with opened(path, options) as store:
            await append(store, *(request(f"order-{n}", "a", "b") for n in range(200)))

    async def read() -> None:
        async with opened(path, options) as store:
            assert not next(finding for finding in await store.examine() if finding.what == "integrity").ok
            await store.read(Selection(), limit=1000)

    asyncio.run(fill())
    pages = bytearray(path.read_bytes())
    for page in range(15, len(pages) // 4096):  # behind the schema: the events
        pages[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(pages)
    with pytest.raises(StoreCorrupt):
        asyncio.run(read())


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    path.touch()
    asyncio.run(open_and_close(path))
    connection = sqlite3.connect(path)
    assert connection.execute("pragma application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("pragma user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("options", OPTIONS)
def test_a_file_of_version_1_is_brought_up_with_what_is_in_it(tmp_path: Path, options: str) -> None:
    path = tmp_path / "app.db"
    asyncio.run(open_and_close(path, options))
    changed(
        path,
        "alter table daicho_dead_letters drop column code",
        "drop table daicho_timers",
        "drop table daicho_states",
        "drop table daicho_standings",
        "insert into daicho_dead_letters (processor, key, position, event_id, type, stream, correlation_id, attempts,"
        " parked_at, state) values ('projection:orders', 'a', 1, 'e', 'seen', 's-a', 'c', 1, '2026', 'parked')",
        "pragma user_version = 1",
    )

    async def letters() -> list[tuple[str, str | None]]:
        async with opened(path, options) as store:
            return [(letter.key, letter.code) for letter in await store.letters()]

    async def two_at_once() -> None:
        assert await asyncio.gather(letters(), letters()) == [[("a", None)]] * 2

    asyncio.run(two_at_once() if "apsw" in options else letters())
    assert asyncio.run(letters()) == [("a", None)]
    connection = sqlite3.connect(path)
    assert connection.execute("pragma user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadUrl, match="mkdir -p"):
        asyncio.run(open_and_close(tmp_path / "no" / "app.db"))
    with pytest.raises(BadUrl, match="folder"):
        asyncio.run(open_and_close(tmp_path))


_AS_NOBODY = """
import asyncio, os, sys
from datetime import UTC, datetime
from daicho.adapters.stores.sqlite import SqliteStorage
store = SqliteStorage(sys.argv[1], now=lambda: datetime.now(UTC))
if os.geteuid() == 0:
    os.setgroups([])
    os.setresuid(65534, 65534, 65534)
try:
    asyncio.run(store.open())
except Exception as error:
    print(type(error).__name__)
else:
    print("opened")
    asyncio.run(store.close())
"""


@pytest.mark.slow
@pytest.mark.parametrize("locked", ["file", "folder"])
def test_what_cannot_be_written_is_read_only(tmp_path: Path, locked: str) -> None:
    folder = Path(shutil.copytree(tmp_path, f"/tmp/daicho-{os.getpid()}-{locked}"))  # outside pytest's private folder
    try:
        path = folder / "app.db"
        asyncio.run(open_and_close(path))
        (folder / "app.db-daicho").chmod(0o666)
        path.chmod(0o444 if locked == "file" else 0o666)
        folder.chmod(0o777 if locked == "file" else 0o555)
        run = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, f"sqlite:///{path}"], capture_output=True, text=True, check=False
        )
        assert run.stdout.strip() == "StoreReadOnly", run.stderr
    finally:
        folder.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_full_database_says_so_and_loses_nothing(tmp_path: Path, options: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            await append(store, request("order-1", "a"))
            await limit_pages(store, 1)
            big = [request(f"order-{n}", *["b"] * 50) for n in range(2, 40)]
            with pytest.raises(StoreFull):
                await store.append(big)
            answers = await asyncio.gather(*(store.append([each]) for each in big), return_exceptions=True)
            assert {type(answer) for answer in answers} <= {StoreFull, list}
            kept = 1 + sum(50 for answer in answers if isinstance(answer, list))
            assert await store.head() == kept
            await limit_pages(store, 1_000_000)
            await append(store, *big)  # idempotent: those that had gone in are not doubled
            assert await store.head() == 1 + 50 * len(big)

    async def limit_pages(store: SqliteStorage, pages: int) -> None:
        await store._write(lambda transaction: transaction.connection.execute(f"pragma max_page_count = {pages}"))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 54, 1), True),
    ],
)
def test_the_libraries_that_can_corrupt_are_known(version: tuple[int, ...], safe: bool) -> None:
    assert is_safe(version) is safe


def test_an_affected_library_shares_a_file_with_nobody(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    sound = Sidecar(path, (3, 54, 1), allow_affected=False)
    Sidecar(path, (3, 51, 3), allow_affected=False).close()
    with pytest.raises(UnsafeSqlite, match="of this process") as caught:
        Sidecar(path, (3, 40, 1), allow_affected=False)
    assert caught.value.data["affected"] == "this process"
    Sidecar(path, (3, 40, 1), allow_affected=True).close()
    sound.close()
    affected = Sidecar(path, (3, 40, 1), allow_affected=False)
    with pytest.raises(UnsafeSqlite, match="apsw") as caught:
        Sidecar(path, (3, 54, 1), allow_affected=False)
    assert caught.value.data["affected"] == "the other process"
    affected.close()


def test_a_store_that_is_refused_lets_go_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.db"

    def broken(*_: Any, **__: Any) -> None:
        raise ForeignStore("no")

    with monkeypatch.context() as patch:
        patch.setattr(storage_module, "prepare_writer", broken)
        with pytest.raises(ForeignStore):
            asyncio.run(open_and_close(path))
    Sidecar(str(path), (3, 40, 1), allow_affected=False).close()  # exclusive: nobody holds it
    asyncio.run(open_and_close(path))


def test_a_closed_store_is_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            waiting = asyncio.ensure_future(store.wait(0))
            await asyncio.sleep(0)
            await store.close()
            with pytest.raises(StoreClosed):
                await waiting
            calls: list[Callable[[], Any]] = [
                lambda: store.append([request("order-1", "a", expected=ABSENT)]),
                lambda: store.read(Selection(), limit=1),
                store.head,
                lambda: store.wait(0),
                store.examine,
                store.checkpoints,
            ]
            for call in calls:
                with pytest.raises(StoreClosed):
                    await call()
            await store.close()
            await store.open()
            await append(store, request("order-1", "a"))

    asyncio.run(scenario())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.db", "app.db-daicho"]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_pragmas_are_as_promised(tmp_path: Path, options: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            wanted = {
                "journal_mode": "wal",
                "synchronous": 2,
                "foreign_keys": 1,
                "trusted_schema": 0,
                "cell_size_check": 1,
                "wal_autocheckpoint": 0,
                "temp_store": 2,
            }
            for name, value in wanted.items():
                [(found,)] = await store._write(lambda t, name=name: t.connection.execute(f"pragma {name}"))
                assert (name, found) == (name, value)
        async with opened(tmp_path / "app.db", f"{options}&durability=relaxed") as store:
            assert await store._write(lambda t: t.connection.execute("pragma synchronous")) == [(1,)]
            assert not next(finding for finding in await store.examine() if finding.what == "durability").ok

    asyncio.run(scenario())


def test_a_shell_can_read_it_and_cannot_change_history(tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    async def fill() -> None:
        async with opened(path) as store:
            await append(store, request("order-1", "a"))

    asyncio.run(fill())
    connection = sqlite3.connect(path)
    assert connection.execute("select position, stream, type, data from events").fetchall() == [
        (1, "order-1", "a", '{"n":1}')
    ]
    for statement in ("update events set data = ''", "delete from events"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            connection.execute(statement)
    connection.close()
