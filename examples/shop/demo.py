"""A day in the shop, told step by step: `python -m examples.shop demo`."""

from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from daicho import App, Receipt, Rejected, Row, TraceNode
from examples.shop.app import shop
from examples.shop.catalogue import ASSORTMENT, products
from examples.shop.customer import Address, RegisterCustomer
from examples.shop.inventory import ReceiveStock
from examples.shop.order import CancelOrder, CreateOrder, Order
from examples.shop.tools import daicho, file_of, query, shown
from examples.shop.values import Line
from examples.shop.views.customers import BestCustomers
from examples.shop.views.orders import FindOrderById, orders
from examples.shop.views.products import SalesByProduct
from examples.shop.views.sales import SalesByCountry, SalesByDay
from examples.shop.views.stock import StockOf, stock

__all__ = ["demo"]

RowT = TypeVar("RowT", bound=Row)

DELIVERY = {"pen": 40, "ink": 12, "notebook": 100, "lamp": 3, "desk": 2}


async def demo(store: str, console: Console) -> None:
    """Plays the story in a store that is empty; raises ValueError if it is not."""
    async with shop(store) as app:
        if await app.storage.head():
            raise ValueError(f"there is a shop in {shown(store)} already; the story begins with an empty one")
        await opening(app, console)
        receipt = await ordinary_orders(app, console)
        await traced(app, console, receipt)
        await short_of_stock(app, console)
        await declined(app, console)
        await twice(app, console)
        await refused(app, console)
        await cancelled(app, console)
        await time_travel(app, console)
        await views(app, console)
    farewell(store, receipt, console)


async def opening(app: App, console: Console) -> None:
    console.rule("The shop opens")
    await app.crud(products).put(*ASSORTMENT)
    for sku, quantity in DELIVERY.items():
        await app.send(ReceiveStock(sku=sku, quantity=quantity), actor="warehouse")
    for customer_id, name, city, country in (
        ("c-1", "Aya Sato", "Kyoto", "Japan"),
        ("c-2", "Tom Hill", "Leeds", "United Kingdom"),
    ):
        address = Address(street="1 High St", city=city, postcode="1", country=country)
        email = f"{customer_id}@example.org"
        await app.send(RegisterCustomer(customer_id=customer_id, name=name, email=email, address=address))
    await app.settle()
    show(console, "Catalogue (plain rows: master data needs no events)", await app.crud(products).find())
    show(console, "Stock", await app.views[stock].find(), "sku", "on_hand", "reserved", "available")


async def order(app: App, order_id: str, customer_id: str, country: str, **quantities: int) -> Receipt:
    lines = [Line(sku=sku, quantity=quantity) for sku, quantity in quantities.items()]
    command = CreateOrder(order_id=order_id, customer_id=customer_id, country=country, lines=lines)
    receipt = await app.send(command, actor=customer_id, key=f"click-{order_id}")
    await app.settled(receipt)
    return receipt


async def ordinary_orders(app: App, console: Console) -> Receipt:
    console.rule("Orders come in")
    receipt = await order(app, "o-1", "c-1", "Japan", pen=2, ink=1)
    await order(app, "o-2", "c-2", "United Kingdom", notebook=10)
    await order(app, "o-3", "c-1", "Japan", lamp=1, notebook=3)
    console.print(f"three orders; o-1 was accepted as version {receipt.version} of {receipt.stream}")
    return receipt


async def traced(app: App, console: Console, receipt: Receipt) -> None:
    console.rule("What one order set in motion")
    trace = await app.trace(receipt)
    assert trace is not None
    for root in trace.roots:
        console.print(branch(Tree(label(root)), root))
    console.print(
        f"{trace.commands} commands, {trace.events} events, {trace.seconds * 1000:.0f} ms; nobody called anybody"
    )


def branch(tree: Tree, node: TraceNode) -> Tree:
    for child in node.children:
        branch(tree.add(label(child)), child)
    return tree


def label(node: TraceNode) -> str:
    at = f" [dim]{clock(datetime.fromisoformat(node.at))}[/dim]" if node.at else ""
    if node.kind == "event":
        return f"[green]{node.name}[/green] in {node.stream} v{node.version}{at}"
    sender = f" [dim]by {node.handler}[/dim]" if node.handler else ""
    outcome = "" if node.outcome == "done" else f" [red]{node.outcome}: {node.reason}[/red]"
    return f"[bold]{node.name}[/bold]{sender}{outcome}"


