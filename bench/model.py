"""What both sides work on: orders with lines, an event of about 180 bytes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from daicho import Aggregate, Command, Event, Query, Row, Views, apply, handle, projection, query_handler, replace


class Item(msgspec.Struct, frozen=True, gc=False):
    sku: str
    quantity: int
    price: Decimal


class AddLine(Command):
    order_id: str
    customer: str
    placed_at: datetime
    amount: Decimal
    items: list[Item]


class LineAdded(Event, name="line.added"):
    order_id: str
    customer: str
    placed_at: datetime
    amount: Decimal
    items: list[Item]


class Order(Aggregate, category="order", key="order_id"):
    lines: int = 0
    total: Decimal = Decimal(0)

    @handle
    def add(self, command: AddLine) -> Iterator[LineAdded]:
        yield LineAdded(
            order_id=command.order_id,
            customer=command.customer,
            placed_at=command.placed_at,
            amount=command.amount,
            items=command.items,
        )

    @apply
    def added(self, event: LineAdded) -> None:
        self.lines += 1
        self.total += event.amount


class KeptOrder(Order, persistence="state"):
    """The same, and what is kept is its state."""


class OrderState(msgspec.Struct):
    """The same state, for those who do it by hand."""

    lines: int = 0
    total: Decimal = Decimal(0)


class Customer(Row):
    customer: str
    lines: int = 0
    total: Decimal = Decimal(0)


@projection("customers", key=lambda event: event.customer)
def customers(row: Customer | None, event: LineAdded) -> Customer:
    row = row or Customer(customer=event.customer)
    return replace(row, lines=row.lines + 1, total=row.total + event.amount)


class GetCustomer(Query[Customer | None]):
    customer: str


@query_handler
async def get_customer(query: GetCustomer, views: Views) -> Customer | None:
    return await views[customers].get(query.customer)


def command(n: int, order: str) -> AddLine:
    return AddLine(
        order_id=order,
        customer=f"customer-{n % 1000}",
        placed_at=datetime(2026, 1, 1, tzinfo=UTC),
        amount=Decimal("12.34"),
        items=[Item("85123A", 6, Decimal("2.55")), Item("71053", 1 + n % 9, Decimal("3.39"))],
    )


def event(n: int, order: str) -> LineAdded:
    c = command(n, order)
    return LineAdded(order_id=c.order_id, customer=c.customer, placed_at=c.placed_at, amount=c.amount, items=c.items)


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What a reader of the log wants to know of each event."""

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str | None
    tenant: str | None
    correlation_id: str
    causation_id: str
    tags: tuple[str, ...]
    metadata: dict[str, str]
    event: LineAdded
