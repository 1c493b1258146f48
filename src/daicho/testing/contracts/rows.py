"""The contract of `daicho.ports.view_store.ViewStore` as far as it needs nothing but rows.

A store of read models alone keeps it, too: whatever `make` returns is opened, and has the methods of the port.
"""

import enum
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daicho.core.errors import InvalidMessage, NoSuchField
from daicho.core.messages import Row
from daicho.ports.view_store import ViewStore
from daicho.testing.contracts.base import HOSTILE
from daicho.testing.contracts.orders import (
    ANN,
    BOB,
    CID,
    NOON,
    ORDERS,
    ROWS,
    Line,
    Order,
    change,
    everything,
    filled,
    order,
    put,
)
from daicho.testing.contracts.paging import PagingContract
from daicho.testing.contracts.searching import SearchingContract
from daicho.testing.contracts.tables import TablesContract

__all__ = [
    "ANN",
    "BOB",
    "CID",
    "ORDERS",
    "ROWS",
    "Line",
    "Order",
    "RowsContract",
    "change",
    "everything",
    "filled",
    "order",
    "put",
]


class Word(enum.StrEnum):
    GIFT = "gift"


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

_UNFIT: list[tuple[str, object]] = [
    ("customer", 5),
    ("customer", None),
    ("customer", b"ann"),
    ("pieces", "5"),
    ("pieces", 1.0),
    ("pieces", True),
    ("pieces", 2**63),
    ("paid", 1),
    ("paid", "no"),
    ("total", 1),
    ("total", 1.5),
    ("total", "1.5"),
    ("weight", "0.5"),
    ("weight", True),
    ("weight", 2**53 + 1),
    ("weight", float("nan")),
    ("placed_at", "2026-01-02T12:00:00Z"),
    ("placed_at", NOON.date()),
    ("note", 5),
    ("lines", ["pen"]),
    ("lines", [Line("pen", "3", Decimal(1))]),  # type: ignore[arg-type]
    ("lines", None),
    ("labels", {"a": "1"}),
    ("labels", ...),
]
"""Values that are not what the field is declared to hold."""

_ORDERS: list[tuple[str, list[str]]] = [
    ("customer", ["ann", "bob", "cid"]),
    ("pieces", ["bob", "ann", "cid"]),
    ("total", ["cid", "ann", "bob"]),
    ("placed_at", ["cid", "ann", "bob"]),
]


