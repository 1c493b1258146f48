"""Rows of every kind survive the way into PostgreSQL's own types and back, and people can query the columns."""

import enum
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import psycopg
import pytest

from daicho.adapters.owner import owner_name
from daicho.adapters.stores.postgres import PostgresStorage
from daicho.adapters.stores.postgres.tables import Table
from daicho.core.errors import InvalidMessage, NoSuchField, StoreFailed, WiringError
from daicho.core.messages import Row
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.testing.contracts.base import HandClock


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


class Everything(Row, index=("price", "at", "lines", "maybe_text")):
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
    text='it\'s "quoted" \\u0000 ✓ %s',
    whole=-(2**63),
    real=0.1,
    yes=True,
    raw=b"\x00\xff{" * 40,
    price=Decimal("10.10"),
    at=datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=9, seconds=59))),
    day=date(2026, 2, 28),
    hour=time(23, 59, 59, 1),
    took=timedelta(days=1, microseconds=3),
    ref=uuid.UUID(int=7),
    status=Status.DONE,
    level=Level.HIGH,
    kind="b",
    short="abc",
    mixed="7\x1f\x7f/é",
    lines=[Line("pen", Decimal("0.30"))],
    pair=(1, "x"),
    tags=frozenset({"b", "a"}),
    prices={"pen": Decimal("1.0")},
    paid=Cash(5),
    anything={"a": 1.5, "b": [1, None, 1e300]},
    maybe_text="",
    maybe_at=datetime(2026, 1, 1, tzinfo=UTC),
    maybe_price=Decimal("-0"),
    maybe_status=Status.OPEN,
    maybe_lines=[],
    maybe_yes=False,
)
BARE = msgspec.structs.replace(
    FULL,
    real=float("-inf"),
    whole=2**63 - 1,
    yes=False,
    raw=b"",
    mixed=7,
    price=Decimal("1E+30"),
    at=datetime(2026, 1, 2),
    day=date(1, 1, 1),
    hour=time(12, tzinfo=UTC),
    maybe_text=None,
    maybe_at=None,
    maybe_price=None,
    maybe_status=None,
    maybe_lines=None,
    maybe_yes=None,
)
TABLE = TableSpec("everything", 1, Everything)


class Number(Row, index=("n",)):
    n: int = 0
    f: float = 0.0


