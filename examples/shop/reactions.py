"""What follows from what: events in, commands out. This file *is* the process, and calls nobody.

OrderCreated, OrderLineAdded -> ReserveInventory
InventoryReserved, InventoryShort -> UpdateOrderStatus
OrderReserved -> AuthorisePayment
PaymentAuthorised, PaymentDeclined -> UpdateOrderStatus
OrderConfirmed -> CapturePayment
OrderRejected -> ReleaseInventory
OrderCancelled -> RefundPayment, ReleaseInventory
documents of the past -> DeductInventory, ReturnInventory, WriteOffStock, line by line
"""

from collections.abc import Iterator

from daicho import event_handler
from examples.shop.inventory import (
    DeductInventory,
    InventoryReserved,
    InventoryShort,
    ReleaseInventory,
    ReserveInventory,
    ReturnInventory,
    WriteOffStock,
)
from examples.shop.invoice import AnyImported, WriteOffImported
from examples.shop.order import (
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderLineAdded,
    OrderRejected,
    OrderReserved,
    UpdateOrderStatus,
)
from examples.shop.payment import (
    AuthorisePayment,
    CapturePayment,
    PaymentAuthorised,
    PaymentDeclined,
    RefundPayment,
)
from examples.shop.values import quantities

__all__ = ["REACTIONS"]


@event_handler
def reserve_stock(event: OrderCreated | OrderLineAdded) -> Iterator[ReserveInventory]:
    lines = event.lines if isinstance(event, OrderCreated) else [event.line]
    for sku, quantity in quantities(lines).items():
        yield ReserveInventory(sku=sku, order_id=event.order_id, quantity=quantity)


@event_handler
def report_stock(event: InventoryReserved | InventoryShort) -> Iterator[UpdateOrderStatus]:
    match event:
        case InventoryReserved(order_id=order_id, sku=sku):
            yield UpdateOrderStatus(order_id=order_id, news="stock reserved", sku=sku)
        case InventoryShort(order_id=order_id, sku=sku, wanted=wanted, available=available):
            reason = f"wanted {wanted}, only {available} left"
            yield UpdateOrderStatus(order_id=order_id, news="stock short", sku=sku, reason=reason)


@event_handler
def ask_for_payment(event: OrderReserved) -> Iterator[AuthorisePayment]:
    yield AuthorisePayment(order_id=event.order_id, customer_id=event.customer_id, amount=event.total)


@event_handler(circular=True)  # back to UpdateOrderStatus, which led here; an order only moves forward, so this ends
def report_payment(event: PaymentAuthorised | PaymentDeclined) -> Iterator[UpdateOrderStatus]:
    match event:
        case PaymentAuthorised(order_id=order_id):
            yield UpdateOrderStatus(order_id=order_id, news="payment authorised")
        case PaymentDeclined(order_id=order_id, reason=reason):
            yield UpdateOrderStatus(order_id=order_id, news="payment declined", reason=reason)


@event_handler
def take_payment(event: OrderConfirmed) -> Iterator[CapturePayment | RefundPayment]:
    if event.paid_by == "card":
        yield CapturePayment(order_id=event.order_id)
    else:
        yield RefundPayment(order_id=event.order_id, reason="paid by transfer")


@event_handler
def give_back_stock(event: OrderRejected | OrderCancelled) -> Iterator[ReleaseInventory]:
    """Compensation: what had been put aside becomes available again."""
    skus = event.reserved if isinstance(event, OrderRejected) else quantities(event.lines)
    for sku in skus:
        yield ReleaseInventory(sku=sku, order_id=event.order_id)


@event_handler
def give_back_money(event: OrderCancelled) -> Iterator[RefundPayment]:
    yield RefundPayment(order_id=event.order_id, reason=event.reason)


@event_handler
def book_past_movements(event: AnyImported) -> Iterator[DeductInventory | ReturnInventory | WriteOffStock]:
    """One command for each line, also where a product comes twice: its n-th command is the n-th line, for ever."""
    for line in event.lines:
        if line.quantity > 0:
            yield DeductInventory(sku=line.sku, invoice=event.invoice, quantity=line.quantity)
        elif line.quantity < 0 and isinstance(event, WriteOffImported):
            yield WriteOffStock(sku=line.sku, quantity=-line.quantity, reason=f"invoice {event.invoice}")
        elif line.quantity < 0:
            yield ReturnInventory(sku=line.sku, invoice=event.invoice, quantity=-line.quantity)


REACTIONS = (
    reserve_stock,
    report_stock,
    ask_for_payment,
    report_payment,
    take_payment,
    give_back_stock,
    give_back_money,
    book_past_movements,
)
