"""The contract of `daicho.ports.view_store.ViewStore` beside the events: rows, checkpoint and letters are one."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from daicho.core.errors import LostLease, StoreError
from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.testing.contracts.base import Contract
from daicho.testing.contracts.checkpoint_store import claimed, present
from daicho.testing.contracts.dead_letter_store import parked
from daicho.testing.contracts.orders import ANN, BOB, CID, ORDERS, change, everything, filled, order
from daicho.testing.contracts.rows import RowsContract

__all__ = ["ViewStoreContract"]

PROCESSOR = "projection:orders"


class Buyer(Row, index=("city",)):
    name: str
    city: str | None = None


BUYERS, BASKETS = TableSpec("orders.buyers", 1, Buyer), TableSpec("orders.baskets", 1, Buyer)
DAN, EVE = Buyer(name="dan", city="Oslo"), Buyer(name="eve")


async def beside(store: Storage) -> None:
    """Two more tables: `dan` in both."""
    for table in (BUYERS, BASKETS):
        await store.open_table(table)
        await store.commit(change({"b-1": DAN}, table=table))


class ViewStoreContract(RowsContract):
    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> Storage:
        return Contract.make(self, tmp_path, now)

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

    # rows of several tables

    async def test_rows_of_several_tables_are_written_together(self, store: Storage) -> None:
        await filled(store)
        await beside(store)
        mine = await claimed(store)
        await store.commit(
            change(
                {"o-4": ANN},
                "o-2",
                advance=Advance(processor=PROCESSOR, token=mine.token, old=0, new=9),
                beside=[change({"b-2": EVE}, "b-1", table=BUYERS), change({"b-1": EVE}, table=BASKETS)],
            )
        )
        assert (await present(store)).position == 9
        assert await everything(store) == [ANN, CID, ANN]
        assert await store.find(BUYERS, {}) == [EVE]
        assert await store.find(BASKETS, {}) == [EVE]

    async def test_who_lost_the_lease_writes_to_none_of_several_tables(self, store: Storage) -> None:
        await filled(store)
        await beside(store)
        mine = await claimed(store)
        await store.release("one")
        theirs = await claimed(store, owner="two")
        for token, old in ((mine.token, 0), (theirs.token, 1)):
            move = Advance(processor=PROCESSOR, token=token, old=old, new=9)
            others = [change({"b-2": EVE}, "b-1", table=BUYERS), change({"b-1": EVE}, table=BASKETS)]
            with pytest.raises(LostLease):
                await store.commit(change({"o-4": ANN}, advance=move, beside=others))
        assert await everything(store) == [ANN, BOB, CID]
        assert await store.find(BUYERS, {}) == await store.find(BASKETS, {}) == [DAN]
        assert await present(store) == theirs

    async def test_a_table_that_cannot_be_written_keeps_the_others_as_they_were(self, store: Storage) -> None:
        await filled(store)
        await beside(store)
        mine = await claimed(store)
        never_opened = change({"b-1": EVE}, table=TableSpec("orders.buyers", 2, Buyer))
        move = Advance(processor=PROCESSOR, token=mine.token, old=0, new=9)
        with pytest.raises(StoreError):
            await store.commit(
                change({"o-4": ANN}, advance=move, beside=[change({"b-2": EVE}, table=BUYERS), never_opened])
            )
        assert await everything(store) == [ANN, BOB, CID]
        assert await store.find(BUYERS, {}) == [DAN]
        assert (await present(store)).position == 0
