"""Two small services for tests: orders, and the inventory that reserves stock for them. Neither knows the other's code:
each declares what it hears of the other and what it asks of it.

Nothing is sold twice: of a sku, what was reserved for confirmed orders and what is left add up to what was received.
"""

from collections.abc import Iterator
from typing import Any

from daicho import Aggregate, App, Command, Event, Rejected, Row, apply, event_handler, handle, projection

# -- orders -----------------------------------------------------------------------------------------------------------


class PlaceOrder(Command):
    order: str
    sku: str
    quantity: int


class ConfirmOrder(Command):
    order: str


class RefuseOrder(Command):
    order: str


class OrderPlaced(Event, name="order.placed"):
    order: str
    sku: str
    quantity: int


class OrderConfirmed(Event, name="order.confirmed"):
    order: str


class OrderRefused(Event, name="order.refused"):
    order: str


class Order(Aggregate, category="order", key="order"):
    status: str = ""

    @handle
    def place(self, command: PlaceOrder) -> Iterator[OrderPlaced]:
        if self.status:
            raise Rejected("the order was placed before")
        yield OrderPlaced(order=command.order, sku=command.sku, quantity=command.quantity)

    @handle
    def confirm(self, command: ConfirmOrder) -> Iterator[OrderConfirmed]:
        if self.status != "placed":
            raise Rejected(f"the order is {self.status or 'unknown'}")
        yield OrderConfirmed(order=command.order)

    @handle
    def refuse(self, command: RefuseOrder) -> Iterator[OrderRefused]:
        if self.status != "placed":
            raise Rejected(f"the order is {self.status or 'unknown'}")
        yield OrderRefused(order=command.order)

    @apply
    def placed(self, _: OrderPlaced) -> None:
        self.status = "placed"

    @apply
    def confirmed(self, _: OrderConfirmed) -> None:
        self.status = "confirmed"

    @apply
    def refused(self, _: OrderRefused) -> None:
        self.status = "refused"


class ReserveStock(Command, name="stock.reserve"):
    """What orders asks of the inventory."""

    sku: str
    order: str
    quantity: int


class StockReserved(Event, name="stock.reserved"):
    """What orders hears of the inventory."""

    sku: str
    order: str
    quantity: int


class StockShort(Event, name="stock.short"):
    sku: str
    order: str


@event_handler
def reserve(event: OrderPlaced) -> Iterator[ReserveStock]:
    yield ReserveStock(sku=event.sku, order=event.order, quantity=event.quantity)


@event_handler(from_start=True)
def settle(event: StockReserved | StockShort) -> Iterator[ConfirmOrder | RefuseOrder]:
    yield ConfirmOrder(order=event.order) if isinstance(event, StockReserved) else RefuseOrder(order=event.order)


class Sold(Row):
    sku: str
    quantity: int = 0


@projection("sold", key=lambda event: event.sku)
def sold(row: Sold | None, event: StockReserved) -> Sold:
    """Of another service's events."""
    return Sold(sku=event.sku, quantity=(row.quantity if row else 0) + event.quantity)


ORDERS = (Order, reserve, settle, sold)


def orders(store: str, bus: Any, **settings: Any) -> App:
    remote = {"inventory": [ReserveStock]}
    given = {"partitions": 2, "listen": ["inventory"], "remote": remote, **settings}
    return App(*ORDERS, store=store, name="orders", bus=bus, **given)


# -- inventory --------------------------------------------------------------------------------------------------------


class Receive(Command):
    sku: str
    quantity: int


class Reserve(Command, name="stock.reserve"):
    sku: str
    order: str
    quantity: int


class Received(Event, name="stock.received"):
    sku: str
    quantity: int


class Reserved(Event, name="stock.reserved"):
    sku: str
    order: str
    quantity: int


class Short(Event, name="stock.short"):
    sku: str
    order: str


class Stock(Aggregate, category="stock", key="sku"):
    left: int = 0
    known: bool = False

    @handle
    def receive(self, command: Receive) -> Iterator[Received]:
        yield Received(sku=command.sku, quantity=command.quantity)

    @handle
    def reserve(self, command: Reserve) -> Iterator[Reserved | Short]:
        if not self.known:
            raise Rejected(f"there is no {command.sku}")
        if command.quantity > self.left:
            yield Short(sku=command.sku, order=command.order)
        else:
            yield Reserved(sku=command.sku, order=command.order, quantity=command.quantity)

    @apply
    def received(self, event: Received) -> None:
        self.left, self.known = self.left + event.quantity, True

    @apply
    def reserved(self, event: Reserved) -> None:
        self.left -= event.quantity

    @apply
    def short(self, _: Short) -> None: ...


def inventory(store: str, bus: Any, **settings: Any) -> App:
    given = {"partitions": 2, **settings}
    return App(Stock, store=store, name="inventory", bus=bus, **given)
