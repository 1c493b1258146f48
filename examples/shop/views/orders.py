"""The order list, and one order in full."""

from datetime import datetime
from typing import TypeAlias

from daicho import Event, Query, RecordedEvent, Row, State, Views, projection, query_handler, replace
from examples.shop.order import (
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderLineAdded,
    OrderLineReserved,
    OrderLineShort,
    OrderRejected,
    OrderReserved,
    OrderStatus,
)
from examples.shop.payment import PaymentAuthorised, PaymentCaptured, PaymentDeclined, PaymentRefunded
from examples.shop.values import Money, PricedLine
from examples.shop.views.keeping import UNTIL_CHANGED

__all__ = ["PARTS", "FindOrderById", "FindOrders", "OrderDetail", "OrderRow", "Step", "order_detail", "orders"]


class OrderRow(Row, index=("status",)):
    order_id: str
    customer_id: str
    country: str
    status: OrderStatus
    lines: int
    total: Money
    placed_at: datetime
    reason: str | None = None


def order_id_of(event: "Told") -> str:
    return event.order_id


@projection("orders", key=order_id_of)
def orders(
    row: OrderRow | None,
    event: OrderCreated | OrderLineAdded | OrderReserved | OrderConfirmed | OrderRejected | OrderCancelled,
    recorded: RecordedEvent[Event],
) -> OrderRow | None:
    if isinstance(event, OrderCreated):
        return OrderRow(
            order_id=event.order_id,
            customer_id=event.customer_id,
            country=event.country,
            status="pending",
            lines=len(event.lines),
            total=event.total,
            placed_at=recorded.occurred_at,
        )
    if row is None:
        return None
    match event:
        case OrderLineAdded(total=total):
            return replace(row, lines=row.lines + 1, total=total)
        case OrderReserved():
            return replace(row, status="reserved")
        case OrderConfirmed():
            return replace(row, status="confirmed")
        case OrderRejected(reason=reason):
            return replace(row, status="rejected", reason=reason)
        case OrderCancelled(reason=reason):
            return replace(row, status="cancelled", reason=reason)


class Step(State):
    at: datetime
    what: str


class OrderDetail(Row):
    order_id: str
    customer_id: str
    country: str
    lines: list[PricedLine]
    total: Money
    steps: list[Step]
    """What has happened to it so far, in the customer's words."""


Told: TypeAlias = (
    OrderCreated
    | OrderLineAdded
    | OrderLineReserved
    | OrderLineShort
    | OrderReserved
    | OrderConfirmed
    | OrderRejected
    | OrderCancelled
    | PaymentAuthorised
    | PaymentDeclined
    | PaymentCaptured
    | PaymentRefunded
)


@projection("order_detail", key=order_id_of)
def order_detail(row: OrderDetail | None, event: Told, recorded: RecordedEvent[Event]) -> OrderDetail | None:
    step = Step(at=recorded.occurred_at, what=told(event))
    if isinstance(event, OrderCreated):
        return OrderDetail(
            order_id=event.order_id,
            customer_id=event.customer_id,
            country=event.country,
            lines=event.lines,
            total=event.total,
            steps=[step],
        )
    if row is None:
        return None
    if isinstance(event, OrderLineAdded):
        row = replace(row, lines=[*row.lines, event.line], total=event.total)
    return replace(row, steps=[*row.steps, step])


def told(event: Told) -> str:
    match event:
        case OrderCreated():
            return "ordered"
        case OrderLineAdded(line=line):
            return f"added {line.quantity} x {line.sku}"
        case OrderLineReserved(sku=sku):
            return f"put aside {sku}"
        case OrderLineShort(sku=sku, reason=reason):
            return f"not enough {sku}: {reason}"
        case OrderReserved():
            return "everything is put aside"
        case OrderConfirmed(paid_by=paid_by):
            return f"confirmed, paid by {paid_by}"
        case OrderRejected(reason=reason):
            return f"rejected: {reason}"
        case OrderCancelled(reason=reason):
            return f"cancelled: {reason}"
        case PaymentAuthorised(amount=amount):
            return f"payment of {amount} authorised"
        case PaymentDeclined(reason=reason):
            return f"payment declined: {reason}"
        case PaymentCaptured(amount=amount):
            return f"{amount} paid"
        case PaymentRefunded(amount=amount):
            return f"{amount} given back"


class FindOrders(Query[list[OrderRow]]):
    status: OrderStatus
    limit: int = 100


class FindOrderById(Query[OrderDetail | None]):
    order_id: str


@query_handler
async def find_orders(query: FindOrders, views: Views) -> list[OrderRow]:
    return await views[orders].find(status=query.status, order_by="placed_at", descending=True, limit=query.limit)


@query_handler(cache=UNTIL_CHANGED)
async def find_order_by_id(query: FindOrderById, views: Views) -> OrderDetail | None:
    return await views[order_detail].get(query.order_id)


PARTS = (orders, order_detail, find_orders, find_order_by_id)
