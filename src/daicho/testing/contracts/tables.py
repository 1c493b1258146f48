"""Tables: generations do not mix, a dropped one gives no answer, and each fits the row class that it was made for."""

from collections.abc import Awaitable, Callable

import pytest

from daicho.core.errors import NoSuchTable
from daicho.core.messages import Row
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.testing.contracts.base import HOSTILE, Contract
from daicho.testing.contracts.orders import ANN, BOB, CID, ORDERS, Order, everything, filled, order, put

__all__ = ["TablesContract"]


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


class TablesContract(Contract):
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
