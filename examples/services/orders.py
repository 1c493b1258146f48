"""The orders of the shop, and the process manager that leads each of them to its end.

    reserve stock ──> request payment, and wait 30 s for it ──> deduct the stock, confirm the order
         │                        │
      refused                  no payment
         └──> cancel the order <──┴──> release the stock

What comes early waits for the order; money that comes late is recorded, and paid back.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from daicho import (
    Aggregate,
    App,
    Command,
    Compensate,
    Deadline,
    Done,
    Event,
    Pivot,
    Process,
    Rejected,
    apply,
    compensate,
    deadline,
    handle,
    on,
    refused,
    start,
)
from daicho.ports.event_bus import EventBus

__all__ = ["CancelOrder", "ConfirmOrder", "Fulfilment", "Order", "PlaceOrder", "service"]

PATIENCE = timedelta(seconds=30)
"""So long the shop waits for the money."""


# -- its own words ---------------------------------------------------------------------------------------------------


class PlaceOrder(Command):
    order_id: str
    sku: str
    quantity: int
    cents: int


class ConfirmOrder(Command):
    order_id: str


class CancelOrder(Command):
    order_id: str
    reason: str


class OrderPlaced(Event, name="order.placed"):
    order_id: str
    sku: str
    quantity: int
    cents: int


class OrderConfirmed(Event, name="order.confirmed"):
    order_id: str
    sku: str
    quantity: int


class OrderCancelled(Event, name="order.cancelled"):
    order_id: str
    reason: str


# -- what it hears of others, and asks of them -----------------------------------------------------------------------


class StockReserved(Event, name="stock.reserved"):
    sku: str
    order_id: str
    quantity: int


class PaymentReceived(Event, name="payment.received"):
    order_id: str
    cents: int


class ReserveStock(Command, name="stock.reserve"):
    sku: str
    order_id: str
    quantity: int


class ReleaseStock(Command, name="stock.release"):
    sku: str
    order_id: str


class DeductStock(Command, name="stock.deduct"):
    sku: str
    order_id: str


class RequestPayment(Command, name="payment.request"):
    order_id: str
    cents: int


class RefundPayment(Command, name="payment.refund"):
    order_id: str


# -- the order -------------------------------------------------------------------------------------------------------


class Order(Aggregate, category="order", key="order_id"):
    status: str = "absent"
    sku: str = ""
    quantity: int = 0

    @handle
    def place(self, command: PlaceOrder) -> Iterator[OrderPlaced]:
        if self.status != "absent":
            raise Rejected("order already exists")
        yield OrderPlaced(order_id=command.order_id, sku=command.sku, quantity=command.quantity, cents=command.cents)

    @handle
    def confirm(self, command: ConfirmOrder) -> Iterator[OrderConfirmed]:
        if self.status != "pending":
            raise Rejected(f"order is {self.status}")
        yield OrderConfirmed(order_id=command.order_id, sku=self.sku, quantity=self.quantity)

    @handle
    def cancel(self, command: CancelOrder) -> Iterator[OrderCancelled]:
        if self.status != "pending":
            raise Rejected(f"order is {self.status}")
        yield OrderCancelled(order_id=command.order_id, reason=command.reason)

    @apply
    def placed(self, event: OrderPlaced) -> None:
        self.status, self.sku, self.quantity = "pending", event.sku, event.quantity

    @apply
    def confirmed(self, _: OrderConfirmed) -> None:
        self.status = "confirmed"

    @apply
    def cancelled(self, _: OrderCancelled) -> None:
        self.status = "cancelled"


# -- the process -----------------------------------------------------------------------------------------------------


class Fulfilment(Process, category="fulfilment", key="order_id", from_start=True):
    sku: str = ""
    cents: int = 0
    reserved: bool = False
    paid: bool = False

    @start
    def placed(self, event: OrderPlaced) -> Iterator[ReserveStock]:
        self.sku, self.cents = event.sku, event.cents
        yield ReserveStock(sku=event.sku, order_id=event.order_id, quantity=event.quantity)

    @on
    def set_aside(
        self, event: StockReserved
    ) -> Iterator[RequestPayment | Deadline | DeductStock | ConfirmOrder | Pivot]:
        self.reserved = True
        if self.paid:
            yield from self._confirm()
        elif self.status == "running":
            yield RequestPayment(order_id=event.order_id, cents=self.cents)
            yield Deadline.set("payment", after=PATIENCE)

    @on
    def was_paid(
        self, event: PaymentReceived
    ) -> Iterator[DeductStock | ConfirmOrder | Pivot | Deadline | RefundPayment]:
        self.paid = True
        if self.status != "running":
            yield RefundPayment(order_id=event.order_id)
        elif self.reserved:
            yield Deadline.cancel("payment")
            yield from self._confirm()

    def _confirm(self) -> Iterator[DeductStock | ConfirmOrder | Pivot]:
        yield Pivot()
        yield DeductStock(sku=self.sku, order_id=self.id)
        yield ConfirmOrder(order_id=self.id)

    @on
    def confirmed(self, _: OrderConfirmed) -> Iterator[Done]:
        yield Done()

    @deadline("payment")
    def expired(self) -> Iterator[CancelOrder | Compensate]:
        yield CancelOrder(order_id=self.id, reason="not paid in time")
        yield Compensate("not paid in time")

    @refused
    def sold_out(self, command: ReserveStock, reason: str) -> Iterator[CancelOrder | RefundPayment | Compensate]:
        yield CancelOrder(order_id=command.order_id, reason=reason)
        if self.paid:
            yield RefundPayment(order_id=command.order_id)
        yield Compensate(reason)

    @compensate
    def release(self, command: ReserveStock) -> ReleaseStock:
        return ReleaseStock(sku=command.sku, order_id=command.order_id)


def service(store: str, bus: str | EventBus, *, partitions: int = 4, **more: Any) -> App:
    """`more`: whatever else an App takes, a clock for instance."""
    return App(
        Order,
        Fulfilment,
        name="orders",
        store=store,
        bus=bus,
        listen=["inventory", "payments"],
        remote={
            "inventory": {ReserveStock: "sku", ReleaseStock: "sku", DeductStock: "sku"},
            "payments": [RequestPayment, RefundPayment],
        },
        partitions=partitions,
        **more,
    )
