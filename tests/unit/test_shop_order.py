"""An order, told by given / when / then: no store, no loop."""

from decimal import Decimal

from daicho import Event
from daicho.testing import given
from examples.shop.catalogue import ASSORTMENT, PriceList
from examples.shop.order import (
    AddOrderLine,
    CancelOrder,
    ConfirmOrder,
    CreateOrder,
    Order,
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderLineAdded,
    OrderLineReserved,
    OrderLineShort,
    OrderRejected,
    OrderReserved,
    UpdateOrderStatus,
)
from examples.shop.values import Line, PricedLine

PRICES = [PriceList(ASSORTMENT)]
PENS = PricedLine(sku="pen", quantity=2, unit_price=Decimal("24.50"))
INK = PricedLine(sku="ink", quantity=1, unit_price=Decimal("9.80"))

created = OrderCreated(order_id="o-1", customer_id="c-1", country="Japan", lines=[PENS, INK], total=Decimal("58.80"))
pens_reserved = OrderLineReserved(order_id="o-1", sku="pen")
ink_reserved = OrderLineReserved(order_id="o-1", sku="ink")
ink_short = OrderLineShort(order_id="o-1", sku="ink", reason="wanted 1, only 0 left")
reserved = OrderReserved(order_id="o-1", customer_id="c-1", total=Decimal("58.80"))
confirmed = OrderConfirmed(
    order_id="o-1", customer_id="c-1", country="Japan", lines=[PENS, INK], total=Decimal("58.80"), paid_by="card"
)
waiting_for_money: list[Event] = [created, pens_reserved, ink_reserved, reserved]


def news(what: str, sku: str | None = None, reason: str = "") -> UpdateOrderStatus:
    return UpdateOrderStatus(order_id="o-1", news=what, sku=sku, reason=reason)  # type: ignore[arg-type]


class TestCreating:
    create = CreateOrder(
        order_id="o-1",
        customer_id="c-1",
        country="Japan",
        lines=[Line(sku="pen", quantity=2), Line(sku="ink", quantity=1)],
    )

    def test_computes_the_price(self) -> None:
        given(Order, provide=PRICES).when(self.create).then(created)

    def test_happens_once(self) -> None:
        given(Order, created, provide=PRICES).when(self.create).then_rejected("order o-1 already exists")

    def test_needs_a_line(self) -> None:
        empty = CreateOrder(order_id="o-1", customer_id="c-1", country="Japan", lines=[])
        given(Order, provide=PRICES).when(empty).then_rejected("an order has at least one line")

    def test_refuses_what_is_not_in_the_catalogue(self) -> None:
        unknown = CreateOrder(order_id="o-1", customer_id="c-1", country="Japan", lines=[Line(sku="moon", quantity=1)])
        given(Order, provide=PRICES).when(unknown).then_rejected("we do not sell 'moon'")


class TestAddingALine:
    add = AddOrderLine(order_id="o-1", line=Line(sku="notebook", quantity=1))

    def test_raises_the_total(self) -> None:
        line = PricedLine(sku="notebook", quantity=1, unit_price=Decimal("12.00"))
        given(Order, created, provide=PRICES).when(self.add).then(
            OrderLineAdded(order_id="o-1", customer_id="c-1", line=line, total=Decimal("70.80"))
        )

    def test_of_a_product_that_is_there_is_refused(self) -> None:
        again = AddOrderLine(order_id="o-1", line=Line(sku="pen", quantity=1))
        given(Order, created, provide=PRICES).when(again).then_rejected("'pen' is in the order already")

    def test_comes_too_late_once_everything_is_reserved(self) -> None:
        given(Order, *waiting_for_money, provide=PRICES).when(self.add).then_rejected(
            "a line cannot be added to an order that is reserved"
        )

    def test_makes_the_order_wait_for_its_stock_too(self) -> None:
        line = PricedLine(sku="notebook", quantity=1, unit_price=Decimal("12.00"))
        added = OrderLineAdded(order_id="o-1", customer_id="c-1", line=line, total=Decimal("70.80"))
        given(Order, created, pens_reserved, added).when(news("stock reserved", "ink")).then(ink_reserved)


