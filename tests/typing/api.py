"""What a type checker knows about code that uses Daicho. Checked by mypy --strict and pyright strict, never run."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any, assert_type

from daicho import (
    Aggregate,
    App,
    Change,
    Command,
    CommandOutcome,
    Compensate,
    Crud,
    Deadline,
    Decider,
    Done,
    Event,
    EventHandler,
    Join,
    Process,
    Projection,
    Query,
    Receipt,
    RecordedEvent,
    Row,
    Scheduled,
    SqlProjection,
    State,
    Trace,
    View,
    Views,
    apply,
    compensate,
    deadline,
    event_handler,
    handle,
    join,
    on,
    projection,
    query_handler,
    refused,
    replace,
    sql_projection,
    start,
)
from daicho.flow.process_admin import ProcessCount, ProcessStory
from daicho.read.crud import CrudTable
from daicho.testing import given


class Add(Command):
    cart: str
    sku: str
    quantity: int = 1


class Added(Event, name="cart.added", version=2, tags=("sku",)):
    cart: str
    sku: str
    quantity: int


class Cart(Aggregate, category="cart", key="cart"):
    count: int = 0

    @handle
    def add(self, command: Add) -> Iterator[Added]:
        assert_type(command.quantity, int)
        yield Added(cart=command.cart, sku=command.sku, quantity=command.quantity)

    @apply
    def added(self, event: Added) -> None:
        self.count += event.quantity


class Shopping(Process, category="shopping", key="cart", version=1, attempts=3):
    seen: int = 0

    @start
    def begun(self, event: Added) -> Iterator[Add | Deadline]:
        assert_type(event.sku, str)
        yield Add(cart=self.id, sku=event.sku)
        yield Deadline.set("end", after=timedelta(days=1))

    @on(late=True, key=lambda event: event.cart)
    def more(self, event: Added) -> None:
        self.seen += event.quantity

    @deadline("end")
    def ended(self) -> Iterator[Done | Compensate]:
        yield Done() if self.seen else Compensate("forgotten")

    @refused
    def full(self, command: Add, reason: str) -> Iterator[Compensate]:
        yield Compensate(f"{command.sku}: {reason}")

    @compensate
    def undo(self, command: Add) -> Add | None:
        return None


class Total(State):
    count: int = 0


def decide(command: Add, state: Total) -> list[Added]:
    return [Added(cart=command.cart, sku=command.sku, quantity=command.quantity)]


def evolve(state: Total, event: Added) -> Total:
    return replace(state, count=state.count + event.quantity)


total = Decider("total", initial=Total(), decide=decide, evolve=evolve, identify=lambda command: command.cart)
assert_type(total, Decider[Add, Total, Added])


class CartRow(Row):
    cart: str
    count: int = 0


@projection("carts", key=lambda event: event.cart)
def carts(row: CartRow | None, event: Added) -> CartRow | None:
    return replace(row or CartRow(cart=event.cart), count=event.quantity)


assert_type(carts, Projection[CartRow])

counted = sql_projection(
    "counted",
    row=CartRow,
    events=[Added],
    sql={"sqlite": "insert into {table} (_key) select stream from {events}", "postgresql": ["...", "..."]},
)
assert_type(counted, SqlProjection[CartRow])


class NamedRow(Row):
    cart: str
    name: str | None = None


@projection("names", key=lambda event: event.sku)
def names(row: NamedRow | None, event: Added) -> NamedRow | None:
    return NamedRow(cart=event.cart)


@join("named_carts", carts, names, on=lambda cart: cart.cart or None)
def named_carts(cart: CartRow, named: NamedRow | None) -> NamedRow | None:
    return named and NamedRow(cart=cart.cart, name=named.name)


assert_type(named_carts, Join[NamedRow])


class Product(Row):
    sku: str


products = Crud(Product, key="sku")
assert_type(products, Crud[Product])


class FindCarts(Query[list[CartRow]]):
    sku: str


class FindCart(Query[CartRow | None]):
    cart: str


@query_handler
async def find_carts(query: FindCarts, views: Views) -> list[CartRow]:
    assert_type(views[carts], View[CartRow])
    assert_type(views[counted], View[CartRow])
    assert_type(await views[carts].get("c"), CartRow | None)
    assert_type(await views[carts].get_many(["c"]), dict[str, CartRow])
    assert_type(await views[products].find(order_by="sku"), list[Product])
    return await views[carts].find(sku=query.sku)


@event_handler
def follow(event: Added) -> Iterator[Add]:
    yield Add(cart=event.cart, sku="gift")


@event_handler
async def mail(event: Added) -> None: ...


@event_handler(name="mail_again", from_start=True)
async def again(event: Added) -> None: ...


assert_type(follow, EventHandler)
assert_type(mail, EventHandler)
assert_type(again, EventHandler)
assert_type(replace(Add(cart="c", sku="s"), quantity=2), Add)

app = App(Cart, total, carts, find_carts, follow, mail, again, products, store="memory:")


async def use() -> None:
    async with app as running:
        assert_type(running, App)
        receipt = await app.send(Add(cart="c", sku="s"))
        assert_type(receipt, Receipt)
        assert_type(receipt.events, tuple[Event, ...])
        assert_type(await app.post(Add(cart="c", sku="s")), str)
        assert_type(await app.status("id"), CommandOutcome | None)
        assert_type(await app.ask(FindCarts(sku="s")), list[CartRow])
        assert_type(await app.ask(FindCart(cart="c"), after=receipt, within=1.0), CartRow | None)
        assert_type(app.watch(FindCarts(sku="s")), AsyncIterator[Change[list[CartRow]]])
        async for change in app.watch(FindCart(cart="c"), after=receipt):
            assert_type(change.answer, CartRow | None)
        assert_type(await app.load(Cart, "c"), Cart)
        assert_type(await app.load(total, "c", at=3), Total)
        assert_type(app.views[carts], View[CartRow])
        assert_type(await app.views[carts].find(), list[CartRow])
        assert_type(app.crud(products), CrudTable[Product])
        assert_type(await app.crud(products).get("s"), Product | None)
        assert_type(app.events(), AsyncIterator[RecordedEvent[Any]])
        assert_type(await app.trace(receipt), Trace | None)
        assert_type(await app.schedule(Add(cart="c", sku="s"), after=timedelta(1), every=timedelta(1)), str)
        assert_type(await app.schedules(), list[Scheduled])
        assert_type(await app.processes.list(), Sequence[ProcessCount])
        assert_type(await app.processes.show("shopping", "c"), ProcessStory)
        given(Shopping).when(Added(cart="c", sku="s", quantity=1)).then(Add(cart="c", sku="s"))


def use_synchronously() -> None:
    with app.sync() as shop:
        assert_type(shop.send(Add(cart="c", sku="s")), Receipt)
        assert_type(shop.ask(FindCarts(sku="s")), list[CartRow])
        assert_type(shop.ask(FindCart(cart="c")), CartRow | None)
        assert_type(shop.watch(FindCarts(sku="s")), Iterator[Change[list[CartRow]]])
        assert_type(shop.load(Cart, "c"), Cart)
        assert_type(shop.load(total, "c"), Total)
        assert_type(shop.views[carts].get("c"), CartRow | None)
        assert_type(shop.crud(products).get("s"), Product | None)


def what_is_wrong_is_told() -> None:
    """Each line is an error; that it is ignored only where it is needed is checked too."""
    Add(cart="c")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Add(cart="c", sku="s", quantity="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Add(cart="c", sku="s").sku = "t"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