def clock(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")[11:23]


async def short_of_stock(app: App, console: Console) -> None:
    console.rule("Too few lamps")
    await order(app, "o-4", "c-2", "United Kingdom", pen=1, lamp=5)
    await tell(app, console, "o-4")


async def declined(app: App, console: Console) -> None:
    console.rule("Too expensive: the payment is declined, and the stock goes back")
    await order(app, "o-5", "c-2", "United Kingdom", desk=1)
    await tell(app, console, "o-5")
    desks = await app.ask(StockOf(sku="desk"))
    assert desks is not None
    console.print(f"  [green]compensated[/green]: {desks.available} of {desks.on_hand} desks are available again")


async def twice(app: App, console: Console) -> None:
    console.rule("A double click")
    again = await order(app, "o-1", "c-1", "Japan", pen=2, ink=1)
    console.print(f"the same key, so the first answer again: duplicate={again.duplicate}, version {again.version}")


async def refused(app: App, console: Console) -> None:
    console.rule("A command that is refused")
    try:
        await app.send(CancelOrder(order_id="o-4", reason="too late"))
    except Rejected as error:
        console.print(f"CancelOrder: [red]{error}[/red]; nothing was recorded")


async def cancelled(app: App, console: Console) -> None:
    console.rule("An order is cancelled: money and stock go back")
    receipt = await app.send(CancelOrder(order_id="o-3", reason="changed my mind"), actor="c-1")
    await app.settled(receipt)
    await tell(app, console, "o-3")


async def tell(app: App, console: Console, order_id: str) -> None:
    detail = await app.ask(FindOrderById(order_id=order_id))
    assert detail is not None
    for step in detail.steps:
        console.print(f"  [dim]{clock(step.at)}[/dim] {step.what}")


async def time_travel(app: App, console: Console) -> None:
    console.rule("Time travel")
    history = [recorded async for recorded in app.events(stream="order-o-3")]
    before = history[-3]
    for at in (before.version, history[-1].version):
        state = await app.load(Order, "o-3", at=at)
        console.print(f"o-3 at version {at}, after {history[at - 1].type}: [bold]{state.status}[/bold]")
    then = await app.load(Order, "o-3", at=before.occurred_at)
    console.print(f"o-3 at {clock(before.occurred_at)}: [bold]{then.status}[/bold]")


async def views(app: App, console: Console) -> None:
    await app.settle()
    console.rule("The views")
    show(console, "Orders", await app.views[orders].find(), "order_id", "customer_id", "status", "total", "reason")
    show(console, "Stock", await app.views[stock].find(), "sku", "on_hand", "reserved", "available")
    show(console, "Sales by day", await app.ask(SalesByDay()), "day", "documents", "lines", "total")
    countries = await app.ask(SalesByCountry())
    show(console, "Sales by country", countries, "country", "documents", "lines", "total")
    show(console, "Sales by product", await app.ask(SalesByProduct()))
    show(console, "Customers", await app.ask(BestCustomers()), "customer_id", "documents", "lines", "total")


def show(console: Console, title: str, rows: list[RowT], *fields: str) -> None:
    """A table of rows, with all fields or those named."""
    names = fields or (rows[0].__struct_fields__ if rows else ())
    table = Table(*names, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(text(getattr(row, name)) for name in names))
    console.print(table)


def text(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, Decimal | int) else str(value)


def farewell(store: str, receipt: Receipt, console: Console) -> None:
    if store.startswith("memory:"):
        console.rule("It was all in memory, and is gone")
        return
    file = file_of(store)
    console.rule("It is all in one file" if file else "It is all in one database")
    size = f" ({file.stat().st_size / 1024:,.0f} KiB)" if file else ""
    console.print(f"{shown(store)}{size}. Try:\n", highlight=False, soft_wrap=True, markup=False)
    for line in (
        query(store, "orders"),
        daicho(store, f"trace {receipt.correlation_id}"),
        daicho(store, "show order-o-3 --at 2"),
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
