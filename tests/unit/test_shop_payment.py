"""The money of one order: the functional form of a decider, told by given / when / then."""

from decimal import Decimal

from daicho.testing import given
from examples.shop.payment import (
    AuthorisePayment,
    CapturePayment,
    CreditPolicy,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    RefundPayment,
    payment,
)

POLICY = [CreditPolicy(limit=Decimal(100))]
authorise = AuthorisePayment(order_id="o-1", customer_id="c-1", amount=Decimal("99.99"))
authorised = PaymentAuthorised(order_id="o-1", customer_id="c-1", amount=Decimal("99.99"))
captured = PaymentCaptured(order_id="o-1", customer_id="c-1", amount=Decimal("99.99"))
declined = PaymentDeclined(
    order_id="o-1", customer_id="c-1", amount=Decimal("100.01"), reason="100.01 is over the limit of 100"
)
capture = CapturePayment(order_id="o-1")
refund = RefundPayment(order_id="o-1", reason="cancelled")
refunded = PaymentRefunded(order_id="o-1", customer_id="c-1", amount=Decimal("99.99"), reason="cancelled")


def test_is_authorised_within_the_limit() -> None:
    given(payment, provide=POLICY).when(authorise).then(authorised)
    at_the_limit = AuthorisePayment(order_id="o-1", customer_id="c-1", amount=Decimal(100))
    given(payment, provide=POLICY).when(at_the_limit).then(
        PaymentAuthorised(order_id="o-1", customer_id="c-1", amount=Decimal(100))
    )


def test_is_declined_over_the_limit() -> None:
    too_much = AuthorisePayment(order_id="o-1", customer_id="c-1", amount=Decimal("100.01"))
    given(payment, provide=POLICY).when(too_much).then(declined)


def test_is_answered_once() -> None:
    given(payment, authorised, provide=POLICY).when(authorise).then_nothing()
    given(payment, declined, provide=POLICY).when(authorise).then_nothing()
    given(payment, authorised, refunded, provide=POLICY).when(authorise).then_nothing()


def test_is_captured_once() -> None:
    given(payment, authorised, provide=POLICY).when(capture).then(captured)
    given(payment, authorised, captured, provide=POLICY).when(capture).then_nothing()


def test_is_not_captured_without_leave() -> None:
    because = "no payment is authorised for order o-1"
    given(payment, provide=POLICY).when(capture).then_rejected(because)
    given(payment, declined, provide=POLICY).when(capture).then_rejected(because)


def test_is_refunded_once_and_only_what_was_held() -> None:
    given(payment, authorised, captured, provide=POLICY).when(refund).then(refunded)
    given(payment, authorised, provide=POLICY).when(refund).then(refunded)
    given(payment, authorised, captured, refunded, provide=POLICY).when(refund).then_nothing()
    given(payment, declined, provide=POLICY).when(refund).then_nothing()
    given(payment, provide=POLICY).when(refund).then_nothing()


def test_a_capture_that_comes_after_the_refund_takes_nothing() -> None:
    given(payment, authorised, refunded, provide=POLICY).when(capture).then_nothing()
