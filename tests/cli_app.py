"""A small application for the tests of the command line: orders and stock, with one event handler, one projection
that chokes on bombs, and one event that was stored in an older shape."""

import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta

from daicho import (
    Aggregate,
    App,
    Command,
    Event,
    Query,
    Record,
    Rejected,
    Route,
    Row,
    Views,
    apply,
    event_handler,
    handle,
    projection,
    query_handler,
    replace,
    upcast,
)


class Address(Record):
    city: str
    street: str = ""


class PlaceOrder(Command):
    """Somebody wants something."""

    order_id: str
    sku: str
    quantity: Annotated[int, Meta(gt=0)]
    price: Decimal = Decimal("1.50")
    ship_to: Address | None = None
    notes: tuple[str, ...] = ()


class CancelOrder(Command):
    order_id: str


class Reserve(Command):
    sku: str
    order_id: str
    quantity: int


class OrderPlaced(Event, name="order.placed", version=2, tags=("sku",)):
    order_id: str
    sku: str
    quantity: int
    price: Decimal
    ship_to: Address | None = None


class OrderCancelled(Event, name="order.cancelled"):
    order_id: str


class StockReserved(Event, name="stock.reserved"):
    sku: str
    order_id: str
    quantity: int


class Order(Aggregate, category="order", key="order_id"):
    status: str = "absent"
    lines: list[dict[str, Any]]

    def __init__(self) -> None:
        self.lines = []

    @handle
    def place(self, command: PlaceOrder) -> Iterator[OrderPlaced]:
        if self.status != "absent":
            raise Rejected("order already exists", order_id=command.order_id)
        if command.sku == "bug":
            raise ZeroDivisionError("a bug in the app")
        yield OrderPlaced(
            order_id=command.order_id,
            sku=command.sku,
            quantity=command.quantity,
            price=command.price,
            ship_to=command.ship_to,
        )

    @handle
    def cancel(self, command: CancelOrder) -> Iterator[OrderCancelled]:
        if self.status == "placed":
            yield OrderCancelled(order_id=command.order_id)

    @apply
    def placed(self, event: OrderPlaced) -> None:
        self.status = "placed"
        self.lines.append({"sku": event.sku, "quantity": event.quantity})

    @apply
    def cancelled(self, _: OrderCancelled) -> None:
        self.status = "cancelled"


class Stock(Aggregate, category="stock", key="sku"):
    reserved: int = 0

    @handle
    def reserve(self, command: Reserve) -> Iterator[StockReserved]:
        if self.reserved + command.quantity > 100:
            raise Rejected("only 100 in all")
        yield StockReserved(sku=command.sku, order_id=command.order_id, quantity=command.quantity)

    @apply
    def kept(self, event: StockReserved) -> None:
        self.reserved += event.quantity


@upcast("order.placed", 1)
def with_price(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "price": "0.00"}


@event_handler
def reserve_stock(event: OrderPlaced) -> Iterator[Reserve]:
    yield Reserve(sku=event.sku, order_id=event.order_id, quantity=event.quantity)


class OrderRow(Row):
    order_id: str
    sku: str
    quantity: int
    status: str = "placed"


@projection("orders", key=lambda event: event.order_id)
def orders(row: OrderRow | None, event: OrderPlaced | OrderCancelled) -> OrderRow | None:
    match event:
        case OrderPlaced(order_id=order_id, sku=sku, quantity=quantity):
            if sku == "bomb" and not os.environ.get("CLI_APP_MENDED"):
                raise RuntimeError("bombs cannot be shown")
            return OrderRow(order_id=order_id, sku=sku, quantity=quantity)
        case OrderCancelled():
            return row and replace(row, status="cancelled")


class FindOrders(Query[list[OrderRow]]):
    status: str = "placed"


class CountOrders(Query[int]):
    pass


@query_handler
async def find_orders(query: FindOrders, views: Views) -> list[OrderRow]:
    return await views[orders].find(status=query.status)


@query_handler
async def count_orders(_: CountOrders, views: Views) -> int:
    return await views[orders].count()


def make() -> App:
    return App(
        Order,
        Stock,
        with_price,
        reserve_stock,
        orders,
        find_orders,
        count_orders,
        Route("POST", "/orders", PlaceOrder),
        store="sqlite:///cli.db",
    )


app = make()
not_an_app = 3
