"""Daicho in one file: orders and stock, from the command to the query. Run it: `python examples/quickstart.py`."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daicho import (
    Aggregate,
    App,
    Command,
    Event,
    Query,
    Rejected,
    Route,
    Row,
    Views,
    apply,
    event_handler,
    handle,
    projection,
    query_handler,
    replace,
)
from daicho.testing import given

# ── Messages: what may be asked for, and what can have happened ───────────────────────────────────────────────────


class CreateOrder(Command):
    order_id: str
    sku: str
    quantity: int


class UpdateOrderStatus(Command):
    order_id: str
    confirmed: bool
    reason: str = ""


class ReceiveStock(Command):
    sku: str
    quantity: int


class ReserveInventory(Command):
    sku: str
    order_id: str
    quantity: int


class OrderCreated(Event, name="order.created", version=1):  # the stored name never depends on a module path
    order_id: str
    sku: str
    quantity: int


class OrderConfirmed(Event, name="order.confirmed", version=1):
    order_id: str


class OrderRejected(Event, name="order.rejected", version=1):
    order_id: str
    reason: str


class StockReceived(Event, name="inventory.received", version=1):
    sku: str
    quantity: int


class InventoryReserved(Event, name="inventory.reserved", version=1):
    sku: str
    order_id: str
    quantity: int


class InventoryShort(Event, name="inventory.short", version=1):
    sku: str
    order_id: str
    available: int


# ── Write side: `yield` records an event and applies it before going on; `raise Rejected` refuses ─────────────────


class Order(Aggregate, category="order", key="order_id"):
    status: str = "absent"

    @handle
    def create(self, command: CreateOrder) -> Iterator[OrderCreated]:
        if self.status != "absent":
            raise Rejected("order already exists")
        yield OrderCreated(order_id=command.order_id, sku=command.sku, quantity=command.quantity)

    @handle
    def update_status(self, command: UpdateOrderStatus) -> Iterator[OrderConfirmed | OrderRejected]:
        if self.status == "pending" and command.confirmed:
            yield OrderConfirmed(order_id=command.order_id)
        elif self.status == "pending":
            yield OrderRejected(order_id=command.order_id, reason=command.reason)

    @apply
    def created(self, _: OrderCreated) -> None:
        self.status = "pending"

    @apply
    def confirmed(self, _: OrderConfirmed) -> None:
        self.status = "confirmed"

    @apply
    def rejected(self, _: OrderRejected) -> None:
        self.status = "rejected"


class Inventory(Aggregate, category="inventory", key="sku"):
    available: int = 0

    @handle
    def receive(self, command: ReceiveStock) -> Iterator[StockReceived]:
        yield StockReceived(sku=command.sku, quantity=command.quantity)

    @handle
    def reserve(self, command: ReserveInventory) -> Iterator[InventoryReserved | InventoryShort]:
        if command.quantity <= self.available:
            yield InventoryReserved(sku=command.sku, order_id=command.order_id, quantity=command.quantity)
        else:
            yield InventoryShort(sku=command.sku, order_id=command.order_id, available=self.available)

    @apply
    def received(self, event: StockReceived) -> None:
        self.available += event.quantity

    @apply
    def reserved(self, event: InventoryReserved) -> None:
        self.available -= event.quantity

    @apply
    def short(self, _: InventoryShort) -> None:
        pass


# ── Between the sides: events in, commands out; nobody calls anybody ──────────────────────────────────────────────


@event_handler
def reserve_inventory(event: OrderCreated) -> Iterator[ReserveInventory]:
    yield ReserveInventory(sku=event.sku, order_id=event.order_id, quantity=event.quantity)


@event_handler
def settle_order(event: InventoryReserved | InventoryShort) -> Iterator[UpdateOrderStatus]:
    match event:
        case InventoryReserved(order_id=order_id):
            yield UpdateOrderStatus(order_id=order_id, confirmed=True)
        case InventoryShort(order_id=order_id, available=available):
            yield UpdateOrderStatus(order_id=order_id, confirmed=False, reason=f"only {available} left")


# ── Read side: a fold of events into rows, and a query typed by its answer ────────────────────────────────────────


class OrderRow(Row):
    order_id: str
    sku: str
    quantity: int
    status: str = "pending"
    reason: str = ""


@projection("orders", key=lambda event: event.order_id)
def orders(row: OrderRow | None, event: OrderCreated | OrderConfirmed | OrderRejected) -> OrderRow | None:
    match event:
        case OrderCreated(order_id=order_id, sku=sku, quantity=quantity):
            return OrderRow(order_id=order_id, sku=sku, quantity=quantity)
        case OrderConfirmed():
            return row and replace(row, status="confirmed")
        case OrderRejected(reason=reason):
            return row and replace(row, status="rejected", reason=reason)


class FindOrders(Query[list[OrderRow]]):
    status: str


@query_handler
async def find_orders(query: FindOrders, views: Views) -> list[OrderRow]:
    return await views[orders].find(status=query.status)


# ── All together ──────────────────────────────────────────────────────────────────────────────────────────────────


def shop(store: str = "sqlite:///shop.db") -> App:
    return App(
        Order, Inventory, reserve_inventory, settle_order, orders, find_orders,
        Route("POST", "/orders", CreateOrder), Route("GET", "/orders", FindOrders), store=store,
    )  # fmt: skip


async def story(store: str) -> None:
    async with shop(store) as app:
        await app.send(ReceiveStock(sku="pen", quantity=4))
        receipt = await app.send(CreateOrder(order_id="o-1", sku="pen", quantity=3), key="click-1")
        again = await app.send(CreateOrder(order_id="o-1", sku="pen", quantity=3), key="click-1")
        print(f"ordered: {receipt.events[0]}\nclicked twice: the same command again, duplicate={again.duplicate}")
        await app.settled(receipt)  # everything it caused has been handled
        await app.settled(await app.send(CreateOrder(order_id="o-2", sku="pen", quantity=3)))
        for status in ("confirmed", "rejected"):
            rows = await app.ask(FindOrders(status=status))  # inferred: list[OrderRow]
            print(f"{status}:", *[f"{row.order_id} {row.reason}" for row in rows])
        old = await app.load(Order, "o-1", at=1)  # or at=datetime: time travel
        print("o-1 was", old.status, "and is", (await app.load(Order, "o-1")).status)
        async for recorded in app.events(correlation=receipt.correlation_id):
            print(f"  {recorded.position:>3}  {recorded.stream:<14} {recorded.type}")


def main() -> None:
    created = OrderCreated(order_id="o-1", sku="pen", quantity=3)
    given(Order, created).when(UpdateOrderStatus(order_id="o-1", confirmed=True)).then(OrderConfirmed(order_id="o-1"))
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'shop.db'}"
        asyncio.run(story(store))
        with shop(store).sync() as app:  # the same, for synchronous code; the history is still there
            app.send(ReceiveStock(sku="pen", quantity=10))
            print("stock of pens:", app.load(Inventory, "pen").available)


if __name__ == "__main__":
    main()
