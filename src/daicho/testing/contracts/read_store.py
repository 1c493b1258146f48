"""The contract of `daicho.ports.read_store.ReadStore`: rows that know their place in history, away from the events.

class TestMyReadStore(ReadStoreContract):
    one_step = True

    def make(self, tmp_path, now):
        return MyReadStore(f"my://127.0.0.1:1234/{tmp_path.name}", now=now)

    def make_away(self, now, password):
        return MyReadStore(f"my://user:{password}@127.0.0.1:1/db", now=now)
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import pytest

from daicho.core.errors import NoSuchTable, StoreClosed, StoreUnavailable
from daicho.ports.read_store import Placed, ReadStore
from daicho.testing.contracts.base import HandClock
from daicho.testing.contracts.parcels import (
    FAR_AHEAD,
    FILLED,
    FOUND,
    LOST,
    PARCELS,
    PROCESSOR,
    SENT,
    Parcel,
    filled,
    find,
    move,
    places,
    position,
    rows,
)
from daicho.testing.contracts.places import PlacesContract
from daicho.testing.contracts.positions import PositionsContract
from daicho.testing.contracts.rows import RowsContract

__all__ = ["PARCELS", "PROCESSOR", "Parcel", "ReadStoreContract", "move", "rows"]

A_WORD = "opensesame"

_METHODS: dict[str, Callable[[ReadStore], Awaitable[object]]] = {
    "open_table": lambda store: store.open_table(PARCELS),
    "live_generation": lambda store: store.live_generation("parcels"),
    "generations": lambda store: store.generations("parcels"),
    "shape_fits": lambda store: store.shape_fits(PARCELS),
    "switch": lambda store: store.switch(PARCELS),
    "drop_table": lambda store: store.drop_table(PARCELS),
    "get": lambda store: store.get(PARCELS, "p-1"),
    "get_many": lambda store: store.get_many(PARCELS, ["p-1"]),
    "find": lambda store: store.find(PARCELS, {}),
    "page": lambda store: store.page(PARCELS, {}, limit=1),
    "count": lambda store: store.count(PARCELS, {}),
    "settle": lambda store: store.settle(PARCELS),
    "commit": lambda store: store.commit(rows(1, {"p-1": SENT})),
    "fence": lambda store: store.fence(PROCESSOR, 1),
    "forget": lambda store: store.forget(PROCESSOR),
    "get_placed": lambda store: store.get_placed(PARCELS, ["p-1"]),
    "sweep": lambda store: store.sweep(PARCELS, 1, FAR_AHEAD),
    "furthest": lambda store: store.furthest(PARCELS, 1, 3),
    "examine": lambda store: store.examine(),
}


_READS: dict[str, Callable[[ReadStore], Awaitable[object]]] = {
    **{name: _METHODS[name] for name in ("get", "get_many", "find", "page", "count")},
    "find some": lambda store: store.find(PARCELS, {"status": "sent"}, order_by="weight", limit=1),
    "count some": lambda store: store.count(PARCELS, {"status": "sent"}),
}


class ReadStoreContract(PositionsContract, PlacesContract, RowsContract):
    patience: ClassVar[float] = 15.0
    """Seconds after which a server that does not answer must have been told of."""

    def make_away(self, now: Callable[[], datetime], password: str) -> ReadStore:
        """A store at an address where no server listens, with a URL that contains the password."""
        raise NotImplementedError(f"{type(self).__name__} has to say where no server is: override `make_away`")

    async def test_rows_places_and_position_are_there_after_opening_again(
        self, store: ReadStore, tmp_path: Path, clock: HandClock
    ) -> None:
        await filled(store)
        await store.switch(PARCELS)
        await store.commit(rows(9, {"p-3": FOUND}, "p-1", advance=move(6, 9, 1)))
        await store.close()
        again = self.make(tmp_path, clock)
        await again.open()
        try:
            assert await again.live_generation("parcels") == 1
            assert await places(again, "p-1", "p-2", "p-3") == {
                "p-1": Placed(None, 9),
                "p-2": Placed(LOST, 6),
                "p-3": Placed(FOUND, 9),
            }
            assert await find(again, {"status": "lost"}) == [LOST]
            assert await position(again) == 9
        finally:
            await again.close()

    async def test_what_one_process_committed_another_gets_by_key_at_once(
        self, store: ReadStore, other: ReadStore
    ) -> None:
        await filled(store)
        assert await other.get(PARCELS, "p-1") == SENT
        await store.commit(rows(7, {"p-1": LOST}))
        assert await other.get(PARCELS, "p-1") == LOST
        assert await other.get_many(PARCELS, ["p-1", "p-2"]) == {"p-1": LOST, "p-2": LOST}

    async def test_what_one_process_committed_another_finds_once_settled(
        self, store: ReadStore, other: ReadStore
    ) -> None:
        await filled(store)
        await other.settle(PARCELS)
        assert await other.find(PARCELS, {}) == [SENT, LOST]
        assert await other.get(PARCELS, "p-1") == SENT

    @pytest.mark.parametrize("ask", sorted(_READS))
    async def test_a_table_that_another_process_dropped_gives_no_answer(
        self, store: ReadStore, other: ReadStore, ask: str
    ) -> None:
        await filled(store)
        await _READS[ask](store)
        await other.drop_table(PARCELS)
        with pytest.raises(NoSuchTable):
            await _READS[ask](store)

    @pytest.mark.parametrize("method", _METHODS)
    async def test_a_closed_store_says_so(self, store: ReadStore, method: str) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StoreClosed):
            await _METHODS[method](store)

    async def test_a_closed_store_can_be_opened_again(self, store: ReadStore) -> None:
        await filled(store)
        await store.close()
        await store.open()
        assert await places(store, "p-1", "p-2") == FILLED

    async def test_a_server_that_is_away_is_told_of_in_time_and_without_the_password(self, clock: HandClock) -> None:
        store = self.make_away(clock, A_WORD)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as raised:
            await asyncio.wait_for(store.open(), self.patience)
        assert time.monotonic() - began < self.patience
        assert A_WORD not in str(raised.value)
        assert A_WORD not in repr(raised.value.data)
        assert A_WORD not in store.url
        await store.close()

    async def test_a_healthy_server_is_found_to_be_so(self, store: ReadStore) -> None:
        found = await store.examine()
        assert found
        assert [finding for finding in found if not finding.ok] == []
        assert all(finding.what and finding.detail for finding in found)

    async def test_a_store_describes_what_is_behind_its_url(self, store: ReadStore) -> None:
        described = store.describe()
        assert described["engine"]
        assert described["version"]