class RowsContract(PagingContract, SearchingContract, TablesContract):
    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> Any:
        """A `ViewStore` with `open` and `close`, not yet opened; otherwise as in `Contract`."""
        return super().make(tmp_path, now)

    async def test_rows_come_back_equal_in_every_field(self, store: ViewStore) -> None:
        await filled(store)
        for key, row in ROWS.items():
            found = await store.get(ORDERS, key)
            assert found == row
            assert type(found) is Order
            assert repr(found) == repr(row)  # Decimal("1.10") is not Decimal("1.1") to who prints it

    @pytest.mark.parametrize(("field", "value"), _UNFIT, ids=[f"{field}={value!r:.40}" for field, value in _UNFIT])
    async def test_a_value_of_another_type_than_declared_is_refused_with_all_of_its_commit(
        self, store: ViewStore, field: str, value: object
    ) -> None:
        await filled(store)
        given: dict[str, Any] = {"customer": "dan", field: value}
        unfit = order(**given)
        with pytest.raises(InvalidMessage):
            await put(store, {"o-4": order("eve"), "o-5": unfit, "o-6": order("fay")}, "o-1")
        assert await everything(store) == [ANN, BOB, CID]

    async def test_what_stands_for_a_declared_type_comes_back_as_that(self, store: ViewStore) -> None:
        bare = NOON.replace(tzinfo=None)
        await store.open_table(ORDERS)
        await put(store, {"o-1": order(Word.GIFT, weight=3, lines=(Line("pen", 1, Decimal(1)),), placed_at=bare)})
        [found] = await everything(store)
        assert found == order("gift", weight=3.0, lines=[Line("pen", 1, Decimal(1))], placed_at=bare)
        assert [type(value) for value in (found.customer, found.weight, found.lines)] == [str, float, list]

    async def test_a_row_that_is_not_there_is_none(self, store: ViewStore) -> None:
        await filled(store)
        assert await store.get(ORDERS, "o-4") is None
        assert await store.get(ORDERS, "O-1") is None

    async def test_many_rows_are_got_by_key_as_far_as_they_exist(self, store: ViewStore) -> None:
        await filled(store)
        assert await store.get_many(ORDERS, ["o-3", "o-9", "o-1", "o-1"]) == {"o-1": ANN, "o-3": CID}
        assert await store.get_many(ORDERS, []) == {}

    async def test_thousands_of_rows_are_got_at_once(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        many = {f"o-{n}": order(pieces=n) for n in range(2500)}
        await put(store, many)
        assert await store.get_many(ORDERS, list(many)) == many

    @pytest.mark.parametrize(("equals", "customers"), _EQUALS, ids=[repr(equals) for equals, _ in _EQUALS])
    async def test_rows_are_found_and_counted_by_equal_fields(
        self, store: ViewStore, equals: dict[str, object], customers: list[str]
    ) -> None:
        await filled(store)
        assert [row.customer for row in await store.find(ORDERS, equals)] == customers
        assert await store.count(ORDERS, equals) == len(customers)

    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    @pytest.mark.parametrize(("field", "customers"), _ORDERS, ids=[field for field, _ in _ORDERS])
    async def test_rows_are_ordered_by_a_field_as_its_values_are(
        self, store: ViewStore, field: str, customers: list[str], descending: bool
    ) -> None:
        await filled(store)
        found = await store.find(ORDERS, {}, order_by=field, descending=descending)
        assert [row.customer for row in found] == (customers[::-1] if descending else customers)

    async def test_rows_come_by_key_unless_ordered_otherwise(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        await put(store, {key: order(key) for key in ("b", "a", "ä", "A", "10", "9")})
        assert [row.customer for row in await everything(store)] == ["10", "9", "A", "a", "b", "ä"]

    async def test_decimals_are_ordered_by_value_to_the_last_digit(self, store: ViewStore) -> None:
        totals = ["9", "10", "1234567890123456789.2", "1234567890123456789.10", "-0.5", "1E+2"]
        await store.open_table(ORDERS)
        await put(store, {total: order(total, total=Decimal(total)) for total in totals})
        found = await store.find(ORDERS, {}, order_by="total")
        assert [row.customer for row in found] == [
            "-0.5", "9", "10", "1E+2", "1234567890123456789.10", "1234567890123456789.2"
        ]  # fmt: skip

    async def test_rows_equal_in_the_ordering_field_come_by_key(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        await put(store, {key: order(key, pieces=len(key)) for key in ("c", "bb", "a", "aa", "b")})
        found = await store.find(ORDERS, {}, order_by="pieces")
        assert [row.customer for row in found] == ["a", "b", "c", "aa", "bb"]
        found = await store.find(ORDERS, {}, order_by="pieces", descending=True)
        assert [row.customer for row in found] == ["bb", "aa", "c", "b", "a"]

    async def test_limit_and_offset_cut_out_a_page(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        await put(store, {f"o-{n}": order(f"c{n}", pieces=-n, paid=n != 4) for n in range(9)})

        async def page(**how: Any) -> list[str]:
            return [row.customer for row in await store.find(ORDERS, {"paid": True}, **how)]

        assert await page(limit=3) == ["c0", "c1", "c2"]
        assert await page(limit=3, offset=3) == ["c3", "c5", "c6"]
        assert await page(offset=6) == ["c7", "c8"]
        assert await page(limit=3, offset=9) == []
        assert await page(limit=0) == []
        assert await page(limit=2, offset=1, order_by="pieces") == ["c7", "c6"]
        assert await page(limit=2, order_by="pieces", descending=True) == ["c0", "c1"]

    async def test_a_field_that_rows_do_not_have_is_refused_by_name(self, store: ViewStore) -> None:
        await filled(store)
        for field in ("colour", "", "customer; --", "key", "CUSTOMER"):
            with pytest.raises(NoSuchField):
                await store.find(ORDERS, {field: 1})
            with pytest.raises(NoSuchField):
                await store.count(ORDERS, {field: 1})
            with pytest.raises(NoSuchField):
                await store.find(ORDERS, {}, order_by=field)
            with pytest.raises(NoSuchField):
                await store.page(ORDERS, {field: 1}, limit=1)
            with pytest.raises(NoSuchField):
                await store.page(ORDERS, {}, limit=1, order_by=field)

    async def test_an_upsert_replaces_the_whole_row(self, store: ViewStore) -> None:
        await filled(store)
        await put(store, {"o-1": BOB})
        assert await everything(store) == [BOB, BOB, CID]

    async def test_deletes_remove_rows_and_need_not_find_them(self, store: ViewStore) -> None:
        await filled(store)
        await put(store, {"o-4": ANN}, "o-1", "o-9")
        assert await everything(store) == [BOB, CID, ANN]

    async def test_a_deleted_row_can_come_again(self, store: ViewStore) -> None:
        await filled(store)
        await put(store, {}, "o-1")
        await put(store, {"o-1": CID})
        assert await store.get(ORDERS, "o-1") == CID

    async def test_what_is_read_is_a_copy(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        mutable: list[Line] = []
        await put(store, {"o-1": order(lines=mutable)})
        mutable.append(Line("pen", 1, Decimal(1)))
        [found] = await everything(store)
        found.lines.append(Line("ink", 1, Decimal(1)))
        assert await everything(store) == [order()]

    async def test_hostile_keys_and_values_are_kept_as_they_are(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        rows: dict[str, Row] = {text: order(text, note=text, lines=[Line(text, 1, Decimal(1))]) for text in HOSTILE}
        await put(store, rows)
        assert await store.get_many(ORDERS, list(HOSTILE)) == rows
        for text in HOSTILE:
            assert await store.get(ORDERS, text) == rows[text]
            assert await store.find(ORDERS, {"customer": text}) == [rows[text]]
        await put(store, {}, *HOSTILE)
        assert await store.count(ORDERS, {}) == 0
