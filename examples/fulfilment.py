"""Fulfilment of an order, over as long as it takes: reserve, ask for the money, confirm, or undo what was done.

    reserve stock ──> request payment, and wait 30 s for it ──> confirm the order, deduct the stock
         │                        │
      refused                  no payment
         └──> cancel the order <──┴──> release the stock

What comes early waits for the order; money that comes late is recorded, and paid back.
"""

from collections.abc import Iterator
from datetime import timedelta

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

__all__ = [
    "CancelPurchase",
    "ConfirmPurchase",
    "DeductItems",
    "Fulfilment",
    "ItemsDeducted",
    "ItemsReleased",
    "ItemsReserved",
    "Payment",
    "PaymentRefunded",
    "PaymentRequested",
    "PlacePurchase",
    "Purchase",
    "PurchaseCancelled",
    "PurchaseConfirmed",
    "PurchasePlaced",
    "ReceivePayment",
    "RefundPayment",
    "ReleaseItems",
    "RequestPayment",
    "ReserveItems",
    "Shelf",
    "StockShelf",
    "app",
    "parts",
]


# -- the order -------------------------------------------------------------------------------------------------------


class PlacePurchase(Command):
    order_id: str
    sku: str
    quantity: int
    cents: int


class ConfirmPurchase(Command):
    order_id: str


class CancelPurchase(Command):
    order_id: str
    reason: str


class PurchasePlaced(Event, name="purchase.placed"):
    order_id: str
    sku: str
    quantity: int
    cents: int


class PurchaseConfirmed(Event, name="purchase.confirmed"):
    order_id: str


class PurchaseCancelled(Event, name="purchase.cancelled"):
    order_id: str
    reason: str


class Purchase(Aggregate, category="purchase", key="order_id"):
    status: str = "absent"

    @handle
    def place(self, command: PlacePurchase) -> Iterator[PurchasePlaced]:
        if self.status != "absent":
            raise Rejected("order already exists")
        yield PurchasePlaced(order_id=command.order_id, sku=command.sku, quantity=command.quantity, cents=command.cents)

    @handle
    def confirm(self, command: ConfirmPurchase) -> Iterator[PurchaseConfirmed]:
        if self.status != "pending":
            raise Rejected(f"order is {self.status}")
        yield PurchaseConfirmed(order_id=command.order_id)

    @handle
    def cancel(self, command: CancelPurchase) -> Iterator[PurchaseCancelled]:
        if self.status != "pending":
            raise Rejected(f"order is {self.status}")
        yield PurchaseCancelled(order_id=command.order_id, reason=command.reason)

    @apply
    def placed(self, _: PurchasePlaced) -> None:
        self.status = "pending"

    @apply
    def confirmed(self, _: PurchaseConfirmed) -> None:
        self.status = "confirmed"

    @apply
    def cancelled(self, _: PurchaseCancelled) -> None:
        self.status = "cancelled"


# -- the stock -------------------------------------------------------------------------------------------------------


class StockShelf(Command):
    sku: str
    quantity: int


class ReserveItems(Command):
    sku: str
    order_id: str
    quantity: int


class ReleaseItems(Command):
    sku: str
    order_id: str


class DeductItems(Command):
    sku: str
    order_id: str


class ShelfStocked(Event, name="shelf.stocked"):
    sku: str
    quantity: int


class ItemsReserved(Event, name="shelf.reserved"):
    sku: str
    order_id: str
    quantity: int


class ItemsReleased(Event, name="shelf.released"):
    sku: str
    order_id: str
    quantity: int


class ItemsDeducted(Event, name="shelf.deducted"):
    sku: str
    order_id: str
    quantity: int


class Shelf(Aggregate, category="shelf", key="sku"):
    def __init__(self) -> None:
        self.on_hand = 0
        self.reserved: dict[str, int] = {}

    @property
    def free(self) -> int:
        return self.on_hand - sum(self.reserved.values())

    @handle
    def stock(self, command: StockShelf) -> Iterator[ShelfStocked]:
        yield ShelfStocked(sku=command.sku, quantity=command.quantity)

    @handle
    def reserve(self, command: ReserveItems) -> Iterator[ItemsReserved]:
        if command.quantity > self.free:
            raise Rejected(f"only {self.free} left")
        yield ItemsReserved(sku=command.sku, order_id=command.order_id, quantity=command.quantity)

    @handle
    def release(self, command: ReleaseItems) -> Iterator[ItemsReleased]:
        if command.order_id not in self.reserved:
            raise Rejected("nothing is reserved")
        quantity = self.reserved[command.order_id]
        yield ItemsReleased(sku=command.sku, order_id=command.order_id, quantity=quantity)

    @handle
    def deduct(self, command: DeductItems) -> Iterator[ItemsDeducted]:
        if command.order_id not in self.reserved:
            raise Rejected("nothing is reserved")
        quantity = self.reserved[command.order_id]
        yield ItemsDeducted(sku=command.sku, order_id=command.order_id, quantity=quantity)

    @apply
    def stocked(self, event: ShelfStocked) -> None:
        self.on_hand += event.quantity

    @apply
    def reserved_for(self, event: ItemsReserved) -> None:
        self.reserved[event.order_id] = event.quantity

    @apply
    def released(self, event: ItemsReleased) -> None:
        del self.reserved[event.order_id]

    @apply
    def deducted(self, event: ItemsDeducted) -> None:
        self.on_hand -= self.reserved.pop(event.order_id)


