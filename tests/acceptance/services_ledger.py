"""The shop of three services for tests, and the books that its customers keep: what they ordered and paid.

The books know nothing of what the services believe of themselves; they are compared with the events of each register.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from daicho import App
from examples.services import inventory, orders, payments

__all__ = ["Books", "Customers", "happened"]


@dataclass
class Books:
    """What was put on the shelves, what was ordered, and who paid."""

    stock: Counter[str] = field(default_factory=Counter[str])
    ordered: dict[str, orders.PlaceOrder] = field(default_factory=dict[str, orders.PlaceOrder])
    paid: dict[str, int] = field(default_factory=dict[str, int])

    async def balance(self, order: App, depot: App, money: App, *others: App) -> dict[str, str]:
        """How each order ended. Each did, in one way, with the stock and the money that belong to it; no effect of
        anything stands twice in any register."""
        found = Counter[tuple[str, str]]()
        for app in (order, depot, money, *others):
            found += await happened(app)
        assert {key: times for key, times in found.items() if times != 1} == {}, "an effect stands twice"
        assert {order_id for order_id, _ in found} == self.ordered.keys() | self.paid.keys()
        ends, sold, kept = dict[str, str](), Counter[str](), 0
        for order_id, asked in self.ordered.items():
            did = {what for whose, what in found if whose == order_id}
            assert "order.placed" in did
            end = did & {"order.confirmed", "order.cancelled"}
            assert len(end) == 1, (order_id, did)
            ends[order_id] = end.pop().removeprefix("order.")
            is_sold = ends[order_id] == "confirmed"
            assert ("stock.deducted" in did) == is_sold, (order_id, did)
            assert ("stock.released" in did) == ("stock.reserved" in did and not is_sold), (order_id, did)
            assert ("payment.received" in did) == (order_id in self.paid), (order_id, did)
            assert ("payment.refunded" in did) == (order_id in self.paid and not is_sold), (order_id, did)
            assert ("parcel.shipped" in did) == (is_sold and bool(others)), (order_id, did)
            sold[asked.sku] += asked.quantity if is_sold else 0
            kept += asked.cents if is_sold else 0
        for sku, received in self.stock.items():
            shelf = await depot.load(inventory.Shelf, sku)
            assert (shelf.free, shelf.reserved) == (received - sold[sku], {})
        assert kept == await _takings(money)
        assert [await app.dead_letters.list() for app in (order, depot, money, *others)] == [[]] * (3 + len(others))
        return ends


async def happened(app: App) -> Counter[tuple[str, str]]:
    """Own events of a service about an order, by order and type, with how often each stands in its register."""
    found = Counter[tuple[str, str]]()
    async for record in app.events():
        if "source" not in record.metadata and hasattr(record.event, "order_id"):
            found[record.event.order_id, record.type] += 1
    return found


async def _takings(money: App) -> int:
    """Cents received and not paid back."""
    flows = defaultdict[str, int](int)
    async for record in money.events():
        if record.type in ("payment.received", "payment.refunded"):
            flows[record.type] += record.event.cents
    return flows["payment.received"] - flows["payment.refunded"]


@dataclass
class Customers:
    """They order and pay, and write it down. Whatever they ask twice counts once."""

    books: Books
    order: App
    depot: App
    money: App

    async def stock(self, sku: str, quantity: int) -> None:
        self.books.stock[sku] = quantity
        await self.depot.send(inventory.Receive(sku=sku, quantity=quantity), key=f"stock {sku}")

    async def place(self, order_id: str, sku: str = "tea", quantity: int = 1, cents: int = 900) -> None:
        asked = orders.PlaceOrder(order_id=order_id, sku=sku, quantity=quantity, cents=cents)
        self.books.ordered[order_id] = asked
        await self.order.send(asked, key=f"place {order_id}")

    async def pay(self, order_id: str, cents: int = 900) -> None:
        self.books.paid[order_id] = cents
        await self.money.send(payments.ReceivePayment(order_id=order_id, cents=cents), key=f"pay {order_id}")
