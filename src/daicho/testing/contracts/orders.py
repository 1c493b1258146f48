"""What the contracts of rows start from: orders, with a field of every kind, and short words to put and read them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec

from daicho.core.messages import Row
from daicho.ports.checkpoint_store import Advance
from daicho.ports.view_store import TableSpec, ViewChange, ViewStore

__all__ = [
    "ANN",
    "BOB",
    "CID",
    "NOON",
    "ORDERS",
    "ROWS",
    "Line",
    "Order",
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
