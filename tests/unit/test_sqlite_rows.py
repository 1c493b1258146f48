"""Rows of every kind survive the way into columns and back, and the columns can be read by people."""

import asyncio
import enum
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.core.errors import InvalidMessage, NoSuchField, WiringError
from daicho.core.messages import Row
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.testing.contracts.base import HandClock

OPTIONS = ["driver=apsw", "driver=sqlite3&allow_affected_sqlite=true"]


class Status(enum.Enum):
    OPEN = "open"
    DONE = "done"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 9


class Line(msgspec.Struct, frozen=True):
    sku: str
    price: Decimal


class Card(msgspec.Struct, frozen=True, tag=True):
    number: str


class Cash(msgspec.Struct, frozen=True, tag=True):
    given: int


class Everything(Row):
    text: str
    whole: int
    real: float
    yes: bool
    raw: bytes
    price: Decimal
    at: datetime
    day: date
    hour: time
    took: timedelta
    ref: uuid.UUID
    status: Status
    level: Level
    kind: Literal["a", "b"]
    short: Annotated[str, msgspec.Meta(max_length=5)]
    mixed: int | str
    lines: list[Line]
    pair: tuple[int, str]
    tags: frozenset[str]
    prices: dict[str, Decimal]
    paid: Card | Cash
    anything: Any
    maybe_text: str | None = None
    maybe_at: datetime | None = None
    maybe_price: Decimal | None = None
    maybe_status: Status | None = None
    maybe_lines: list[Line] | None = None
    maybe_yes: bool | None = None


FULL = Everything(
    text='it\'s "quoted" \0 ✓',
    whole=-(2**63),
    real=0.1,
    yes=True,
    raw=b"\x00\xff{",
    price=Decimal("10.10"),
    at=datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=9))),
    day=date(2026, 2, 28),
    hour=time(23, 59, 59, 1),
    took=timedelta(days=1, microseconds=3),
    ref=uuid.UUID(int=7),
    status=Status.DONE,
    level=Level.HIGH,
    kind="b",
    short="abc",
    mixed="7",
    lines=[Line("pen", Decimal("0.30"))],
    pair=(1, "x"),
    tags=frozenset({"b", "a"}),
    prices={"pen": Decimal("1.0")},
    paid=Cash(5),
    anything={"a": [1, None]},
    maybe_text="",
    maybe_at=datetime(2026, 1, 1, tzinfo=UTC),
    maybe_price=Decimal("-0"),
    maybe_status=Status.OPEN,
    maybe_lines=[],
    maybe_yes=False,
)
BARE = msgspec.structs.replace(
    FULL,
    real=float("inf"),
    whole=2**63 - 1,
    yes=False,
    mixed=7,
    price=Decimal("1E+30"),
    at=datetime(2026, 1, 2),
    maybe_text=None,
    maybe_at=None,
    maybe_price=None,
    maybe_status=None,
    maybe_lines=None,
    maybe_yes=None,
)
TABLE = TableSpec("everything", 1, Everything)


