"""What the contracts of rows away from the events start from: parcels, whose rows know their place in history."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.read_store import Placed, ReadStore
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.testing.contracts.base import Contract, HandClock

__all__ = [
    "FAR_AHEAD",
    "FILLED",
    "FOUND",
    "LONG_AGO",
    "LOST",
    "PARCELS",
    "PROCESSOR",
    "SENT",
    "Parcel",
    "ParcelsContract",
    "count",
    "filled",
    "find",
    "move",
    "page",
    "places",
    "position",
    "rows",
]


class Parcel(Row, index=("status", "weight")):
    status: str
    weight: int = 0
    note: str | None = None


PARCELS = TableSpec("parcels", 1, Parcel)
PROCESSOR = "projection:parcels"
LONG_AGO, FAR_AHEAD = datetime(2001, 1, 1, tzinfo=UTC), datetime(2201, 1, 1, tzinfo=UTC)
"""Before and after now, on any clock that a store may go by."""

SENT, LOST, FOUND = Parcel(status="sent", weight=2), Parcel(status="lost", weight=1), Parcel(status="found", weight=3)


def rows(
    seen: int | Mapping[str, int],
    upserts: Mapping[str, Row],
    *deletes: str,
    table: TableSpec = PARCELS,
    advance: Advance | None = None,
) -> ViewChange:
    """A change whose rows have all seen the same position, or each its own."""
    places = dict.fromkeys([*upserts, *deletes], seen) if isinstance(seen, int) else seen
    return ViewChange(table=table, upserts=upserts, deletes=deletes, advance=advance, seen=places)


def move(old: int, new: int, token: int = 1, processor: str = PROCESSOR) -> Advance:
    return Advance(processor=processor, token=token, old=old, new=new)


async def places(store: ReadStore, *keys: str) -> dict[str, Placed]:
    return await store.get_placed(PARCELS, keys)


async def position(store: ReadStore, token: int = 1) -> int | None:
    """As the owner of this token is told."""
    return await store.fence(PROCESSOR, token)


async def find(store: ReadStore, equals: Mapping[str, object], **how: Any) -> list[Any]:
    """Once everything that was committed can be found; `get` and `get_placed` need not wait for that."""
    await store.settle(PARCELS)
    return await store.find(PARCELS, equals, **how)


async def page(store: ReadStore, equals: Mapping[str, object], **how: Any) -> list[tuple[str, Any]]:
    await store.settle(PARCELS)
    return await store.page(PARCELS, equals, **how)


async def count(store: ReadStore, equals: Mapping[str, object]) -> int:
    await store.settle(PARCELS)
    return await store.count(PARCELS, equals)


async def filled(store: ReadStore) -> None:
    """`p-1` is sent, seen 5; `p-2` is lost, seen 6; the position is 6, under token 1."""
    await store.open_table(PARCELS)
    assert await position(store) is None
    await store.commit(rows({"p-1": 5, "p-2": 6}, {"p-1": SENT, "p-2": LOST}, advance=move(0, 6)))


FILLED = {"p-1": Placed(SENT, 5), "p-2": Placed(LOST, 6)}


class ParcelsContract(Contract):
    """A store of rows alone, and a second one on the same place."""

    one_step: ClassVar[bool] = False
    """A commit of a few rows is done in one step: refused, it wrote nothing. Otherwise rows may be ahead."""

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> ReadStore:  # type: ignore[override]
        """A store, not yet opened. Every call with the same `tmp_path` leads to the same place, empty at first."""
        raise NotImplementedError(f"{type(self).__name__} has to say how to make its store: override `make`")

    @pytest.fixture
    def other(self, daicho_loop: asyncio.Runner, tmp_path: Path, clock: HandClock) -> Iterator[ReadStore]:
        """A second store opened on the place of `store`, as another process has it."""
        another = self.make(tmp_path, clock)
        daicho_loop.run(another.open())
        yield another
        daicho_loop.run(another.close())
