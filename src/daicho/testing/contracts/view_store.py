"""The contract of `daicho.ports.view_store.ViewStore`."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from daicho.core.errors import LostLease, NoSuchField
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.testing.contracts.base import HOSTILE, Contract
from daicho.testing.contracts.checkpoint_store import claimed, present
from daicho.testing.contracts.dead_letter_store import parked

__all__ = ["ViewStoreContract"]


class Line(msgspec.Struct, frozen=True):
    sku: str
    quantity: int
    price: Decimal


class Order(Row):
    """A field of every kind."""

    customer: str
    pieces: int
    paid: bool
    total: Decimal
    weight: float
    placed_at: datetime
    note: str | None = None
    lines: list[Line] = msgspec.field(default_factory=list[Line])
    labels: dict[str, int] = msgspec.field(default_factory=dict[str, int])


NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, UTC)
ORDERS = TableSpec("orders", 1, Order)
PROCESSOR = "projection:orders"


def order(customer: str = "ann", **fields: Any) -> Order:
    given: dict[str, Any] = {
        "pieces": 1,
        "paid": False,
        "total": Decimal("1.10"),
        "weight": 0.5,
        "placed_at": NOON,
        **fields,
    }
    return Order(customer=customer, **given)


ANN = order("ann", pieces=3, paid=True, total=Decimal("19.90"), note="gift", lines=[Line("pen", 3, Decimal("6.60"))])
BOB = order("bob", pieces=-7, total=Decimal("1E+3"), weight=-1e300, placed_at=NOON + timedelta(microseconds=1))
CID = order("cid", pieces=2**53 + 1, total=Decimal("0.10"), placed_at=NOON - timedelta(days=9), labels={"注文": 1})
ROWS: dict[str, Row] = {"o-1": ANN, "o-2": BOB, "o-3": CID}


def change(
    upserts: Mapping[str, Row] = ROWS,
    *deletes: str,
    table: TableSpec = ORDERS,
    advance: Advance | None = None,
    **more: Any,
) -> ViewChange:
    return ViewChange(table=table, upserts=upserts, deletes=deletes, advance=advance, **more)


async def filled(store: Storage) -> None:
    await store.open_table(ORDERS)
    await store.commit(change())


async def everything(store: Storage) -> list[Any]:
    return await store.find(ORDERS, {})


_EQUALS: list[tuple[dict[str, object], list[str]]] = [
    ({}, ["ann", "bob", "cid"]),
    ({"customer": "ann"}, ["ann"]),
    ({"customer": "ANN"}, []),
    ({"customer": "an"}, []),
    ({"pieces": -7}, ["bob"]),
    ({"pieces": 2**53 + 1}, ["cid"]),
    ({"pieces": 2**53}, []),
    ({"paid": True}, ["ann"]),
    ({"paid": False}, ["bob", "cid"]),
    ({"total": Decimal("19.90")}, ["ann"]),
    ({"total": Decimal("0.10")}, ["cid"]),
    ({"total": Decimal("0.1")}, ["cid"]),
    ({"total": Decimal("1000.00")}, ["bob"]),
    ({"total": Decimal("0.1000000000000000000000000001")}, []),
    ({"weight": 0.5}, ["ann", "cid"]),
    ({"weight": -1e300}, ["bob"]),
    ({"placed_at": NOON}, ["ann"]),
    ({"placed_at": NOON + timedelta(microseconds=1)}, ["bob"]),
    ({"note": "gift"}, ["ann"]),
    ({"note": None}, ["bob", "cid"]),
    ({"lines": [Line("pen", 3, Decimal("6.60"))]}, ["ann"]),
    ({"lines": []}, ["bob", "cid"]),
    ({"labels": {"注文": 1}}, ["cid"]),
    ({"paid": False, "note": None, "weight": 0.5}, ["cid"]),
    ({"paid": True, "customer": "bob"}, []),
]

_ORDERS: list[tuple[str, list[str]]] = [
    ("customer", ["ann", "bob", "cid"]),
    ("pieces", ["bob", "ann", "cid"]),
    ("total", ["cid", "ann", "bob"]),
    ("placed_at", ["cid", "ann", "bob"]),
]


class ViewStoreContract(Contract):
    async def test_rows_come_back_equal_in_every_field(self, store: Storage) -> None:
        await filled(store)
        for key, row in ROWS.items():
            found = await store.get(ORDERS, key)
            assert found == row
            assert type(found) is Order
            assert repr(found) == repr(row)  # Decimal("1.10") is not Decimal("1.1") to who prints it

    async def test_a_row_that_is_not_there_is_none(self, store: Storage) -> None:
        await filled(store)
        assert await store.get(ORDERS, "o-4") is None
        assert await store.get(ORDERS, "O-1") is None

    async def test_many_rows_are_got_by_key_as_far_as_they_exist(self, store: Storage) -> None:
        await filled(store)
        assert await store.get_many(ORDERS, ["o-3", "o-9", "o-1", "o-1"]) == {"o-1": ANN, "o-3": CID}
        assert await store.get_many(ORDERS, []) == {}

    async def test_thousands_of_rows_are_got_at_once(self, store: Storage) -> None:
        await store.open_table(ORDERS)
        many = {f"o-{n}": order(pieces=n) for n in range(2500)}
        await store.commit(change(many))
        assert await store.get_many(ORDERS, list(many)) == many

    @pytest.mark.parametrize(("equals", "customers"), _EQUALS, ids=[repr(equals) for equals, _ in _EQUALS])
    async def test_rows_are_found_and_counted_by_equal_fields(
        self, store: Storage, equals: dict[str, object], customers: list[str]
    ) -> None:
        await filled(store)
        assert [row.customer for row in await store.find(ORDERS, equals)] == customers
        assert await store.count(ORDERS, equals) == len(customers)

    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    @pytest.mark.parametrize(("field", "customers"), _ORDERS, ids=[field for field, _ in _ORDERS])
    async def test_rows_are_ordered_by_a_field_as_its_values_are(
        self, store: Storage, field: str, customers: list[str], descending: bool
    ) -> None:
        await filled(store)
        found = await store.find(ORDERS, {}, order_by=field, descending=descending)
        assert [row.customer for row in found] == (customers[::-1] if descending else customers)

    async def test_rows_come_by_key_unless_ordered_otherwise(self, store: Storage) -> None:
        await store.open_table(ORDERS)
        await store.commit(change({key: order(key) for key in ("b", "a", "ä", "A", "10", "9")}))
        assert [row.customer for row in await everything(store)] == ["10", "9", "A", "a", "b", "ä"]

    async def test_decimals_are_ordered_by_value_to_the_last_digit(self, store: Storage) -> None:
        totals = ["9", "10", "1234567890123456789.2", "1234567890123456789.10", "-0.5", "1E+2"]
        await store.open_table(ORDERS)
        await store.commit(change({total: order(total, total=Decimal(total)) for total in totals}))
        found = await store.find(ORDERS, {}, order_by="total")
        assert [row.customer for row in found] == [
            "-0.5", "9", "10", "1E+2", "1234567890123456789.10", "1234567890123456789.2"
        ]  # fmt: skip

    async def test_rows_equal_in_the_ordering_field_come_by_key(self, store: Storage) -> None:
        await store.open_table(ORDERS)
        await store.commit(change({key: order(key, pieces=len(key)) for key in ("c", "bb", "a", "aa", "b")}))
        found = await store.find(ORDERS, {}, order_by="pieces")
        assert [row.customer for row in found] == ["a", "b", "c", "aa", "bb"]

    async def test_limit_and_offset_cut_out_a_page(self, store: Storage) -> None:
        await store.open_table(ORDERS)
        await store.commit(change({f"o-{n}": order(f"c{n}", pieces=-n, paid=n != 4) for n in range(9)}))

        async def page(**how: Any) -> list[str]:
            return [row.customer for row in await store.find(ORDERS, {"paid": True}, **how)]

        assert await page(limit=3) == ["c0", "c1", "c2"]
        assert await page(limit=3, offset=3) == ["c3", "c5", "c6"]
        assert await page(offset=6) == ["c7", "c8"]
        assert await page(limit=3, offset=9) == []
        assert await page(limit=0) == []
        assert await page(limit=2, offset=1, order_by="pieces") == ["c7", "c6"]
        assert await page(limit=2, order_by="pieces", descending=True) == ["c0", "c1"]

    async def test_a_field_that_rows_do_not_have_is_refused_by_name(self, store: Storage) -> None:
        await filled(store)
        for field in ("colour", "", "customer; --", "key", "CUSTOMER"):
            with pytest.raises(NoSuchField):
                await store.find(ORDERS, {field: 1})
            with pytest.raises(NoSuchField):
                await store.count(ORDERS, {field: 1})
            with pytest.raises(NoSuchField):
                await store.find(ORDERS, {}, order_by=field)

    async def test_an_upsert_replaces_the_whole_row(self, store: Storage) -> None:
        await filled(store)
        await store.commit(change({"o-1": BOB}))
        assert await everything(store) == [BOB, BOB, CID]

    async def test_deletes_remove_rows_and_need_not_find_them(self, store: Storage) -> None:
        await filled(store)
        await store.commit(change({"o-4": ANN}, "o-1", "o-9"))
        assert await everything(store) == [BOB, CID, ANN]

    async def test_a_deleted_row_can_come_again(self, store: Storage) -> None:
        await filled(store)
        await store.commit(change({}, "o-1"))
        await store.commit(change({"o-1": CID}))
        assert await store.get(ORDERS, "o-1") == CID

    async def test_rows_and_checkpoint_are_written_together(self, store: Storage) -> None:
        await filled(store)
        mine = await claimed(store)
        await store.commit(change({"o-4": ANN}, advance=Advance(processor=PROCESSOR, token=mine.token, old=0, new=9)))
        assert (await present(store)).position == 9
        assert await store.get(ORDERS, "o-4") == ANN

    async def test_who_lost_the_lease_writes_nothing(self, store: Storage) -> None:
        await filled(store)
        mine = await claimed(store)
        await store.park(PROCESSOR, mine.token, 0, 3, [parked("x")])
        [letter] = await store.letters()
        await store.release("one")
        theirs = await claimed(store, owner="two")
        for token, old in ((mine.token, 3), (theirs.token, 0), (theirs.token, 4)):
            with pytest.raises(LostLease):
                await store.commit(
                    change(
                        {"o-4": ANN, "o-1": BOB},
                        "o-2",
                        advance=Advance(processor=PROCESSOR, token=token, old=old, new=9),
                        parked=[parked("y")],
                        retried=[letter.number],
                    )
                )
        assert await everything(store) == [ANN, BOB, CID]
        assert await present(store) == theirs
        assert list(await store.letters()) == [letter]

    async def test_of_racing_commits_from_the_same_position_one_is_written(self, store: Storage) -> None:
        await store.open_table(ORDERS)
        mine = await claimed(store)
        commits = (
            store.commit(
                change({"o-1": order(f"c{n}")}, advance=Advance(processor=PROCESSOR, token=mine.token, old=0, new=n))
            )
            for n in range(1, 11)
        )
        ends = await asyncio.gather(*commits, return_exceptions=True)
        assert sum(end is None for end in ends) == 1
        assert sum(isinstance(end, LostLease) for end in ends) == 9
        winner = ends.index(None) + 1
        assert (await present(store)).position == winner
        assert await everything(store) == [order(f"c{winner}")]

    async def test_a_commit_parks_letters_and_notes_those_that_went_through(self, store: Storage) -> None:
        await filled(store)
        mine = await claimed(store)
        await store.park(PROCESSOR, mine.token, 0, 1, [parked("x")])
        [first] = await store.letters()
        await store.ask_retry()
        await store.commit(
            change(
                {"o-4": ANN},
                advance=Advance(processor=PROCESSOR, token=mine.token, old=1, new=9),
                parked=[parked("y", 9)],
                retried=[first.number],
            )
        )
        assert [(each.processor, each.key, each.position) for each in await store.letters()] == [(PROCESSOR, "y", 9)]
        assert [each.number for each in await store.letters(states=["retried"])] == [first.number]
        assert await store.parked_keys(PROCESSOR) == {"y"}
        assert (await present(store)).position == 9

    async def test_what_is_read_is_a_copy(self, store: Storage) -> None:
        await store.open_table(ORDERS)
        mutable: list[Line] = []
        await store.commit(change({"o-1": order(lines=mutable)}))
        mutable.append(Line("pen", 1, Decimal(1)))
        [found] = await everything(store)
        found.lines.append(Line("ink", 1, Decimal(1)))
        assert await everything(store) == [order()]

    async def test_hostile_keys_and_values_are_kept_as_they_are(self, store: Storage) -> None:
        await store.open_table(ORDERS)
        rows: dict[str, Row] = {text: order(text, note=text, lines=[Line(text, 1, Decimal(1))]) for text in HOSTILE}
        await store.commit(change(rows))
        assert await store.get_many(ORDERS, list(HOSTILE)) == rows
        for text in HOSTILE:
            assert await store.get(ORDERS, text) == rows[text]
            assert await store.find(ORDERS, {"customer": text}) == [rows[text]]
        await store.commit(change({}, *HOSTILE))
        assert await store.count(ORDERS, {}) == 0

    async def test_tables_with_hostile_names_do_not_mix(self, store: Storage) -> None:
        tables = [TableSpec(f"t {text}", 1, Order) for text in HOSTILE]
        for n, table in enumerate(tables):
            await store.open_table(table)
            await store.commit(change({"o-1": order(pieces=n)}, table=table))
        for n, table in enumerate(tables):
            assert await store.find(table, {}) == [order(pieces=n)]

    async def test_opening_a_table_again_keeps_its_rows(self, store: Storage) -> None:
        await filled(store)
        await store.open_table(ORDERS)
        assert await everything(store) == [ANN, BOB, CID]

    async def test_a_name_without_a_live_table_has_no_live_generation(self, store: Storage) -> None:
        assert await store.live_generation("orders") is None
        assert list(await store.generations("orders")) == []

    async def test_readers_get_the_generation_that_was_switched_to(self, store: Storage) -> None:
        second = TableSpec("orders", 2, Order)
        await store.open_table(ORDERS)
        await store.switch(ORDERS)
        assert await store.live_generation("orders") == 1
        await store.open_table(second)
        assert await store.live_generation("orders") == 1
        assert list(await store.generations("orders")) == [1, 2]
        await store.switch(second)
        assert await store.live_generation("orders") == 2
        assert await store.live_generation("order") is None

    async def test_rows_of_two_generations_do_not_mix(self, store: Storage) -> None:
        second = TableSpec("orders", 2, Order)
        await filled(store)
        await store.open_table(second)
        await store.commit(change({"o-1": BOB}, table=second))
        assert await everything(store) == [ANN, BOB, CID]
        assert await store.find(second, {}) == [BOB]

    async def test_a_dropped_table_is_gone_and_the_other_generation_stays(self, store: Storage) -> None:
        second = TableSpec("orders", 2, Order)
        await filled(store)
        await store.open_table(second)
        await store.switch(second)
        await store.drop_table(ORDERS)
        assert list(await store.generations("orders")) == [2]
        assert await store.live_generation("orders") == 2
        await store.open_table(ORDERS)
        assert await everything(store) == []

    async def test_dropping_a_table_that_is_not_there_does_nothing(self, store: Storage) -> None:
        await store.drop_table(ORDERS)
        assert list(await store.generations("orders")) == []

    async def test_a_table_that_is_not_there_fits_any_shape(self, store: Storage) -> None:
        assert await store.shape_fits(ORDERS) is True

    async def test_a_table_fits_the_row_class_it_was_made_for(self, store: Storage) -> None:
        await filled(store)
        assert await store.shape_fits(ORDERS) is True

    async def test_a_table_does_not_fit_a_row_class_that_changed(self, store: Storage) -> None:
        await store.open_table(TableSpec("stock", 1, Before))
        for row_type in (Added, Removed, Retyped, Renamed):
            assert await store.shape_fits(TableSpec("stock", 1, row_type)) is False
            assert await store.shape_fits(TableSpec("stock", 2, row_type)) is True

    async def test_a_new_generation_takes_the_new_shape(self, store: Storage) -> None:
        before, after = TableSpec("stock", 1, Before), TableSpec("stock", 2, Added)
        await store.open_table(before)
        await store.commit(change({"pen": Before(sku="pen", pieces=1)}, table=before))
        await store.open_table(after)
        await store.commit(change({"pen": Added(sku="pen", pieces=1, shelf="a")}, table=after))
        assert await store.find(before, {}) == [Before(sku="pen", pieces=1)]
        assert await store.find(after, {"shelf": "a"}) == [Added(sku="pen", pieces=1, shelf="a")]


class Before(Row):
    sku: str
    pieces: int


class Added(Row):
    sku: str
    pieces: int
    shelf: str


class Removed(Row):
    sku: str


class Retyped(Row):
    sku: str
    pieces: str


class Renamed(Row):
    sku: str
    count: int
