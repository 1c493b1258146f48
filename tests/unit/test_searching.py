"""Rows found by their words: who keeps them, and that they are kept with the rows whatever happens."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from daicho import App, Crud, NotSearchable, Row, WiringError, projection, sql_projection
from daicho.adapters.stores.postgres import PostgresStorage
from daicho.adapters.stores.postgres.tables import table_for as postgres_table
from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.adapters.stores.sqlite.tables import table_for as sqlite_table
from daicho.core.errors import InvalidMessage
from daicho.ports.view_store import Mark, TableSpec, ViewChange
from tests.bank import BANK, Account, Deposited, Open, Opened


class Found(Row, search=("account",)):
    account: str
    amount: int = 0


class Bare(Row):
    account: str
    amount: int = 0


def accounts(event: Opened | Deposited) -> str:
    return event.account


@projection("found", key=accounts)
def found(row: Found | None, event: Opened) -> Found | None:
    return Found(account=event.account)


@projection("found", key=accounts)
def bare(row: Bare | None, event: Opened) -> Bare | None:
    return Bare(account=event.account)


@projection("found", key=accounts, inline=True)
def at_once(row: Found | None, event: Opened) -> Found | None:
    return Found(account=event.account)


async def names(app: App, text: str, **equals: Any) -> set[str]:
    return {row.account for row in await app.views[found].search(text, **equals)}


async def test_a_view_is_searched_by_whole_words_and_one_begun(url: str) -> None:
    async with App(*BANK, found, store=url) as app:
        for account in ("green tea", "green house", "緑茶"):
            receipt = await app.send(Open(account=account))
        await app.settled(receipt)
        assert await names(app, "green") == {"green tea", "green house"}
        assert await names(app, "green t") == {"green tea"}
        assert await names(app, "茶") == {"緑茶"}
        assert await names(app, "green", account="green tea") == {"green tea"}
        assert len(await app.views[found].search("green", limit=1)) == 1
        assert [row.account for row in await app.views[found].search("green", offset=1)] == ["green tea"]
        for wrong in ({"limit": -1}, {"offset": -1}):
            with pytest.raises(InvalidMessage, match="cut out nothing"):
                await app.views[found].search("green", **wrong)
        with pytest.raises(NotSearchable, match="names no fields to search"):
            await app.views.named("balances").search("green")


async def test_an_inline_projection_is_found_as_soon_as_its_event_is_recorded(url: str) -> None:
    async with App(Account, at_once, store=url) as app:
        await app.send(Open(account="green tea"))
        assert [row.account for row in await app.views[at_once].search("tea")] == ["green tea"]


async def test_a_view_whose_row_class_gets_search_fields_is_built_anew_with_their_words(sqlite: str) -> None:
    async with App(Account, bare, store=sqlite) as app:
        await app.settled(await app.send(Open(account="green tea")))
        assert len(await app.views[bare].find()) == 1
    async with App(Account, found, store=sqlite) as app:
        await app.settle()
        assert await names(app, "tea") == {"green tea"}
        async for _ in app.rebuild("found"):
            pass
        assert await names(app, "tea") == {"green tea"}


@pytest.fixture(params=["sqlite", "postgres_url"])
def sql_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


async def test_rows_that_sql_writes_cannot_be_searched_and_that_is_said_at_the_start(sql_url: str) -> None:
    written = sql_projection(
        "written",
        row=Found,
        events=[Opened],
        sql="insert into {table} (_key, account, amount) select event_id, stream, 0 from {events}",
    )
    with pytest.raises(NotSearchable, match=r"'written' cannot be searched\nWhy: SQL writes them"):
        async with App(Account, written, store=sql_url):
            pass


def test_what_is_searched_has_to_be_there_and_be_text() -> None:
    class Missing(Row, search=("titel",)):
        title: str

    class Numbers(Row, search=("title", "year")):
        title: str | None
        year: int

    with pytest.raises(WiringError, match="Missing has no field 'titel' to search"):
        Crud(Missing)
    with pytest.raises(WiringError, match=r"Numbers\.year holds no text to search"):
        Crud(Numbers)


# -- SQLite -----------------------------------------------------------------------------------------------------------

TABLE = TableSpec("shelf", 1, Found)


def change(deletes: tuple[str, ...] = (), **names: str) -> ViewChange:
    return ViewChange(table=TABLE, upserts={key: Found(account=name) for key, name in names.items()}, deletes=deletes)


@pytest.fixture(params=["apsw", "sqlite3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, daicho_loop: asyncio.Runner) -> Iterator[SqliteStorage]:
    options = f"driver={request.param}&allow_affected_sqlite=true&durability=relaxed"
    storage = SqliteStorage(f"sqlite:///{tmp_path / 'app.db'}?{options}", now=lambda: datetime.now(UTC))
    daicho_loop.run(storage.open())
    daicho_loop.run(storage.open_table(TABLE))
    yield storage
    daicho_loop.run(storage.close())


async def keys(store: SqliteStorage | PostgresStorage, text: str) -> list[str]:
    return [row.account for row in await store.search(TABLE, text, {}, limit=99)]


async def test_words_and_rows_of_a_change_that_is_refused_stay_as_they_were(store: SqliteStorage) -> None:
    await store.commit(change(a="green tea", b="black tea"))
    for wrong in (Found(account="red", amount=2**70), Found(account="\ud800")):
        with pytest.raises(InvalidMessage):
            await store.commit(ViewChange(table=TABLE, upserts={"a": Found(account="red"), "c": wrong}, deletes=["b"]))
    assert await keys(store, "tea") == ["green tea", "black tea"]
    assert await keys(store, "red") == []


async def test_the_index_holds_exactly_the_words_of_the_rows_after_many_changes(
    store: SqliteStorage, tmp_path: Path
) -> None:
    for n in range(200):
        given = {f"k{(n * m) % 23}": f"tea {(n + m) % 5} 茶{n % 3}" for m in range(1, 6)}
        await store.commit(change((f"k{n % 23}", f"k{n % 7}", "nobody"), **given))
    rows = await store.find(TABLE, {})
    assert rows
    for text in ("tea 1", "茶 tea", "te", "4"):
        beginning = text.rsplit(" ", 1)[-1]
        expected = [r for r in rows if "tea" in r.account and (beginning in r.account)]
        assert sorted(await keys(store, text)) == sorted(row.account for row in expected)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "app.db"))
    connection.execute("insert into daicho_words_shelf__1 (daicho_words_shelf__1, rank) values ('integrity-check', 1)")
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_a_dropped_table_leaves_nothing_behind(store: SqliteStorage, tmp_path: Path) -> None:
    await store.commit(change(a="tea"))
    await store.drop_table(TABLE)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "app.db"))
    assert connection.execute("select name from sqlite_schema where name like '%shelf%'").fetchall() == []
    connection.close()


async def test_a_backup_can_be_searched(store: SqliteStorage, tmp_path: Path) -> None:
    await store.commit(change(a="green tea"))
    async for _ in store.backup(tmp_path / "copy.db"):
        pass
    copy = SqliteStorage(f"sqlite:///{tmp_path / 'copy.db'}", now=lambda: datetime.now(UTC))
    await copy.open()
    assert await keys(copy, "tea") == ["green tea"]
    assert all(finding.ok for finding in await copy.examine() if "integr" in finding.what)
    await copy.close()


async def test_racing_changes_to_the_same_row_leave_the_words_of_the_last(store: SqliteStorage) -> None:
    await asyncio.gather(*(store.commit(change(a=f"tea w{n}")) for n in range(50)))
    [row] = await store.find(TABLE, {})
    assert await keys(store, "tea") == [row.account]
    assert [n for n in range(50) if await keys(store, f"tea w{n} tea")] == [int(row.account[5:])]


# -- where an index is used -------------------------------------------------------------------------------------------


class Placed(Row, index=("year", "note"), search=("note",)):
    year: int
    note: str | None = None


class Plainly(Row, index=("year",)):
    year: int


@pytest.mark.parametrize("row_type", [Placed, Plainly])
@pytest.mark.parametrize("descending", [False, True])
async def test_the_last_page_is_reached_by_the_index(tmp_path: Path, row_type: type[Row], descending: bool) -> None:
    store = SqliteStorage(f"sqlite:///{tmp_path / 'app.db'}", now=lambda: datetime.now(UTC))
    await store.open()
    table = TableSpec("placed", 1, row_type)
    await store.open_table(table)
    await store.close()
    text, values = sqlite_table(table).page({}, "year", descending, 5, Mark("k", 7))
    connection = apsw.Connection(str(tmp_path / "app.db"))
    plan = str(connection.execute(f"explain query plan {text}", values).fetchall())
    connection.close()
    assert f"INDEX placed__1_year ((year,_key){'<' if descending else '>'}(?,?))" in plan
    assert "TEMP B-TREE" not in plan


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


async def test_postgresql_finds_rows_and_pages_by_its_indexes(postgres_url: str) -> None:
    table = TableSpec("placed", 1, Placed)
    async with App(store=postgres_url) as app:
        store: Any = app.storage
        await store.open_table(table)
        rows: dict[str, Row] = {f"k{n:04}": Placed(year=n % 500, note=f"tea w{n} 茶{n}") for n in range(5000)}
        await store.commit(ViewChange(table=table, upserts=rows, deletes=()))
        compiled = postgres_table(store._location.schema, table)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"analyze {compiled.table}")

            def plan(asked: tuple[str, list[Any]] | None) -> str:
                assert asked is not None
                text, values = asked
                found = connection.execute(f"explain {text}", values).fetchall()
                return "\n".join(line for (line,) in found)

            for descending in (False, True):
                how = plan(compiled.page({}, "year", descending, 5, Mark("k0007", 250)))
                assert "Index Scan" in how
                assert "Index Cond: (ROW(year, _key)" in how
                assert "Sort" not in how
            connection.execute("set enable_seqscan = off")  # the table is small
            assert "Index Scan on placed__1__words_idx" in plan(compiled.search("tea w4999", {}, 5, 0))


async def test_as_many_words_as_count_fit_into_every_store(sql_url: str) -> None:
    async with App(store=sql_url) as app:
        store: Any = app.storage
        await store.open_table(TABLE)
        await store.commit(change(a=" ".join(f"w{n:06}" for n in range(150_000)), b="\U00020000" * 100 + "x" * 300))
        for n in (0, 1, 71_000, 142_856):
            assert len(await keys(store, f"w{n:06} w000000")) == 1
        assert await keys(store, "w142857") == []
        assert len(await keys(store, "\U00020000" * 150 + "x" * 250)) == 1
