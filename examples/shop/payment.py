"""The money of one order, in the functional form: values and functions, no class with methods."""

from collections.abc import Iterator
from typing import Literal, TypeAlias, assert_never

from daicho import Command, Decider, Event, Rejected, State, replace
from examples.shop.values import Id, Money

__all__ = [
    "AuthorisePayment",
    "CapturePayment",
    "CreditPolicy",
    "PaymentAuthorised",
    "PaymentCaptured",
    "PaymentDeclined",
    "PaymentRefunded",
    "RefundPayment",
    "payment",
]


class AuthorisePayment(Command):
    order_id: Id
    customer_id: Id
    amount: Money


class CapturePayment(Command):
    order_id: Id


class RefundPayment(Command):
    """Gives back what was captured, or lets go of what was only authorised."""

    order_id: Id
    reason: str


class PaymentAuthorised(Event, name="payment.authorised", version=1):
    order_id: Id
    customer_id: Id
    amount: Money


class PaymentDeclined(Event, name="payment.declined", version=1):
    order_id: Id
    customer_id: Id
    amount: Money
    reason: str


class PaymentCaptured(Event, name="payment.captured", version=1):
    order_id: Id
    customer_id: Id
    amount: Money


class PaymentRefunded(Event, name="payment.refunded", version=1):
    order_id: Id
    customer_id: Id
    amount: Money
    reason: str


class CreditPolicy:
    """How much one order may cost. Given to the App as a collaborator: `provide=[CreditPolicy(limit=...)]`."""

    def __init__(self, limit: Money) -> None:
        self.limit = limit

    def objection(self, amount: Money) -> str | None:
        return f"{amount} is over the limit of {self.limit}" if amount > self.limit else None


class Payment(State):
    status: Literal["absent", "authorised", "declined", "captured", "refunded"] = "absent"
    customer_id: str = ""
    amount: Money = Money(0)


PaymentCommand: TypeAlias = AuthorisePayment | CapturePayment | RefundPayment
PaymentEvent: TypeAlias = PaymentAuthorised | PaymentDeclined | PaymentCaptured | PaymentRefunded


def decide(command: PaymentCommand, state: Payment, policy: CreditPolicy) -> Iterator[PaymentEvent]:
    order_id, customer_id, amount = command.order_id, state.customer_id, state.amount
    match command:
        case AuthorisePayment() if state.status != "absent":
            return  # answered before
        case AuthorisePayment(customer_id=customer_id, amount=amount):
            if reason := policy.objection(amount):
                yield PaymentDeclined(order_id=order_id, customer_id=customer_id, amount=amount, reason=reason)
            else:
                yield PaymentAuthorised(order_id=order_id, customer_id=customer_id, amount=amount)
        case CapturePayment() if state.status in ("absent", "declined"):
            raise Rejected(f"no payment is authorised for order {order_id}")
        case CapturePayment():
            if state.status == "authorised":
                yield PaymentCaptured(order_id=order_id, customer_id=customer_id, amount=amount)
        case RefundPayment(reason=reason):
            if state.status in ("authorised", "captured"):
                yield PaymentRefunded(order_id=order_id, customer_id=customer_id, amount=amount, reason=reason)
        case _:
            assert_never(command)


def evolve(state: Payment, event: PaymentEvent) -> Payment:
    match event:
        case PaymentAuthorised(customer_id=customer_id, amount=amount):
            return Payment(status="authorised", customer_id=customer_id, amount=amount)
        case PaymentDeclined(customer_id=customer_id, amount=amount):
            return Payment(status="declined", customer_id=customer_id, amount=amount)
        case PaymentCaptured():
            return replace(state, status="captured")
        case PaymentRefunded():
            return replace(state, status="refunded")
        case _:
            assert_never(event)


payment = Decider(
    "payment",
    initial=Payment(),
    decide=decide,
    evolve=evolve,
    identify=lambda command: command.order_id,
)
