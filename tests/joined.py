"""A view made of two, for tests: orders that show the names of their customers, and the same by plain bookkeeping."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from daicho import Aggregate, App, Command, Event, Query, Row, Views, apply, handle, join, projection, query_handler


class Place(Command):
    order_id: str
    customer_id: str | None
    amount: int = 1


class Move(Command):
    """To another customer."""

    order_id: str
    customer_id: str | None


class Drop(Command):
    order_id: str


class PlaceMany(Command):
    """Of one each, `<order_id>.0` and so on."""

    order_id: str
    customer_id: str
    many: int


class Name(Command):
    customer_id: str
    name: str


class Leave(Command):
    customer_id: str


class Placed(Event, name="order.placed"):
    order_id: str
    customer_id: str | None
    amount: int


class Moved(Event, name="order.moved"):
    order_id: str
    customer_id: str | None


class Dropped(Event, name="order.dropped"):
    order_id: str


class Named(Event, name="customer.named"):
    customer_id: str
    name: str


class Left(Event, name="customer.left"):
    customer_id: str


class Order(Aggregate, category="order", key="order_id"):
    changes: int = 0

    @handle
    def place(self, command: Place) -> Iterator[Placed]:
        yield Placed(order_id=command.order_id, customer_id=command.customer_id, amount=command.amount)

    @handle
    def place_many(self, command: PlaceMany) -> Iterator[Placed]:
        for n in range(command.many):
            yield Placed(order_id=f"{command.order_id}.{n}", customer_id=command.customer_id, amount=1)

    @handle
    def move(self, command: Move) -> Iterator[Moved]:
        yield Moved(order_id=command.order_id, customer_id=command.customer_id)

    @handle
    def drop(self, command: Drop) -> Iterator[Dropped]:
        yield Dropped(order_id=command.order_id)

    @apply
    def changed(self, _: Placed | Moved | Dropped) -> None:
        self.changes += 1


class Customer(Aggregate, category="customer", key="customer_id"):
    changes: int = 0

    @handle
    def name(self, command: Name) -> Iterator[Named]:
        yield Named(customer_id=command.customer_id, name=command.name)

    @handle
    def leave(self, command: Leave) -> Iterator[Left]:
        yield Left(customer_id=command.customer_id)

    @apply
    def changed(self, _: Named | Left) -> None:
        self.changes += 1


class OrderRow(Row, index=("amount",), search=("order_id",)):
    order_id: str
    customer_id: str | None
    amount: int
    changes: int


class CustomerRow(Row, index=("name",)):
    customer_id: str
    name: str
    names: int


class NamedOrder(Row, index=("name",)):
    """`changes` and `names` count: an event that is taken twice shows."""

    order_id: str
    name: str | None
    amount: int
    changes: int
    names: int


poison: set[object] = set()
"""An amount that the orders cannot take, a name that the customers cannot, a customer that `on` cannot, an order and a
name that cannot be joined."""


def unpoisoned(value: object) -> None:
    if value in poison:
        raise ValueError(f"{value!r} is poison")


@projection("orders", key=lambda e: e.order_id)
def orders(row: OrderRow | None, event: Placed | Moved | Dropped) -> OrderRow | None:
    changes = row.changes + 1 if row else 1
    if isinstance(event, Placed):
        unpoisoned(event.amount)
        return OrderRow(order_id=event.order_id, customer_id=event.customer_id, amount=event.amount, changes=changes)
    if isinstance(event, Dropped) or row is None:
        return None
    return OrderRow(order_id=row.order_id, customer_id=event.customer_id, amount=row.amount, changes=changes)


@projection("customers", key=lambda e: e.customer_id)
def customers(row: CustomerRow | None, event: Named | Left) -> CustomerRow | None:
    if isinstance(event, Left):
        return None
    unpoisoned(event.name)
    return CustomerRow(customer_id=event.customer_id, name=event.name, names=row.names + 1 if row else 1)


def customer_of(order: OrderRow) -> str | None:
    unpoisoned(("on", order.customer_id))
    return order.customer_id


@join("orders_with_names", orders, customers, on=customer_of)
def orders_with_names(order: OrderRow, customer: CustomerRow | None) -> NamedOrder | None:
    """Orders of nothing are not shown, nor are those of who is called "nobody"."""
    name = customer.name if customer else None
    unpoisoned((order.order_id, name))
    if order.amount == 0 or name == "nobody":
        return None
    return NamedOrder(
        order_id=order.order_id,
        name=name,
        amount=order.amount,
        changes=order.changes,
        names=customer.names if customer else 0,
    )


class Ask(Query[list[NamedOrder]]):
    pass


@query_handler
async def ask_orders(_: Ask, views: Views) -> list[NamedOrder]:
    return await views[orders_with_names].find()


def shop(store: str, place: str | None = None, **how: Any) -> App:
    """The rows of the join at `place`, if not with the events."""
    parts = (Order, Customer, orders_with_names, ask_orders)
    return App(*parts, store=store, views={orders_with_names: place} if place else None, **how)


Shown = dict[str, tuple[str | None, int, int, int]]
"""Name, amount, changes and names by order."""


async def shown(app: App, after: Any = None) -> Shown:
    return {
        row.order_id: (row.name, row.amount, row.changes, row.names)
        for row in await app.ask(Ask(), after=after, within=30)
    }


async def sent(app: App, commands: Iterable[Command]) -> Any:
    receipt = None
    for command in commands:
        receipt = await app.send(command)
    return receipt


def expected(commands: Iterable[Command]) -> Shown:
    """By plain bookkeeping: everything first, the join last."""
    found: dict[str, tuple[str | None, int, int]] = {}
    names: dict[str, tuple[str, int]] = {}
    for command in commands:
        match command:
            case Place(order_id=order, customer_id=customer, amount=amount):
                found[order] = (customer, amount, found[order][2] + 1 if order in found else 1)
            case Move(order_id=order, customer_id=customer) if order in found:
                found[order] = (customer, found[order][1], found[order][2] + 1)
            case Drop(order_id=order):
                found.pop(order, None)
            case Name(customer_id=customer, name=name):
                names[customer] = (name, names[customer][1] + 1 if customer in names else 1)
            case Leave(customer_id=customer):
                names.pop(customer, None)
            case _:
                pass
    return dict(_joined(found, names))


def _joined(
    found: Mapping[str, tuple[str | None, int, int]], names: Mapping[str, tuple[str, int]]
) -> Iterator[tuple[str, tuple[str | None, int, int, int]]]:
    for order, (customer, amount, changes) in found.items():
        name, times = names.get(customer or "", (None, 0))
        if amount and name != "nobody":
            yield order, (name, amount, changes, times)
