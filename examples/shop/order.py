"""An order: from the wish to the confirmed sale, or to the reason why not.

absent -> pending -> reserved -> confirmed -> cancelled
             |           |
             +-----------+-----> rejected
"""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from daicho import Aggregate, Command, Event, Rejected, apply, handle
from examples.shop.catalogue import PriceList
from examples.shop.values import Country, Id, Line, Money, PricedLine, Sku, quantities, total_of

__all__ = [
    "AddOrderLine",
    "CancelOrder",
    "ConfirmOrder",
    "CreateOrder",
    "Order",
    "OrderCancelled",
    "OrderConfirmed",
    "OrderCreated",
    "OrderLineAdded",
    "OrderLineReserved",
    "OrderLineShort",
    "OrderRejected",
    "OrderReserved",
    "OrderStatus",
    "UpdateOrderStatus",
]

OrderStatus: TypeAlias = Literal["absent", "pending", "reserved", "confirmed", "rejected", "cancelled"]
News: TypeAlias = Literal["stock reserved", "stock short", "payment authorised", "payment declined"]


class CreateOrder(Command):
    order_id: Id
    customer_id: Id
    country: Country
    lines: Annotated[list[Line], Meta(min_length=1)]


class AddOrderLine(Command):
    """Only while the stock is still being reserved."""

    order_id: Id
    line: Line


class UpdateOrderStatus(Command):
    """What another part of the shop has to say about an order."""

    order_id: Id
    news: News
    sku: Sku | None = None
    """Which product, for news about stock."""
    reason: str = ""


class ConfirmOrder(Command):
    """By hand: the money came another way, e.g. by bank transfer."""

    order_id: Id


class CancelOrder(Command):
    order_id: Id
    reason: str


class OrderCreated(Event, name="order.created", version=1):
    order_id: Id
    customer_id: Id
    country: Country
    lines: list[PricedLine]
    total: Money


class OrderLineAdded(Event, name="order.line_added", version=1):
    order_id: Id
    customer_id: Id
    line: PricedLine
    total: Money


class OrderLineReserved(Event, name="order.line_reserved", version=1):
    order_id: Id
    sku: Sku


class OrderLineShort(Event, name="order.line_short", version=1):
    order_id: Id
    sku: Sku
    reason: str


class OrderReserved(Event, name="order.reserved", version=1):
    """Every line is on its shelf, waiting for the money."""

    order_id: Id
    customer_id: Id
    total: Money


class OrderConfirmed(Event, name="order.confirmed", version=1):
    """A sale: it carries what every report on sales needs."""

    order_id: Id
    customer_id: Id
    country: Country
    lines: list[PricedLine]
    total: Money
    paid_by: Literal["card", "transfer"]


class OrderRejected(Event, name="order.rejected", version=1):
    order_id: Id
    customer_id: Id
    reason: str
    reserved: list[Sku]
    """What had been put aside by then, and is to be given back."""


class OrderCancelled(Event, name="order.cancelled", version=1):
    order_id: Id
    customer_id: Id
    country: Country
    lines: list[PricedLine]
    total: Money
    reason: str


