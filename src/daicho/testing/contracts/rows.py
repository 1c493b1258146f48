"""The contract of `daicho.ports.view_store.ViewStore` as far as it needs nothing but rows.

A store of read models alone keeps it, too: whatever `make` returns is opened, and has the methods of the port.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daicho.core.errors import NoSuchField, NoSuchTable, NotSearchable
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.view_store import Mark, TableSpec, ViewChange, ViewStore
from daicho.testing.contracts.base import HOSTILE, Contract

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

_positions = count(1)


def change(
    upserts: Mapping[str, Row] = ROWS,
    *deletes: str,
    table: TableSpec = ORDERS,
    advance: Advance | None = None,
    **more: Any,
) -> ViewChange:
    """The next thing that happens: what it changes has seen a later event than everything before."""
    position = next(_positions)
    seen = dict.fromkeys([*upserts, *deletes], position)
    return ViewChange(table=table, upserts=upserts, deletes=deletes, advance=advance, seen=seen, **more)


async def put(store: ViewStore, upserts: Mapping[str, Row] = ROWS, *deletes: str, table: TableSpec = ORDERS) -> None:
    """Commits, and lets readers find it."""
    await store.commit(change(upserts, *deletes, table=table))
    await store.settle(table)


async def filled(store: ViewStore) -> None:
    await store.open_table(ORDERS)
    await put(store)


async def everything(store: ViewStore) -> list[Any]:
    await store.settle(ORDERS)
    return await store.find(ORDERS, {})


async def pages(
    store: ViewStore, limit: int, order_by: str | None = None, *, descending: bool = False, **equals: object
) -> AsyncIterator[list[str]]:
    """The keys on each page, up to the first empty one. What is done between them happens between them."""
    after, turned = None, 0
    while found := await store.page(ORDERS, equals, limit=limit, order_by=order_by, descending=descending, after=after):
        key, row = found[-1]
        after = Mark(key, None if order_by is None else getattr(row, order_by))
        yield [key for key, _ in found]
        assert (turned := turned + 1) < 200, "the pages have no end"


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


_PAGED: dict[str, Order] = {
    "a": order(total=Decimal("1.10"), note=None, pieces=2, paid=True, weight=0.1),
    "b": order(total=Decimal("1.1"), note="x", pieces=1, placed_at=NOON - timedelta(microseconds=1)),
    "c": order(total=Decimal("-3"), note="X", pieces=2, paid=True, weight=-1e300),
    "d": order(total=Decimal("1E+2"), note=None, pieces=-5, weight=1e300),
    "e": order(total=Decimal("99.999999999999999999"), note="", pieces=2**62),
    "f": order(total=Decimal("1.100"), note="注文", pieces=2, placed_at=NOON + timedelta(days=400)),
    "g": order(total=Decimal("0"), note=None, pieces=1, paid=True),
    "h": order(total=Decimal("100"), note="x", pieces=2),
}
_PAGED_BY: dict[str | None, str] = {
    None: "abcdefgh",
    "total": "cgabfedh",
    "note": "adgecbhf",
    "pieces": "dbgacfhe",
    "paid": "bdefhacg",
    "weight": "cabefghd",
    "placed_at": "bacdeghf",
}
"""The keys of these rows in ascending order of each field, worked out by hand."""


_ASKS: dict[str, Callable[[ViewStore], Awaitable[object]]] = {
    "get": lambda store: store.get(ORDERS, "o-1"),
    "get_many": lambda store: store.get_many(ORDERS, ["o-1", "o-2"]),
    "find": lambda store: store.find(ORDERS, {}),
    "find some": lambda store: store.find(ORDERS, {"customer": "ann"}, order_by="pieces", limit=1),
    "page": lambda store: store.page(ORDERS, {}, limit=1),
    "count": lambda store: store.count(ORDERS, {}),
    "count some": lambda store: store.count(ORDERS, {"customer": "ann"}),
    "plain": lambda store: store.plain(ORDERS, limit=5),
}
"""Everything that reads rows."""


class Book(Row, search=("title", "note")):
    title: str
    note: str | None = None
    isbn: str = ""
    year: int = 2026


BOOKS = TableSpec("books", 1, Book)
_SHELF: dict[str, Row] = {
    "b-1": Book(title="The Green Tea Handbook", note="harvest, roasting", isbn="roof"),
    "b-2": Book(title="Teapots of the world", note=None, year=1999),
    "b-3": Book(title="東京都のお茶", note="煎茶と緑茶"),
    "b-4": Book(title="カメラ入門", note="Tea ceremony photographs", year=1999),
    "b-5": Book(title="naïve café", note="it's 100% snake_case"),
    "b-6": Book(title="नमस्ते दुनिया", note=""),
    "b-7": Book(title="", note="x" * 300),
}
_FOUND: list[tuple[str, str]] = [
    ("tea", "1 2 4"),
    ("TEA", "1 2 4"),
    ("ＴＥＡ", "1 2 4"),
    ("tea green", "1"),
    ("tea gre", "1"),
    ("gre tea", ""),
    ("tea harv", "1"),
    ("roof", ""),
    ("handbook the tea", "1"),
    ("tea photographs カメラ", "4"),
    ("東京", "3"),
    ("京都", "3"),
    ("東都", ""),
    ("茶", "3"),
    ("緑", "3"),
    ("煎茶", "3"),
    ("緑茶 東京都", "3"),
    ("ｶﾒﾗ", "4"),
    ("ラ", "4"),
    ("naive", ""),
    ("nai\u0308ve", "5"),
    ("CAFÉ", "5"),
    ("cafe", ""),
    ("it's", "5"),
    ("100%", "5"),
    ("snake", "5"),
    ("snake_case", "5"),
    ("case snake", "5"),
    ("नम", "6"),
    ("नमस्ते", "6"),
    ("स्ते", ""),
    ("x" * 300, "7"),
    ("x" * 99, "7"),
    ("y", ""),
    ("", ""),
    (" \t\n", ""),
    ("*", ""),
    ("%", ""),
    ("_", ""),
    ("tea*", "1 2 4"),
    ('"tea"', "1 2 4"),
    ('tea" OR "naïve', ""),
    ("tea OR naïve", ""),
    ("NOT tea", ""),
    ("title:tea", ""),
    ("tea & !green", "1"),
    ("'; drop table books; --", ""),
    ("tea\x00green", "1"),
    ("\\tea", "1 2 4"),
    ("(tea", "1 2 4"),
    ("[t]ea", ""),
    ("tea~2", ""),
]
"""Questions, and which books they find."""


class RowsContract(Contract):
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

    @pytest.mark.parametrize("limit", [1, 3, 8, 20])
    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    @pytest.mark.parametrize("field", list(_PAGED_BY), ids=str)
    async def test_pages_put_together_are_all_rows_in_order(
        self, store: ViewStore, field: str | None, descending: bool, limit: int
    ) -> None:
        await store.open_table(ORDERS)
        await put(store, _PAGED)
        expected = _PAGED_BY[field][:: -1 if descending else 1]
        seen = [keys async for keys in pages(store, limit, field, descending=descending)]
        assert ["".join(keys) for keys in seen] == [expected[n : n + limit] for n in range(0, 8, limit)]
        found = await store.find(ORDERS, {}, order_by=field, descending=descending)
        assert found == [_PAGED[key] for key in expected]

    async def test_a_page_brings_the_rows_with_their_keys(self, store: ViewStore) -> None:
        await filled(store)
        assert await store.page(ORDERS, {}, limit=2) == [("o-1", ANN), ("o-2", BOB)]
        assert await store.page(ORDERS, {}, limit=2, after=Mark("o-2")) == [("o-3", CID)]
        assert await store.page(ORDERS, {}, limit=2, after=Mark("o-3")) == []

    async def test_pages_hold_only_rows_that_equal_what_was_asked_for(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        await put(store, _PAGED)
        assert [keys async for keys in pages(store, 2, pieces=2)] == [["a", "c"], ["f", "h"]]
        assert [keys async for keys in pages(store, 1, "total", descending=True, note=None)] == [["d"], ["a"], ["g"]]
        assert [keys async for keys in pages(store, 1, "note", note=None, paid=True)] == [["a"], ["g"]]

    async def test_a_page_goes_on_behind_a_row_that_is_gone(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        await put(store, {key: row for key, row in _PAGED.items() if key not in "ab"})
        by_total = await store.page(ORDERS, {}, limit=9, order_by="total", after=Mark("aa", Decimal("1.1")))
        assert "".join(key for key, _ in by_total) == "fedh"
        by_note = await store.page(ORDERS, {}, limit=9, order_by="note", descending=True, after=Mark("e", None))
        assert "".join(key for key, _ in by_note) == "d"

    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    @pytest.mark.parametrize("field", [None, "pieces", "note", "total"], ids=str)
    async def test_rows_that_come_and_go_meanwhile_neither_repeat_nor_hide_those_that_stay(
        self, store: ViewStore, field: str | None, descending: bool
    ) -> None:
        def made(n: int) -> Order:
            return order(pieces=n % 5, note=None if n % 4 == 0 else f"n{n % 7}", total=Decimal(n % 6) / 2)

        rows = {f"k{n:03}": made(n) for n in range(60)}
        stay = {key for n, key in enumerate(rows) if n % 3}
        go = [key for key in rows if key not in stay]
        await store.open_table(ORDERS)
        await put(store, rows)
        seen: list[str] = []
        n = 100
        async for keys in pages(store, 4, field, descending=descending):
            seen += keys
            gone = [key for key in keys if key in go] + go[:1]
            go = [key for key in go if key not in gone]
            n += 2
            come = {f"k{n:03}": made(n), f"k{n % 60:03}x": made(n + 1)} if n < 140 else {}  # some day nobody comes
            await put(store, come, *gone)
        assert len(seen) == len(set(seen))
        assert stay <= set(seen)

    async def test_hostile_keys_and_values_have_their_place_on_pages(self, store: ViewStore) -> None:
        await store.open_table(ORDERS)
        await put(store, {text: order(text, note=text) for text in HOSTILE})
        for field in (None, "note"):
            seen = [key async for keys in pages(store, 2, field) for key in keys]
            assert seen == sorted(HOSTILE)

    def _searches(self) -> None:
        if not self.capabilities.search:
            pytest.skip("this store does not claim to find rows by words")

    async def _shelved(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await put(store, _SHELF, table=BOOKS)

    async def test_a_store_without_search_says_so(self, store: ViewStore) -> None:
        if self.capabilities.search:
            pytest.skip("this store finds rows by words")
        with pytest.raises(NotSearchable):
            await store.open_table(BOOKS)
            await store.search(BOOKS, "tea", {}, limit=1)

    async def test_rows_without_search_fields_are_not_searchable(self, store: ViewStore) -> None:
        await filled(store)
        with pytest.raises(NotSearchable):
            await store.search(ORDERS, "gift", {}, limit=9)

    @pytest.mark.parametrize(("question", "books"), _FOUND, ids=[ascii(question)[:30] for question, _ in _FOUND])
    async def test_rows_are_found_by_their_words(self, store: ViewStore, question: str, books: str) -> None:
        await self._shelved(store)
        found = await store.search(BOOKS, question, {}, limit=20)
        expected = [_SHELF[f"b-{n}"] for n in books.split()]
        assert sorted(found, key=repr) == sorted(expected, key=repr)

    async def test_rows_with_the_same_words_come_by_key(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await put(store, {key: Book(title="Tea", isbn=key) for key in ("b", "ä", "a", "A", "10", "9")}, table=BOOKS)
        found = await store.search(BOOKS, "tea", {}, limit=9)
        assert [book.isbn for book in found] == ["10", "9", "A", "a", "b", "ä"]

    async def test_what_is_found_can_be_cut_into_pages(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        many: dict[str, Row] = {
            f"b-{n:02}": Book(title=f"tea {'and more ' * (n % 3)}{n}", isbn=f"{n}") for n in range(30)
        }
        await put(store, many, table=BOOKS)
        found = await store.search(BOOKS, "tea", {}, limit=100)
        assert sorted(found, key=repr) == sorted(many.values(), key=repr)
        parts = [await store.search(BOOKS, "tea", {}, limit=7, offset=n) for n in range(0, 35, 7)]
        assert [book for part in parts for book in part] == found
        assert await store.search(BOOKS, "tea", {}, limit=0) == []

    async def test_a_search_finds_only_rows_that_equal_what_was_asked_for(self, store: ViewStore) -> None:
        await self._shelved(store)
        found = await store.search(BOOKS, "tea", {"year": 1999}, limit=9)
        assert {book.title for book in found} == {"Teapots of the world", "カメラ入門"}
        assert await store.search(BOOKS, "tea", {"year": 1999, "note": None}, limit=9) == [_SHELF["b-2"]]
        assert await store.search(BOOKS, "tea", {"isbn": "'"}, limit=9) == []
        for field in ("colour", "", "_words", "_key", "title; --"):
            with pytest.raises(NoSuchField):
                await store.search(BOOKS, "tea", {field: 1}, limit=9)

    async def test_a_row_is_found_by_the_words_it_has_now(self, store: ViewStore) -> None:
        await self._shelved(store)

        async def years(question: str) -> list[int]:
            return [book.year for book in await store.search(BOOKS, question, {}, limit=9)]

        await put(store, {"b-1": Book(title="Coffee", year=1), "b-8": Book(title="Tea", year=8)}, "b-2", table=BOOKS)
        assert sorted(await years("tea")) == [8, 1999]
        assert await years("handbook") == await years("teapots") == []
        assert await years("coffee") == [1]
        await put(store, {"b-1": Book(title="Coffee", year=2)}, table=BOOKS)
        assert await years("coffee") == [2]
        await put(store, {"b-2": Book(title="teapots", year=3)}, "b-1", table=BOOKS)
        assert await years("coffee") == []
        assert await years("teapots") == [3]

    async def test_hostile_texts_are_found_by_themselves(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await put(store, {text: Book(title=text, isbn=text) for text in HOSTILE}, table=BOOKS)
        for text in HOSTILE:
            found = {book.isbn for book in await store.search(BOOKS, text, {}, limit=50)}
            assert text in found or (not any(character.isalnum() for character in text) and not found)

    async def test_tables_with_hostile_names_are_searched_apart(self, store: ViewStore) -> None:
        self._searches()
        tables = [TableSpec(f"b {text}", 1, Book) for text in HOSTILE]
        for n, table in enumerate(tables):
            await store.open_table(table)
            await put(store, {"b": Book(title="tea", year=n)}, table=table)
        for n, table in enumerate(tables):
            assert await store.search(table, "tea", {}, limit=9) == [Book(title="tea", year=n)]

    async def test_generations_are_searched_apart_and_a_dropped_one_leaves_no_words(self, store: ViewStore) -> None:
        await self._shelved(store)
        second = TableSpec("books", 2, Book)
        await store.open_table(second)
        await put(store, {"b-1": Book(title="Tea")}, table=second)
        assert await store.search(second, "tea", {}, limit=9) == [Book(title="Tea")]
        assert await store.search(BOOKS, "handbook", {}, limit=9) == [_SHELF["b-1"]]
        await store.drop_table(BOOKS)
        assert await store.search(second, "tea", {}, limit=9) == [Book(title="Tea")]
        await store.open_table(BOOKS)
        assert await store.search(BOOKS, "tea", {}, limit=9) == []

    async def test_which_fields_are_searched_belongs_to_the_shape(self, store: ViewStore) -> None:
        self._searches()
        await store.open_table(BOOKS)
        await store.open_table(BOOKS)
        assert await store.shape_fits(BOOKS) is True
        for row_type in (BookByTitle, PlainBook):
            assert await store.shape_fits(TableSpec("books", 1, row_type)) is False
            assert await store.shape_fits(TableSpec("books", 2, row_type)) is True

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

    async def test_tables_with_hostile_names_do_not_mix(self, store: ViewStore) -> None:
        tables = [TableSpec(f"t {text}", 1, Order) for text in HOSTILE]
        for n, table in enumerate(tables):
            await store.open_table(table)
            await put(store, {"o-1": order(pieces=n)}, table=table)
        for n, table in enumerate(tables):
            assert await store.find(table, {}) == [order(pieces=n)]

    async def test_opening_a_table_again_keeps_its_rows(self, store: ViewStore) -> None:
        await filled(store)
        await store.open_table(ORDERS)
        assert await everything(store) == [ANN, BOB, CID]

    async def test_a_name_without_a_live_table_has_no_live_generation(self, store: ViewStore) -> None:
        assert await store.live_generation("orders") is None
        assert list(await store.generations("orders")) == []

    async def test_readers_get_the_generation_that_was_switched_to(self, store: ViewStore) -> None:
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

    async def test_rows_of_two_generations_do_not_mix(self, store: ViewStore) -> None:
        second = TableSpec("orders", 2, Order)
        await filled(store)
        await store.open_table(second)
        await put(store, {"o-1": BOB}, table=second)
        assert await everything(store) == [ANN, BOB, CID]
        assert await store.find(second, {}) == [BOB]

    async def test_a_dropped_table_is_gone_and_the_other_generation_stays(self, store: ViewStore) -> None:
        second = TableSpec("orders", 2, Order)
        await filled(store)
        await store.open_table(second)
        await store.switch(second)
        await store.drop_table(ORDERS)
        assert list(await store.generations("orders")) == [2]
        assert await store.live_generation("orders") == 2
        await store.open_table(ORDERS)
        assert await everything(store) == []

    @pytest.mark.parametrize("ask", sorted(_ASKS))
    async def test_a_table_that_is_gone_gives_no_answer(self, store: ViewStore, ask: str) -> None:
        """Neither None nor an empty list: that would be a lie about a view that has been built anew since."""
        await filled(store)
        await _ASKS[ask](store)
        await store.drop_table(ORDERS)
        with pytest.raises(NoSuchTable):
            await _ASKS[ask](store)

    async def test_dropping_a_table_that_is_not_there_does_nothing(self, store: ViewStore) -> None:
        await store.drop_table(ORDERS)
        assert list(await store.generations("orders")) == []

    async def test_a_table_that_is_not_there_fits_any_shape(self, store: ViewStore) -> None:
        assert await store.shape_fits(ORDERS) is True

    async def test_a_table_fits_the_row_class_it_was_made_for(self, store: ViewStore) -> None:
        await filled(store)
        assert await store.shape_fits(ORDERS) is True

    async def test_a_table_does_not_fit_a_row_class_that_changed(self, store: ViewStore) -> None:
        await store.open_table(TableSpec("stock", 1, Before))
        for row_type in (Added, Removed, Retyped, Renamed):
            assert await store.shape_fits(TableSpec("stock", 1, row_type)) is False
            assert await store.shape_fits(TableSpec("stock", 2, row_type)) is True

    async def test_plain_rows_are_read_whatever_their_class(self, store: ViewStore) -> None:
        before = TableSpec("stock", 1, Before)
        await store.open_table(before)
        for n, sku in enumerate(["ink", "pen", "cap", "nib", "mug"]):
            await put(store, {sku: Before(sku=sku, pieces=n)}, table=before)
        await put(store, {}, "mug", table=before)
        await store.settle(before)
        for row_type in (Before, Added, Removed, Retyped, Renamed):
            table = TableSpec("stock", 1, row_type)
            first = await store.plain(table, limit=3)
            assert first == [
                ("cap", {"sku": "cap", "pieces": 2}),
                ("ink", {"sku": "ink", "pieces": 0}),
                ("nib", {"sku": "nib", "pieces": 3}),
            ]
            assert await store.plain(table, limit=3, after="nib") == [("pen", {"sku": "pen", "pieces": 1})]
            assert await store.plain(table, limit=3, after="pen") == []

    async def test_readers_may_be_sent_back_to_rows_of_another_class(self, store: ViewStore) -> None:
        before, after = TableSpec("stock", 1, Before), TableSpec("stock", 2, Added)
        for table in (before, after):
            await store.open_table(table)
        await put(store, {"pen": Before(sku="pen", pieces=1)}, table=before)
        await store.switch(after)
        await store.switch(TableSpec("stock", 1, Added))
        assert await store.live_generation("stock") == 1
        assert await store.find(before, {}) == [Before(sku="pen", pieces=1)]

    async def test_a_new_generation_takes_the_new_shape(self, store: ViewStore) -> None:
        before, after = TableSpec("stock", 1, Before), TableSpec("stock", 2, Added)
        await store.open_table(before)
        await put(store, {"pen": Before(sku="pen", pieces=1)}, table=before)
        await store.open_table(after)
        await put(store, {"pen": Added(sku="pen", pieces=1, shelf="a")}, table=after)
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


class BookByTitle(Row, search=("title",)):
    title: str
    note: str | None = None
    isbn: str = ""
    year: int = 2026


class PlainBook(Row):
    title: str
    note: str | None = None
    isbn: str = ""
    year: int = 2026