@asynccontextmanager
async def opened(path: Path, options: str = "") -> AsyncIterator[SqliteStorage]:
    store = SqliteStorage(f"sqlite:///{path}?{options}", now=HandClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def fill(store: SqliteStorage, table: TableSpec, **rows: Row) -> None:
    await store.open_table(table)
    await store.commit(ViewChange(table=table, upserts=rows, deletes=()))


@pytest.mark.parametrize("options", OPTIONS)
def test_every_kind_of_value_comes_back_equal(tmp_path: Path, options: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            await fill(store, TABLE, full=FULL, bare=BARE)
            assert await store.get(TABLE, "full") == FULL
            assert await store.get(TABLE, "bare") == BARE
            found = await store.get(TABLE, "full")
            for name in Everything.__struct_fields__:
                assert type(getattr(found, name)) is type(getattr(FULL, name)), name
            assert str(found.price) == "10.10"

    asyncio.run(scenario())


@pytest.mark.parametrize("options", OPTIONS)
def test_every_field_can_be_a_filter(tmp_path: Path, options: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            await fill(store, TABLE, full=FULL, bare=BARE)
            for name in Everything.__struct_fields__:
                value = getattr(FULL, name)
                expected = [row for row in (BARE, FULL) if getattr(row, name) == value]
                assert await store.find(TABLE, {name: value}) == expected, name
                assert await store.count(TABLE, {name: value}) == len(expected)
            same_moment = FULL.at.astimezone(UTC)
            assert await store.find(TABLE, {"at": same_moment}) == [FULL]

    asyncio.run(scenario())


def test_columns_are_readable_in_a_shell(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await fill(store, TABLE, full=FULL)
            await store.switch(TABLE)

    asyncio.run(scenario())
    connection = sqlite3.connect(tmp_path / "app.db")
    row = connection.execute(
        "select price, at, day, ref, status, level, yes, lines, maybe_text from everything"
    ).fetchone()
    assert row == (
        "10.10",
        "2026-01-01T18:04:05.000006+00:00",
        "2026-02-28",
        "00000000-0000-0000-0000-000000000007",
        "done",
        9,
        1,
        '[{"sku":"pen","price":"0.30"}]',
        "",
    )
    connection.close()


def test_decimals_are_ordered_as_numbers(tmp_path: Path) -> None:
    class Priced(Row):
        price: Decimal

    table = TableSpec("priced", 1, Priced)

    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            rows = {str(n): Priced(price=Decimal(n)) for n in (10, 9, 100, -1)}
            await fill(store, table, **rows)
            found = await store.find(table, {}, order_by="price")
            assert [row.price for row in found] == [-1, 9, 10, 100]
            found = await store.find(table, {}, order_by="price", descending=True, limit=2, offset=1)
            assert [row.price for row in found] == [10, 9]

    asyncio.run(scenario())


class Number(Row):
    n: int = 0
    f: float = 0.0


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("row", [Number(n=2**63), Number(n=-(2**63) - 1), Number(f=float("nan"))])
def test_what_no_column_can_hold_is_refused_and_nothing_is_written(tmp_path: Path, options: str, row: Number) -> None:
    table = TableSpec("numbers", 1, Number)

    async def scenario() -> None:
        async with opened(tmp_path / "app.db", options) as store:
            await store.open_table(table)
            with pytest.raises(InvalidMessage):
                await store.commit(ViewChange(table=table, upserts={"a": Number(), "b": row}, deletes=()))
            assert await store.count(table, {}) == 0
            with pytest.raises(NoSuchField):
                await store.find(table, {"m": 1})
            with pytest.raises(NoSuchField):
                await store.find(table, {}, order_by="_key")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "name", ["events", "Events", "event_tags", "daicho_tables", "sqlite_x", "DAICHO_y", "orders__1", "", "a\nb"]
)
def test_names_of_the_store_itself_are_refused(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            with pytest.raises(WiringError):
                await store.open_table(TableSpec(name, 1, Number))

    asyncio.run(scenario())


def test_fields_that_sqlite_confuses_are_refused(tmp_path: Path) -> None:
    class Twice(Row):
        total: int
        Total: int

    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            with pytest.raises(WiringError):
                await store.open_table(TableSpec("twice", 1, Twice))

    asyncio.run(scenario())


def test_names_that_differ_in_case_are_two_tables(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            tables = [TableSpec(name, 1, Number) for name in ("orders", "Orders", "ORDERS", "orders~1", "Orders~1")]
            for n, table in enumerate(tables):
                await fill(store, table, a=Number(n=n))
                await store.switch(table)
            for n, table in enumerate(tables):
                assert await store.find(table, {}) == [Number(n=n)]
                assert await store.live_generation(table.name) == 1

    asyncio.run(scenario())


def test_another_shape_does_not_fit(tmp_path: Path) -> None:
    class Texts(Row):
        n: str
        f: float

    class Decimals(Row):
        n: int
        f: Decimal

    class More(Row):
        n: int
        f: float
        g: int = 0

    async def scenario() -> None:
        async with opened(tmp_path / "app.db") as store:
            await fill(store, TableSpec("t", 1, Number), a=Number(n=1))
            assert await store.shape_fits(TableSpec("t", 1, Number))
            assert await store.shape_fits(TableSpec("t", 2, More))
            for other in (Texts, Decimals, More):
                assert not await store.shape_fits(TableSpec("t", 1, other))
                with pytest.raises(WiringError):
                    await store.open_table(TableSpec("t", 1, other))

    asyncio.run(scenario())