class Order(Aggregate, category="order", key="order_id"):
    status: OrderStatus = "absent"
    customer_id: str = ""
    country: str = ""
    lines: list[PricedLine]
    reserved: dict[str, bool]
    """The answer for each product: True if it was reserved, False if it was short."""

    def __init__(self) -> None:
        self.lines, self.reserved = [], {}

    @handle
    def create(self, command: CreateOrder, prices: PriceList) -> Iterator[OrderCreated]:
        if self.status != "absent":
            raise Rejected(f"order {command.order_id} already exists")
        if not command.lines:
            raise Rejected("an order has at least one line")
        lines = [priced(line, prices) for line in command.lines]
        yield OrderCreated(
            order_id=command.order_id,
            customer_id=command.customer_id,
            country=command.country,
            lines=lines,
            total=total_of(lines),
        )

    @handle
    def add_line(self, command: AddOrderLine, prices: PriceList) -> Iterator[OrderLineAdded]:
        if self.status != "pending":
            raise Rejected(f"a line cannot be added to an order that is {self.status}")
        if command.line.sku in quantities(self.lines):
            raise Rejected(f"{command.line.sku!r} is in the order already")
        line = priced(command.line, prices)
        yield OrderLineAdded(
            order_id=command.order_id, customer_id=self.customer_id, line=line, total=self.total + line.amount
        )

    @handle
    def update_status(
        self, command: UpdateOrderStatus
    ) -> Iterator[OrderLineReserved | OrderLineShort | OrderReserved | OrderConfirmed | OrderRejected]:
        """Old news, or news that comes twice, changes nothing."""
        order_id = command.order_id
        match self.status, command.news, command.sku:
            case "absent", _, _:
                raise Rejected(f"there is no order {order_id}")
            case "pending", "stock reserved", str(sku) if sku in self.unanswered:
                yield OrderLineReserved(order_id=order_id, sku=sku)
                yield from self._settled(order_id)
            case "pending", "stock short", str(sku) if sku in self.unanswered:
                yield OrderLineShort(order_id=order_id, sku=sku, reason=command.reason)
                yield from self._settled(order_id)
            case "reserved", "payment authorised", _:
                yield self._confirmed(order_id, "card")
            case "reserved", "payment declined", _:
                yield self._rejected(order_id, command.reason)
            case _:
                return

    @handle
    def confirm(self, command: ConfirmOrder) -> Iterator[OrderConfirmed]:
        if self.status == "reserved":
            yield self._confirmed(command.order_id, "transfer")
        elif self.status != "confirmed":
            raise Rejected(f"an order that is {self.status} cannot be confirmed")

    @handle
    def cancel(self, command: CancelOrder) -> Iterator[OrderCancelled]:
        if self.status == "confirmed":
            yield OrderCancelled(
                order_id=command.order_id,
                customer_id=self.customer_id,
                country=self.country,
                lines=self.lines,
                total=self.total,
                reason=command.reason,
            )
        elif self.status != "cancelled":
            raise Rejected(f"an order that is {self.status} cannot be cancelled")

    @property
    def total(self) -> Money:
        return total_of(self.lines)

    @property
    def unanswered(self) -> set[str]:
        """Products that the inventory has not spoken about yet."""
        return {line.sku for line in self.lines} - self.reserved.keys()

    def _settled(self, order_id: str) -> Iterator[OrderReserved | OrderRejected]:
        """The end of the reservation, once every product has been answered for."""
        if self.unanswered:
            return
        if short := [sku for sku, is_there in self.reserved.items() if not is_there]:
            yield self._rejected(order_id, f"not enough stock of {', '.join(sorted(short))}")
        else:
            yield OrderReserved(order_id=order_id, customer_id=self.customer_id, total=self.total)

    def _confirmed(self, order_id: str, paid_by: Literal["card", "transfer"]) -> OrderConfirmed:
        return OrderConfirmed(
            order_id=order_id,
            customer_id=self.customer_id,
            country=self.country,
            lines=self.lines,
            total=self.total,
            paid_by=paid_by,
        )

    def _rejected(self, order_id: str, reason: str) -> OrderRejected:
        return OrderRejected(
            order_id=order_id,
            customer_id=self.customer_id,
            reason=reason,
            reserved=[sku for sku, is_there in self.reserved.items() if is_there],
        )

    @apply
    def created(self, event: OrderCreated) -> None:
        self.status, self.customer_id, self.country = "pending", event.customer_id, event.country
        self.lines = list(event.lines)

    @apply
    def line_added(self, event: OrderLineAdded) -> None:
        self.lines = [*self.lines, event.line]

    @apply
    def line_reserved(self, event: OrderLineReserved) -> None:
        self.reserved[event.sku] = True

    @apply
    def line_short(self, event: OrderLineShort) -> None:
        self.reserved[event.sku] = False

    @apply
    def all_reserved(self, _: OrderReserved) -> None:
        self.status = "reserved"

    @apply
    def confirmed(self, _: OrderConfirmed) -> None:
        self.status = "confirmed"

    @apply
    def rejected(self, _: OrderRejected) -> None:
        self.status = "rejected"

    @apply
    def cancelled(self, _: OrderCancelled) -> None:
        self.status = "cancelled"


def priced(line: Line, prices: PriceList) -> PricedLine:
    return PricedLine(sku=line.sku, quantity=line.quantity, unit_price=prices.price_of(line.sku))
