"""How much there is of each product, and where the rest went."""

from typing import TypeAlias

from daicho import Query, Row, Views, projection, query_handler, replace
from examples.shop.inventory import (
    InventoryDeducted,
    InventoryReleased,
    InventoryReserved,
    InventoryReturned,
    StockCounted,
    StockReceived,
    StockWrittenOff,
)
from examples.shop.views.keeping import UNTIL_CHANGED

__all__ = ["PARTS", "StockOf", "StockRow", "stock"]

Moved: TypeAlias = (
    StockReceived
    | InventoryReserved
    | InventoryReleased
    | StockWrittenOff
    | StockCounted
    | InventoryDeducted
    | InventoryReturned
)


class StockRow(Row):
    sku: str
    on_hand: int = 0
    reserved: int = 0
    available: int = 0
    """On hand and not reserved. Below zero where only past sales are known, and no deliveries."""
    received: int = 0
    sold: int = 0
    """Sales of the past; those of today stay reserved."""
    returned: int = 0
    written_off: int = 0


def sku_of(event: Moved) -> str:
    return event.sku


@projection("stock", key=sku_of)
def stock(row: StockRow | None, event: Moved) -> StockRow | None:
    row = row or StockRow(sku=event.sku)
    match event:
        case InventoryDeducted(quantity=n):
            row = replace(row, on_hand=row.on_hand - n, sold=row.sold + n)
        case InventoryReturned(quantity=n):
            row = replace(row, on_hand=row.on_hand + n, returned=row.returned + n)
        case StockReceived(quantity=n):
            row = replace(row, on_hand=row.on_hand + n, received=row.received + n)
        case InventoryReserved(quantity=n):
            row = replace(row, reserved=row.reserved + n)
        case InventoryReleased(quantity=n):
            row = replace(row, reserved=row.reserved - n)
        case StockWrittenOff(quantity=n):
            row = replace(row, on_hand=row.on_hand - n, written_off=row.written_off + n)
        case StockCounted(counted=n):
            row = replace(row, on_hand=n)
    return replace(row, available=row.on_hand - row.reserved)


class StockOf(Query[StockRow | None]):
    sku: str


@query_handler(cache=UNTIL_CHANGED)
async def stock_of(query: StockOf, views: Views) -> StockRow | None:
    return await views[stock].get(query.sku)


PARTS = (stock, stock_of)
