"""What follows from what, told by given / when / then."""

from decimal import Decimal

from daicho.testing import given
from examples.shop import reactions
from examples.shop.inventory import (
    DeductInventory,
    InventoryReserved,
    InventoryShort,
    ReleaseInventory,
    ReserveInventory,
    ReturnInventory,
    WriteOffStock,
)
from examples.shop.invoice import AdjustmentImported, CreditNoteImported, InvoiceLine, OrderImported, WriteOffImported
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
from examples.shop.values import PricedLine

TWICE = [
    PricedLine(sku="pen", quantity=2, unit_price=Decimal("24.50")),
    PricedLine(sku="ink", quantity=1, unit_price=Decimal("9.80")),
    PricedLine(sku="pen", quantity=1, unit_price=Decimal("24.50")),
]
SUM = Decimal("83.30")


def test_an_order_reserves_each_product_once() -> None:
    created = OrderCreated(order_id="o-1", customer_id="c-1", country="Japan", lines=TWICE, total=SUM)
    given(reactions.reserve_stock).when(created).then(
        ReserveInventory(sku="pen", order_id="o-1", quantity=3), ReserveInventory(sku="ink", order_id="o-1", quantity=1)
    )


def test_a_further_line_reserves_too() -> None:
    added = OrderLineAdded(order_id="o-1", customer_id="c-1", line=TWICE[1], total=SUM)
    given(reactions.reserve_stock).when(added).then(ReserveInventory(sku="ink", order_id="o-1", quantity=1))


def test_the_inventory_answers_the_order() -> None:
    given(reactions.report_stock).when(InventoryReserved(sku="pen", order_id="o-1", quantity=3)).then(
        UpdateOrderStatus(order_id="o-1", news="stock reserved", sku="pen")
    )
    given(reactions.report_stock).when(InventoryShort(sku="pen", order_id="o-1", wanted=3, available=1)).then(
        UpdateOrderStatus(order_id="o-1", news="stock short", sku="pen", reason="wanted 3, only 1 left")
    )


def test_a_reserved_order_asks_for_its_money() -> None:
    given(reactions.ask_for_payment).when(OrderReserved(order_id="o-1", customer_id="c-1", total=SUM)).then(
        AuthorisePayment(order_id="o-1", customer_id="c-1", amount=SUM)
    )


def test_the_payment_answers_the_order() -> None:
    given(reactions.report_payment).when(PaymentAuthorised(order_id="o-1", customer_id="c-1", amount=SUM)).then(
        UpdateOrderStatus(order_id="o-1", news="payment authorised")
    )
    declined = PaymentDeclined(order_id="o-1", customer_id="c-1", amount=SUM, reason="too much")
    given(reactions.report_payment).when(declined).then(
        UpdateOrderStatus(order_id="o-1", news="payment declined", reason="too much")
    )


def test_a_confirmed_order_is_paid() -> None:
    def confirmed(paid_by: str) -> OrderConfirmed:
        return OrderConfirmed(
            order_id="o-1", customer_id="c-1", country="Japan", lines=TWICE, total=SUM, paid_by=paid_by
        )  # type: ignore[arg-type]

    given(reactions.take_payment).when(confirmed("card")).then(CapturePayment(order_id="o-1"))
    given(reactions.take_payment).when(confirmed("transfer")).then(
        RefundPayment(order_id="o-1", reason="paid by transfer")
    )


def test_a_rejected_order_gives_back_what_had_been_put_aside() -> None:
    rejected = OrderRejected(order_id="o-1", customer_id="c-1", reason="not enough ink", reserved=["pen"])
    given(reactions.give_back_stock).when(rejected).then(ReleaseInventory(sku="pen", order_id="o-1"))


def test_a_cancelled_order_gives_back_stock_and_money() -> None:
    cancelled = OrderCancelled(
        order_id="o-1", customer_id="c-1", country="Japan", lines=TWICE, total=SUM, reason="changed my mind"
    )
    given(reactions.give_back_stock).when(cancelled).then(
        ReleaseInventory(sku="pen", order_id="o-1"), ReleaseInventory(sku="ink", order_id="o-1")
    )
    given(reactions.give_back_money).when(cancelled).then(RefundPayment(order_id="o-1", reason="changed my mind"))


class TestThePast:
    @staticmethod
    def line(quantity: int) -> InvoiceLine:
        return InvoiceLine(sku="pen", name="Pen", quantity=quantity, unit_price=Decimal("24.50"))

    def test_each_line_of_a_sale_is_one_movement_even_if_it_repeats_another(self) -> None:
        sold = OrderImported(
            invoice="1", customer_id=None, country="Japan", lines=[self.line(2), self.line(2)], total=Decimal(98)
        )
        given(reactions.book_past_movements).when(sold).then(
            DeductInventory(sku="pen", invoice="1", quantity=2), DeductInventory(sku="pen", invoice="1", quantity=2)
        )

    def test_a_credit_note_brings_goods_back(self) -> None:
        note = CreditNoteImported(
            invoice="C2", customer_id="c-1", country="Japan", lines=[self.line(-1)], total=Decimal("-24.50")
        )
        given(reactions.book_past_movements).when(note).then(ReturnInventory(sku="pen", invoice="C2", quantity=1))

    def test_a_loss_is_written_off(self) -> None:
        loss = WriteOffImported(
            invoice="3", customer_id=None, country="Japan", lines=[self.line(-5)], total=Decimal("-122.50")
        )
        given(reactions.book_past_movements).when(loss).then(WriteOffStock(sku="pen", quantity=5, reason="invoice 3"))

    def test_an_adjustment_moves_its_code_too_and_a_line_of_nothing_moves_nothing(self) -> None:
        adjustment = AdjustmentImported(
            invoice="A4", customer_id=None, country="Japan", lines=[self.line(1), self.line(0)], total=Decimal("24.50")
        )
        given(reactions.book_past_movements).when(adjustment).then(DeductInventory(sku="pen", invoice="A4", quantity=1))
