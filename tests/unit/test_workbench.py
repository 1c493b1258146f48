"""SQL that people type: what it sees, and what it cannot do."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from daicho import App
from daicho.core.errors import SqlFailed, SqlRefused, SqlTooLong
from daicho.insight.workbench import Workbench
from tests.cli_app import CancelOrder, PlaceOrder, make


@asynccontextmanager
async def working(folder: Path) -> AsyncGenerator[tuple[App, Workbench], None]:
    """Six orders, one of them cancelled, and a workbench over them."""
    app = make()
    app.url = f"sqlite:///{folder / 'shop.db'}"
    async with app:
        for n in range(6):
            await app.send(PlaceOrder(order_id=f"o{n}", sku="pen" if n % 2 else "ink", quantity=n + 1), actor="ada")
        await app.send(CancelOrder(order_id="o1"))
        await app.settle()
        bench = Workbench.of(app, memory=256)
        try:
            yield app, bench
        finally:
            await bench.close()


async def test_events_are_what_stands_in_the_file(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, bench):
        answer = await bench.ask(
            "select position, stream, type, actor, data->>'$.sku' as sku, occurred_at from events order by position"
        )
        with sqlite3.connect(tmp_path / "shop.db") as file:
            stored = file.execute(
                "select position, stream, type, actor, data ->> '$.sku', occurred_at from events order by position"
            ).fetchall()
        file.close()
        assert [row[:5] for row in answer.rows] == [row[:5] for row in stored]
        assert [row[5][:19] for row in answer.rows] == [row[5][:19] for row in stored]
        assert [column.name for column in answer.columns] == [
            "position",
            "stream",
            "type",
            "actor",
            "sku",
            "occurred_at",
        ]
        assert (answer.position, answer.copied, answer.more) == (len(stored), len(stored), False)


async def test_views_join_events_and_numbers_are_numbers(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, bench):
        answer = await bench.ask(
            "select o.status, count(*), sum((e.data->>'$.price')::decimal(12,2) * o.quantity) from orders o "
            "join events e on e.stream = 'order-' || o.order_id and e.version = 1 group by 1 order by 1"
        )
        assert answer.rows == [("cancelled", 1, Decimal("3")), ("placed", 5, Decimal("28.5"))]


async def test_the_copy_follows_the_store(tmp_path: Path) -> None:
    async with working(tmp_path) as (app, bench):
        count = "select count(*) from events where type = 'order.placed'"
        assert (await bench.ask(count)).rows == [(6,)]
        await app.send(PlaceOrder(order_id="new", sku="pen", quantity=1))
        await app.settle()
        again = await bench.ask(count)
        assert (again.rows, again.copied) == ([(7,)], 2)  # the order and the stock that was reserved for it
        assert (await bench.ask("select count(*) from orders")).rows == [(7,)]


async def test_the_register_can_be_asked(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, bench):
        found = {table: await bench.ask(f"from {table}") for table in ("commands", "checkpoints", "dead_letters")}
        for table, answer in found.items():
            assert [column.name for column in answer.columns] == list(bench.tables[table])
        assert "projection:orders@1" in [row[0] for row in found["checkpoints"].rows]


CHANGES = [
    "delete from events",
    "insert into events (position) values (1)",
    "update orders set status = 'x'",
    "drop table events",
    "create table mine as select * from events",
    "select 1; drop table events",
    "select 1; select 2",
    "attach 'other.db'",
    "copy events to 'stolen.csv'",
    "export database 'stolen'",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "pragma database_list",
    "call pragma_version()",
    "checkpoint",
    "vacuum",
    "",
]


async def test_what_does_not_only_read_is_refused(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, bench):
        before = (await bench.ask("select count(*), sum(position) from events")).rows
        for statement in CHANGES:
            with pytest.raises(SqlRefused):
                await bench.ask(statement)
        assert (await bench.ask("select count(*), sum(position) from events")).rows == before


WAYS_OUT = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from glob('/*')",
    "select * from sqlite_scan('{file}', 'events')",
    "select getenv('HOME')",
    "select * from bench",
    "from query('drop table events')",
    "explain analyze delete from events",
]


async def test_nothing_outside_can_be_reached(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, bench):
        for statement in WAYS_OUT:
            with pytest.raises((SqlFailed, SqlRefused)):
                await bench.ask(statement.format(file=tmp_path / "shop.db"))
        assert (await bench.ask("select count(*) from events")).rows == [(13,)]


async def test_a_statement_that_takes_too_long_is_ended_and_the_next_one_is_answered(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, bench):
        endless = "select count(*) from range(1000000000) a, range(1000000000) b where a.range + b.range = 7"
        with pytest.raises(SqlTooLong) as told:
            await bench.ask(endless, within=0.05)
        assert told.value.data["within"] == 0.05
        running = asyncio.ensure_future(bench.ask(endless, within=3600))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await bench.ask("select 1")).rows == [(1,)]


async def test_an_answer_has_a_limit_of_rows_and_so_has_a_copy(tmp_path: Path) -> None:
    async with working(tmp_path) as (app, bench):
        answer = await bench.ask("select * from range(1000000)", limit=3)
        assert (answer.rows, answer.more) == ([(0,), (1,), (2,)], True)
        small = Workbench.of(app, most=10)
        with pytest.raises(SqlRefused, match="more than 10 rows"):
            await small.ask("from events")
        newer = Workbench.of(app, most=10, after=9)
        assert (await newer.ask("select min(position) from events")).rows == [(10,)]
        await small.close()
        await newer.close()


async def test_what_is_wrong_is_told_in_one_sentence(tmp_path: Path) -> None:
    async with working(tmp_path) as (_, bench):
        with pytest.raises(SqlFailed, match="nope"):
            await bench.ask("select nope from events")
        with pytest.raises(SqlFailed, match="syntax error"):
            await bench.ask("selec 1")
        assert json.dumps([list(row) for row in (await bench.ask("select tags, metadata from events limit 1")).rows])
