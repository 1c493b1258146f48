"""The whole cycle of the reference application, on every store."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from daicho import App, Receipt, Rejected
from examples.shop.app import shop
from examples.shop.catalogue import ASSORTMENT, products
from examples.shop.customer import Address, ChangeAddress, RegisterCustomer
from examples.shop.inventory import ReceiveStock
from examples.shop.order import AddOrderLine, CancelOrder, ConfirmOrder, CreateOrder, Order
from examples.shop.payment import payment
from examples.shop.values import Line
from examples.shop.views.customers import ContactOf, CustomerHistory
from examples.shop.views.orders import FindOrderById, FindOrders
from examples.shop.views.products import SalesByProduct
from examples.shop.views.sales import SalesByCountry, SalesByDay, SalesByMonth, SalesInAll
from examples.shop.views.stock import StockOf

Story = Callable[[App], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story in a shop of its own, with stock on the shelves and an eye on parked events."""
    if request.param == "postgresql":
        store: str = request.getfixturevalue("postgres_url")
    else:
        store = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"

    async def scene(story: Story) -> None:
        async with shop(store, credit_limit=Decimal(500)) as app:
            for sku, quantity in (("pen", 10), ("ink", 2), ("desk", 1)):
                await app.send(ReceiveStock(sku=sku, quantity=quantity))
            await story(app)
            await app.settle()
            assert not await app.dead_letters.list()

    return lambda story: asyncio.run(scene(story))


async def order(app: App, order_id: str = "o-1", **quantities: int) -> Receipt:
    lines = [Line(sku=sku, quantity=quantity) for sku, quantity in quantities.items()]
    receipt = await app.send(CreateOrder(order_id=order_id, customer_id="c-1", country="Japan", lines=lines))
    await app.settled(receipt)
    return receipt


async def available(app: App, sku: str) -> int:
    row = await app.ask(StockOf(sku=sku))
    assert row is not None
    return row.available


async def status(app: App, order_id: str = "o-1") -> str:
    return (await app.load(Order, order_id)).status


async def types(app: App, receipt: Receipt) -> list[str]:
    return sorted([recorded.type async for recorded in app.events(correlation=receipt.correlation_id)])


