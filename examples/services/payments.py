"""The money: who was asked for it, who paid, who got it back."""

from collections.abc import Iterator
from typing import Any

from daicho import Aggregate, App, Command, Event, Rejected, apply, handle
from daicho.ports.event_bus import EventBus

__all__ = ["Payment", "ReceivePayment", "RefundPayment", "RequestPayment", "service"]


class RequestPayment(Command, name="payment.request"):
    order_id: str
    cents: int


class ReceivePayment(Command, name="payment.receive"):
    """From the bank: it may come late, or before anybody asked for it."""

    order_id: str
    cents: int


class RefundPayment(Command, name="payment.refund"):
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


def service(store: str, bus: str | EventBus, *, partitions: int = 4, **more: Any) -> App:
    """`more`: whatever else an App takes, a clock for instance."""
    return App(Payment, name="payments", store=store, bus=bus, partitions=partitions, **more)