class TestNewsOfStock:
    def test_is_noted_until_every_product_has_been_answered_for(self) -> None:
        given(Order, created).when(news("stock reserved", "pen")).then(pens_reserved)

    def test_reserves_the_order_with_the_last_answer(self) -> None:
        given(Order, created, pens_reserved).when(news("stock reserved", "ink")).then(ink_reserved, reserved)

    def test_rejects_the_order_if_anything_is_short_and_names_what_to_give_back(self) -> None:
        rejected = OrderRejected(order_id="o-1", customer_id="c-1", reason="not enough stock of ink", reserved=["pen"])
        short = news("stock short", "ink", "wanted 1, only 0 left")
        given(Order, created, pens_reserved).when(short).then(ink_short, rejected)
        given(Order, created, ink_short).when(news("stock reserved", "pen")).then(pens_reserved, rejected)

    def test_that_comes_twice_changes_nothing(self) -> None:
        given(Order, created, pens_reserved).when(news("stock reserved", "pen")).then_nothing()
        given(Order, created, pens_reserved).when(news("stock short", "pen")).then_nothing()
        given(Order, *waiting_for_money).when(news("stock reserved", "pen")).then_nothing()

    def test_of_a_product_nobody_ordered_changes_nothing(self) -> None:
        given(Order, created).when(news("stock reserved", "lamp")).then_nothing()

    def test_of_an_order_nobody_knows_is_refused(self) -> None:
        given(Order).when(news("stock reserved", "pen")).then_rejected("there is no order o-1")


class TestNewsOfPayment:
    def test_confirms(self) -> None:
        given(Order, *waiting_for_money).when(news("payment authorised")).then(confirmed)

    def test_rejects_and_names_everything_to_give_back(self) -> None:
        given(Order, *waiting_for_money).when(news("payment declined", reason="over the limit")).then(
            OrderRejected(order_id="o-1", customer_id="c-1", reason="over the limit", reserved=["pen", "ink"])
        )

    def test_that_comes_twice_changes_nothing(self) -> None:
        given(Order, *waiting_for_money, confirmed).when(news("payment authorised")).then_nothing()
        given(Order, *waiting_for_money, confirmed).when(news("payment declined")).then_nothing()


class TestConfirmingByHand:
    def test_is_for_orders_that_wait_for_their_money(self) -> None:
        by_transfer = OrderConfirmed(
            order_id="o-1",
            customer_id="c-1",
            country="Japan",
            lines=[PENS, INK],
            total=Decimal("58.80"),
            paid_by="transfer",
        )
        given(Order, *waiting_for_money).when(ConfirmOrder(order_id="o-1")).then(by_transfer)
        given(Order, *waiting_for_money, by_transfer).when(ConfirmOrder(order_id="o-1")).then_nothing()

    def test_is_refused_before(self) -> None:
        given(Order, created).when(ConfirmOrder(order_id="o-1")).then_rejected(
            "an order that is pending cannot be confirmed"
        )


class TestCancelling:
    cancel = CancelOrder(order_id="o-1", reason="changed my mind")
    cancelled = OrderCancelled(
        order_id="o-1",
        customer_id="c-1",
        country="Japan",
        lines=[PENS, INK],
        total=Decimal("58.80"),
        reason="changed my mind",
    )

    def test_undoes_a_confirmed_order(self) -> None:
        given(Order, *waiting_for_money, confirmed).when(self.cancel).then(self.cancelled)

    def test_twice_changes_nothing(self) -> None:
        given(Order, *waiting_for_money, confirmed, self.cancelled).when(self.cancel).then_nothing()

    def test_is_refused_while_the_order_is_on_its_way(self) -> None:
        given(Order, created).when(self.cancel).then_rejected("an order that is pending cannot be cancelled")
        given(Order).when(self.cancel).then_rejected("an order that is absent cannot be cancelled")