NUMBERS = TableSpec("numbers", 1, Number)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresStorage]:
    store = PostgresStorage(url, now=HandClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def fill(store: PostgresStorage, table: TableSpec, **rows: Row) -> None:
    await store.open_table(table)
    await store.commit(ViewChange(table=table, upserts=rows, deletes=()))


def sql(url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, options="-c timezone=Asia/Tokyo") as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


async def test_every_kind_of_value_comes_back_equal(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        await fill(store, TABLE, full=FULL, bare=BARE)
        for key, row in (("full", FULL), ("bare", BARE)):
            found = await store.get(TABLE, key)
            assert found == row
            for name in Everything.__struct_fields__:
                assert type(getattr(found, name)) is type(getattr(row, name)), name
                if name not in ("at", "tags"):  # aware ones come back in UTC; a set has no order
                    assert repr(getattr(found, name)) == repr(getattr(row, name)), name
        assert repr((await store.get(TABLE, "bare")).at) == repr(BARE.at)


async def test_every_field_can_be_a_filter_and_an_order(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        await fill(store, TABLE, full=FULL, bare=BARE)
        for name in Everything.__struct_fields__:
            for value in (getattr(FULL, name), getattr(BARE, name)):
                expected = [row for row in (BARE, FULL) if getattr(row, name) == value]
                assert await store.find(TABLE, {name: value}) == expected, name
                assert await store.count(TABLE, {name: value}) == len(expected)
            assert len(await store.find(TABLE, {}, order_by=name)) == 2
        assert await store.find(TABLE, {"at": FULL.at.astimezone(UTC)}) == [FULL]
        assert await store.find(TABLE, {"at": BARE.at.replace(tzinfo=UTC)}) == []  # a naive time is no moment
        assert await store.find(TABLE, {}, order_by="maybe_text") == [BARE, FULL]
        assert await store.find(TABLE, {}, order_by="maybe_text", descending=True) == [FULL, BARE]


async def test_columns_have_the_types_that_people_expect(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        await fill(store, TABLE, full=FULL)
        await store.switch(TABLE)
    [row] = sql(
        postgres_url,
        """select whole + 1, price * 2, at::text, day + 1, hour, ref, status, level, yes, raw, lines -> 0 ->> 'sku',
        maybe_text from daicho.everything where at < now() and price > 10""",
    )
    assert row == (
        -(2**63) + 1,
        Decimal("20.20"),
        "2026-01-02 03:03:06.000006+09",
        date(2026, 3, 1),
        time(23, 59, 59, 1),
        uuid.UUID(int=7),
        "done",
        9,
        True,
        b"\x00\xff{" * 40,
        "pen",
        "",
    )


@pytest.mark.parametrize(
    "row",
    [Number(n=2**63), Number(n=-(2**63) - 1), Number(n=2**70), Number(f=float("nan")), Number(n="x")],  # type: ignore[arg-type]
    ids=repr,
)
async def test_what_no_column_can_hold_is_refused_and_nothing_is_written(postgres_url: str, row: Number) -> None:
    async with opened(postgres_url) as store:
        await store.open_table(NUMBERS)
        with pytest.raises(InvalidMessage):
            await store.commit(ViewChange(table=NUMBERS, upserts={"a": Number(), "b": row}, deletes=()))
        assert await store.count(NUMBERS, {}) == 0


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["NUL", "half a character"])
async def test_texts_that_postgresql_cannot_hold_are_refused(postgres_url: str, text: str) -> None:
    async with opened(postgres_url) as store:
        await store.open_table(TABLE)
        for row in (msgspec.structs.replace(FULL, text=text), msgspec.structs.replace(FULL, tags=frozenset([text]))):
            with pytest.raises(InvalidMessage):
                await store.commit(ViewChange(table=TABLE, upserts={"a": row}, deletes=()))
        with pytest.raises(InvalidMessage):
            await store.commit(ViewChange(table=TABLE, upserts={text: FULL}, deletes=()))
        assert await store.count(TABLE, {}) == 0


async def test_what_a_field_cannot_equal_is_refused(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        await fill(store, TABLE, full=FULL)
        wrong = {
            "text": 1, "whole": "x", "real": "x", "yes": "x", "raw": "x", "price": "x", "at": "x", "day": "x",
            "hour": "x", "ref": "x", "status": "open", "kind": 1, "lines": object(),
        }  # fmt: skip
        for name, value in [*wrong.items(), ("whole", 2**63), ("real", float("nan"))]:
            with pytest.raises(InvalidMessage):
                await store.find(TABLE, {name: value})
        for field in ("_key", "_exact", "xmin"):
            with pytest.raises(NoSuchField):
                await store.find(TABLE, {}, order_by=field)


@pytest.mark.parametrize(
    "name", ["events", "Events", "event_tags", "daicho_tables", "sqlite_x", "DAICHO_y", "orders__1", "", "a\nb", "a\0b"]
)
async def test_names_of_the_store_itself_are_refused(postgres_url: str, name: str) -> None:
    async with opened(postgres_url) as store:
        with pytest.raises(WiringError):
            await store.open_table(TableSpec(name, 1, Number))


async def test_fields_that_postgresql_has_itself_are_refused(postgres_url: str) -> None:
    class System(Row):
        xmin: int

    class Long(Row):
        ein_sehr_langer_name_den_postgresql_ohne_ein_wort_abschneiden_wuerde: int

    async with opened(postgres_url) as store:
        for row_type in (System, Long):
            with pytest.raises(WiringError):
                await store.open_table(TableSpec("fields", 1, row_type))


async def test_names_that_differ_in_case_or_late_are_different_tables(postgres_url: str) -> None:
    names = ["orders", "Orders", "ORDERS", "daicho.x", "50% off", *("ж" * 31 + end for end in ("a", "b", "ж" * 40))]
    async with opened(postgres_url) as store:
        tables = [TableSpec(name, 1, Number) for name in names]
        for n, table in enumerate(tables):
            await fill(store, table, a=Number(n=n))
            await store.switch(table)
        for n, table in enumerate(tables):
            assert await store.find(table, {}) == [Number(n=n)]
            assert await store.live_generation(table.name) == 1
            assert await store.shape_fits(table)
    assert sql(postgres_url, 'select n from daicho."50% off"') == [(4,)]


async def test_another_shape_does_not_fit(postgres_url: str) -> None:
    class Texts(Row):
        n: str
        f: float

    class Decimals(Row):
        n: int
        f: Decimal

    class Levels(Row):
        n: Level
        f: float

    class More(Number):
        g: int = 0

    async with opened(postgres_url) as store:
        await fill(store, TableSpec("t", 1, Number), a=Number(n=1))
        assert await store.shape_fits(TableSpec("t", 1, Number))
        assert await store.shape_fits(TableSpec("t", 2, More))
        for other in (Texts, Decimals, Levels, More):
            assert not await store.shape_fits(TableSpec("t", 1, other))
            with pytest.raises(WiringError):
                await store.open_table(TableSpec("t", 1, other))


async def test_rows_are_stored_however_their_class_is_configured(postgres_url: str) -> None:
    class Sparse(Row, omit_defaults=True, rename="camel"):  # type: ignore[call-arg]
        order_id: str
        pieces: int = 0
        price: Decimal = Decimal(0)

    class Empty(Row):
        pass

    async with opened(postgres_url) as store:
        sparse, empty = TableSpec("sparse", 1, Sparse), TableSpec("empty", 1, Empty)
        rows = {"a": Sparse(order_id="a"), "b": Sparse(order_id="b", pieces=1, price=Decimal("1E+2"))}
        await fill(store, sparse, **rows)
        assert await store.get_many(sparse, ["a", "b"]) == rows
        await fill(store, empty, a=Empty())
        assert await store.find(empty, {}) == [Empty()]
        await store.switch(empty)
    assert sql(postgres_url, "select * from daicho.empty") == [("a",)]


async def test_a_row_that_is_both_written_and_deleted_is_deleted(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        await fill(store, NUMBERS, a=Number())
        await store.commit(ViewChange(table=NUMBERS, upserts={"a": Number(n=1), "b": Number()}, deletes=["a", "a"]))
        assert await store.get_many(NUMBERS, ["a", "b"]) == {"b": Number()}


async def test_the_live_view_keeps_its_grants_while_its_columns_stay(postgres_url: str) -> None:
    class Other(Row):
        f: float
        n: str

    async with opened(postgres_url) as store:
        for generation in (1, 2):
            await fill(store, TableSpec("numbers", generation, Number), a=Number(n=generation))
        await store.switch(NUMBERS)
        sql(postgres_url, "grant select on daicho.numbers to public; create view shown as select n from daicho.numbers")
        await store.switch(TableSpec("numbers", 2, Number))
        assert sql(postgres_url, "select * from shown") == [(2,)]
        assert sql(postgres_url, "select has_table_privilege('pg_monitor', 'daicho.numbers', 'select')") == [(True,)]
        sql(postgres_url, "drop view shown")
        await fill(store, TableSpec("numbers", 3, Other), a=Other(f=1.0, n="x"))
        await store.switch(TableSpec("numbers", 3, Other))
        assert sql(postgres_url, "select * from daicho.numbers") == [(1.0, "x")]
        await store.drop_table(TableSpec("numbers", 3, Other))
        assert sql(postgres_url, "select to_regclass('daicho.numbers')") == [(None,)]
        with pytest.raises(StoreFailed, match="open_table"):
            await store.switch(TableSpec("numbers", 3, Other))


async def test_equality_and_order_use_the_index_of_their_field(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        await store.open_table(TABLE)
        table = Table("daicho", "everything", 1, Everything)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("set enable_seqscan = off")
            connection.execute("set enable_sort = off")
            cases = [("maybe_text", table.count({"maybe_text": None}))]
            for name in ("price", "at", "maybe_text", "lines"):
                cases += [
                    (name, table.find({name: getattr(FULL, name)}, None, False, 9, 0)),
                    (name, table.find({}, name, False, 9, 0)),
                    (name, table.find({}, name, True, 9, 0)),
                ]
            for name, (text, values) in cases:
                plan = connection.execute(b"explain " + text.encode(), values).fetchall()
                assert f"everything__1_{name}__key_idx" in str(plan), plan


async def test_an_owner_whose_process_is_gone_is_succeeded_at_once(postgres_url: str) -> None:
    host, pid, _, _ = owner_name().rsplit(":", 3)
    async with opened(postgres_url) as store:
        await store.register("p", position=0)
        for gone, elsewhere in ((f"{host}:{pid}:1:aa", f"not-{host}:{pid}:1:aa"),):
            first = await store.claim("p", gone)
            second = await store.claim("p", elsewhere)
            assert first is not None
            assert second is not None
            assert second.token == first.token + 1
            assert await store.claim("p", "anybody") is None  # what another host runs cannot be seen from here
    sql(postgres_url, "update daicho.daicho_checkpoints set lease_until = clock_timestamp()")
    async with opened(postgres_url) as store:
        third = await store.claim("p", "anybody")
        assert third is not None
        assert third.token == second.token + 1
        [(left,)] = sql(
            postgres_url, "select extract(epoch from lease_until - clock_timestamp()) from daicho.daicho_checkpoints"
        )
        assert 9 < left <= 10