# -- the money -------------------------------------------------------------------------------------------------------


class RequestPayment(Command):
    order_id: str
    cents: int


class ReceivePayment(Command):
    """From the bank: it may come late, or before anybody asked for it."""

    order_id: str
    cents: int


class RefundPayment(Command):
    order_id: str


class PaymentRequested(Event, name="payment.requested"):
    order_id: str
    cents: int


class PaymentReceived(Event, name="payment.received"):
    order_id: str
    cents: int


class PaymentRefunded(Event, name="payment.refunded"):
    order_id: str
    cents: int


class Payment(Aggregate, category="payment", key="order_id"):
    received: int = 0
    requested: bool = False
    refunded: bool = False

    @handle
    def request(self, command: RequestPayment) -> Iterator[PaymentRequested]:
        if not self.requested:
            yield PaymentRequested(order_id=command.order_id, cents=command.cents)

    @handle
    def receive(self, command: ReceivePayment) -> Iterator[PaymentReceived]:
        if self.received:
            raise Rejected("paid already")
        yield PaymentReceived(order_id=command.order_id, cents=command.cents)

    @handle
    def refund(self, command: RefundPayment) -> Iterator[PaymentRefunded]:
        if not self.received or self.refunded:
            raise Rejected("there is nothing to pay back")
        yield PaymentRefunded(order_id=command.order_id, cents=self.received)

    @apply
    def was_requested(self, _: PaymentRequested) -> None:
        self.requested = True

    @apply
    def was_received(self, event: PaymentReceived) -> None:
        self.received = event.cents

    @apply
    def was_refunded(self, _: PaymentRefunded) -> None:
        self.refunded = True


# -- the process -----------------------------------------------------------------------------------------------------


class Fulfilment(Process, category="fulfilment", key="order_id"):
    sku: str = ""
    cents: int = 0
    reserved: bool = False
    paid: bool = False

    @start
    def placed(self, event: PurchasePlaced) -> Iterator[ReserveItems]:
        self.sku, self.cents = event.sku, event.cents
        yield ReserveItems(sku=event.sku, order_id=event.order_id, quantity=event.quantity)

    @on
    def set_aside(
        self, event: ItemsReserved
    ) -> Iterator[RequestPayment | Deadline | DeductItems | ConfirmPurchase | Pivot]:
        self.reserved = True
        if self.paid:
            yield from self._confirm()
        elif self.status == "running":
            yield RequestPayment(order_id=event.order_id, cents=self.cents)
            yield Deadline.set("payment", after=timedelta(seconds=30))

    @on
    def was_paid(
        self, event: PaymentReceived
    ) -> Iterator[DeductItems | ConfirmPurchase | Pivot | Deadline | RefundPayment]:
        self.paid = True
        if self.status != "running":
            yield RefundPayment(order_id=event.order_id)
        elif self.reserved:
            yield Deadline.cancel("payment")
            yield from self._confirm()

    def _confirm(self) -> Iterator[DeductItems | ConfirmPurchase | Pivot]:
        yield Pivot()
        yield DeductItems(sku=self.sku, order_id=self.id)
        yield ConfirmPurchase(order_id=self.id)

    @on
    def confirmed(self, _: PurchaseConfirmed) -> Iterator[Done]:
        yield Done()

    @deadline("payment")
    def expired(self) -> Iterator[CancelPurchase | Compensate]:
        yield CancelPurchase(order_id=self.id, reason="not paid in time")
        yield Compensate("not paid in time")

    @refused
    def sold_out(self, command: ReserveItems, reason: str) -> Iterator[CancelPurchase | RefundPayment | Compensate]:
        yield CancelPurchase(order_id=command.order_id, reason=reason)
        if self.paid:
            yield RefundPayment(order_id=command.order_id)
        yield Compensate(reason)

    @compensate
    def release(self, command: ReserveItems) -> ReleaseItems:
        return ReleaseItems(sku=command.sku, order_id=command.order_id)


parts = (Purchase, Shelf, Payment, Fulfilment)
app = App(*parts, name="fulfilment", store="sqlite:///fulfilment.db")