def test_confirmed(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        receipt = await order(app, pen=3, ink=1)
        assert await status(app) == "confirmed"
        assert (await app.load(payment, "o-1")).status == "captured"
        assert (await available(app, "pen"), await available(app, "ink")) == (7, 1)
        assert await types(app, receipt) == [
            "inventory.reserved",
            "inventory.reserved",
            "order.confirmed",
            "order.created",
            "order.line_reserved",
            "order.line_reserved",
            "order.reserved",
            "payment.authorised",
            "payment.captured",
        ]
        (row,) = await app.ask(FindOrders(status="confirmed"))
        assert (row.order_id, row.total, row.lines) == ("o-1", Decimal("83.30"), 2)

    play(story)


def test_short_of_stock_gives_back_what_was_put_aside(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        receipt = await order(app, pen=3, ink=5)
        assert await status(app) == "rejected"
        assert (await app.load(payment, "o-1")).status == "absent"
        assert (await available(app, "pen"), await available(app, "ink")) == (10, 2)
        assert await types(app, receipt) == [
            "inventory.released",
            "inventory.reserved",
            "inventory.short",
            "order.created",
            "order.line_reserved",
            "order.line_short",
            "order.rejected",
        ]
        (row,) = await app.ask(FindOrders(status="rejected"))
        assert row.reason == "not enough stock of ink"

    play(story)


def test_declined_payment_gives_back_the_stock(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        receipt = await order(app, desk=1, pen=1)
        assert await status(app) == "rejected"
        assert (await app.load(payment, "o-1")).status == "declined"
        assert (await available(app, "desk"), await available(app, "pen")) == (1, 10)
        assert (await types(app, receipt)).count("inventory.released") == 2
        (row,) = await app.ask(FindOrders(status="rejected"))
        assert row.reason == "1314.50 is over the limit of 500"

    play(story)


def test_cancelled_gives_back_stock_and_money(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        await order(app, pen=3)
        await app.settled(await app.send(CancelOrder(order_id="o-1", reason="changed my mind")))
        assert await status(app) == "cancelled"
        assert (await app.load(payment, "o-1")).status == "refunded"
        assert await available(app, "pen") == 10
        totals = await app.ask(SalesInAll())
        assert (totals.documents, totals.total) == (2, Decimal("0.00"))
        detail = await app.ask(FindOrderById(order_id="o-1"))
        assert detail is not None
        # two handlers tell of the cancellation, each at its own pace
        assert [step.what for step in detail.steps][-2:] == ["cancelled: changed my mind", "73.50 given back"]
        await app.settled(await app.send(CancelOrder(order_id="o-1", reason="again")))
        assert await available(app, "pen") == 10

    play(story)


def test_nothing_happens_twice_under_one_key(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        command = CreateOrder(order_id="o-1", customer_id="c-1", country="Japan", lines=[Line(sku="pen", quantity=3)])
        first = await app.send(command, key="click-1")
        again = await app.send(command, key="click-1")
        await app.settled(first)
        assert (first.duplicate, again.duplicate, again.position) == (False, True, first.position)
        assert await available(app, "pen") == 7
        with pytest.raises(Rejected, match="already exists"):
            await app.send(command)

    play(story)


def test_a_further_line_is_waited_for(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        first = await app.send(
            CreateOrder(order_id="o-1", customer_id="c-1", country="Japan", lines=[Line(sku="pen", quantity=1)])
        )
        try:
            added = await app.send(AddOrderLine(order_id="o-1", line=Line(sku="ink", quantity=1)))
        except Rejected:  # everything was reserved already: the reactions were faster
            pass
        else:
            await app.settled(added)
        await app.settled(first)
        await app.settle()
        assert await status(app) == "confirmed"

    play(story)


def test_confirming_by_hand_is_refused_once_it_is_over(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        await order(app, ink=5)
        with pytest.raises(Rejected, match="an order that is rejected cannot be confirmed"):
            await app.send(ConfirmOrder(order_id="o-1"))

    play(story)


def test_views_answer_every_question(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        long_ago = datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
        lines = [Line(sku="pen", quantity=2), Line(sku="ink", quantity=1)]
        receipt = await app.send(
            CreateOrder(order_id="o-1", customer_id="c-1", country="Japan", lines=lines), occurred_at=long_ago
        )
        await app.settled(receipt)
        (day,) = await app.ask(SalesByDay(), after=receipt)
        assert (day.day, day.documents, day.lines, day.total) == ("2011-12-09", 1, 2, Decimal("58.80"))
        (month,) = await app.ask(SalesByMonth())
        assert (month.month, month.total) == ("2011-12", Decimal("58.80"))
        (country,) = await app.ask(SalesByCountry())
        assert (country.country, country.total) == ("Japan", Decimal("58.80"))
        best, second = await app.ask(SalesByProduct())
        assert ((best.sku, best.quantity), (second.sku, second.quantity)) == (("pen", 2), ("ink", 1))
        history = await app.ask(CustomerHistory(customer_id="c-1"))
        assert history is not None
        assert (history.documents, history.lines, history.total, history.last_at) == (1, 2, Decimal("58.80"), long_ago)

    play(story)


def test_customers_and_catalogue(play: Callable[[Story], None]) -> None:
    async def story(app: App) -> None:
        kyoto = Address(street="1 Teramachi", city="Kyoto", postcode="604-8091", country="Japan")
        leeds = Address(street="2 Albion St", city="Leeds", postcode="LS1 5ER", country="United Kingdom")
        await app.send(RegisterCustomer(customer_id="c-1", name="Aya Sato", email="aya@example.org", address=kyoto))
        receipt = await app.send(ChangeAddress(customer_id="c-1", address=leeds))
        contact = await app.ask(ContactOf(customer_id="c-1"), after=receipt)
        assert contact is not None
        assert (contact.name, contact.address) == ("Aya Sato", leeds)
        async for recorded in app.events(category="customer"):
            assert "aya" not in recorded.stream.lower()
            assert recorded.tags == ()
        await app.crud(products).put(*ASSORTMENT)
        assert [row.sku for row in await app.views[products].find(order_by="sku")] == sorted(p.sku for p in ASSORTMENT)

    play(story)
