"""Pages: put together they are all rows in order, whatever comes and goes meanwhile."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from daicho.ports.view_store import Mark, ViewStore
from daicho.testing.contracts.base import HOSTILE, Contract
from daicho.testing.contracts.orders import ANN, BOB, CID, NOON, ORDERS, Order, filled, order, put

__all__ = ["PagingContract"]


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


class PagingContract(Contract):
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
