"""The folds behind the views, told by given / then_rows."""

from datetime import UTC, datetime
from decimal import Decimal

from daicho.testing import given
from examples.shop.customer import Address, CustomerMoved, CustomerRegistered, EmailChanged
from examples.shop.inventory import (
    InventoryDeducted,
    InventoryReleased,
    InventoryReserved,
    InventoryReturned,
    StockCounted,
    StockReceived,
    StockWrittenOff,
)
from examples.shop.invoice import AdjustmentImported, CreditNoteImported, InvoiceLine, OrderImported, WriteOffImported
from examples.shop.order import (
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderLineAdded,
    OrderLineReserved,
    OrderLineShort,
    OrderRejected,
    OrderReserved,
)
from examples.shop.payment import PaymentAuthorised, PaymentCaptured, PaymentDeclined, PaymentRefunded
from examples.shop.values import PricedLine
from examples.shop.views.customers import Contact, CustomerSales, contacts, customer_history
from examples.shop.views.invoices import InvoiceRow, invoices
from examples.shop.views.orders import OrderDetail, OrderRow, Step, order_detail, orders
from examples.shop.views.products import ProductSales, sales_by_product
from examples.shop.views.sales import (
    CountrySales,
    DaySales,
    MonthSales,
    Totals,
    sales_by_country,
    sales_by_day,
    sales_by_month,
    totals,
)
from examples.shop.views.stock import StockRow, stock

NOW = datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
LINES = [PricedLine(sku="pen", quantity=2, unit_price=Decimal("24.50"))]
INK = PricedLine(sku="ink", quantity=1, unit_price=Decimal("9.80"))

created = OrderCreated(order_id="o-1", customer_id="c-1", country="Japan", lines=LINES, total=Decimal("49.00"))
added = OrderLineAdded(order_id="o-1", customer_id="c-1", line=INK, total=Decimal("58.80"))
reserved = OrderReserved(order_id="o-1", customer_id="c-1", total=Decimal("58.80"))
confirmed = OrderConfirmed(
    order_id="o-1", customer_id="c-1", country="Japan", lines=LINES, total=Decimal("49.00"), paid_by="card"
)
cancelled = OrderCancelled(
    order_id="o-1", customer_id="c-1", country="Japan", lines=LINES, total=Decimal("49.00"), reason="no need"
)
rejected = OrderRejected(order_id="o-1", customer_id="c-1", reason="no ink", reserved=[])

old_line = InvoiceLine(sku="pen", name="PEN", quantity=3, unit_price=Decimal("2.10"))
sold = OrderImported(
    invoice="1",
    customer_id="c-1",
    country="France",
    lines=[old_line, old_line, InvoiceLine(sku="ink", name="INK", quantity=1, unit_price=Decimal("0.5"))],
    total=Decimal("13.10"),
)
returned = CreditNoteImported(
    invoice="C2",
    customer_id=None,
    country="France",
    lines=[InvoiceLine(sku="pen", name="PEN", quantity=-1, unit_price=Decimal("2.10"))],
    total=Decimal("-2.10"),
)


class TestOrderList:
    row = OrderRow(
        order_id="o-1",
        customer_id="c-1",
        country="Japan",
        status="pending",
        lines=1,
        total=Decimal("49.00"),
        placed_at=NOW,
    )

    def test_follows_the_order(self) -> None:
        view = given(orders, created, now=NOW)
        view.then_rows({"o-1": self.row})
        view.when(added, reserved, confirmed)
        assert (view.rows["o-1"].status, view.rows["o-1"].lines) == ("confirmed", 2)  # type: ignore[attr-defined]

    def test_says_why_not(self) -> None:
        for end, status in ((rejected, "rejected"), (cancelled, "cancelled")):
            view = given(orders, created, end, now=NOW)
            row = view.rows["o-1"]
            assert isinstance(row, OrderRow)
            assert (row.status, row.reason) == (status, end.reason)

    def test_without_a_beginning_there_is_no_row(self) -> None:
        given(orders, confirmed).then_rows({})
        given(order_detail, confirmed).then_rows({})


def test_order_detail_tells_the_whole_story() -> None:
    events = (
        created,
        added,
        OrderLineReserved(order_id="o-1", sku="pen"),
        OrderLineShort(order_id="o-1", sku="ink", reason="only 0 left"),
        reserved,
        PaymentAuthorised(order_id="o-1", customer_id="c-1", amount=Decimal("58.80")),
        PaymentDeclined(order_id="o-1", customer_id="c-1", amount=Decimal("58.80"), reason="too much"),
        confirmed,
        PaymentCaptured(order_id="o-1", customer_id="c-1", amount=Decimal("58.80")),
        cancelled,
        PaymentRefunded(order_id="o-1", customer_id="c-1", amount=Decimal("58.80"), reason="no need"),
        rejected,
    )
    told = (
        "ordered",
        "added 1 x ink",
        "put aside pen",
        "not enough ink: only 0 left",
        "everything is put aside",
        "payment of 58.80 authorised",
        "payment declined: too much",
        "confirmed, paid by card",
        "58.80 paid",
        "cancelled: no need",
        "58.80 given back",
        "rejected: no ink",
    )
    detail = OrderDetail(
        order_id="o-1",
        customer_id="c-1",
        country="Japan",
        lines=[*LINES, INK],
        total=Decimal("58.80"),
        steps=[Step(at=NOW, what=what) for what in told],
    )
    given(order_detail, *events, now=NOW).then_rows({"o-1": detail})


def test_stock_tells_where_everything_went() -> None:
    given(
        stock,
        StockReceived(sku="pen", quantity=20),
        InventoryReserved(sku="pen", order_id="o-1", quantity=5),
        InventoryReserved(sku="pen", order_id="o-2", quantity=2),
        InventoryReleased(sku="pen", order_id="o-1", quantity=5),
        InventoryDeducted(sku="pen", invoice="1", quantity=4),
        InventoryReturned(sku="pen", invoice="C2", quantity=1),
        StockWrittenOff(sku="pen", quantity=3, reason="flood"),
    ).then_rows(
        {
            "pen": StockRow(
                sku="pen", on_hand=14, reserved=2, available=12, received=20, sold=4, returned=1, written_off=3
            )
        }
    )
    counted = given(stock, StockReceived(sku="pen", quantity=20), StockCounted(sku="pen", counted=18, missing=2))
    counted.then_row("pen", StockRow(sku="pen", on_hand=18, available=18, received=20))


class TestSales:
    def test_of_today_and_of_the_past_add_up(self) -> None:
        past = given(sales_by_day, sold, returned, confirmed, now=NOW)
        past.then_rows({"2011-12-09": DaySales(day="2011-12-09", documents=3, lines=5, total=Decimal("60.00"))})
        months = given(sales_by_month, sold, confirmed, cancelled, now=NOW)
        months.then_rows({"2011-12": MonthSales(month="2011-12", documents=3, lines=5, total=Decimal("13.10"))})

    def test_by_country(self) -> None:
        given(sales_by_country, sold, returned, confirmed).then_rows(
            {
                "France": CountrySales(country="France", documents=2, lines=4, total=Decimal("11.00")),
                "Japan": CountrySales(country="Japan", documents=1, lines=1, total=Decimal("49.00")),
            }
        )

    def test_by_product(self) -> None:
        given(sales_by_product, sold, returned, confirmed, cancelled).then_rows(
            {
                "pen": ProductSales(sku="pen", lines=5, quantity=5, total=Decimal("10.50")),
                "ink": ProductSales(sku="ink", lines=1, quantity=1, total=Decimal("0.5")),
            }
        )

    def test_in_all_counts_repeated_lines_and_those_of_nobody(self) -> None:
        expected = Totals(documents=2, lines=4, total=Decimal("11.00"), lines_without_customer=1, repeated_lines=1)
        given(totals, sold, returned).then_rows({"all": expected})

    def test_by_customer(self) -> None:
        row = CustomerSales(customer_id="c-1", documents=2, lines=4, total=Decimal("62.10"), first_at=NOW, last_at=NOW)
        given(customer_history, sold, returned, confirmed, now=NOW).then_rows({"c-1": row})


def test_amounts_keep_their_scale() -> None:
    nothing = WriteOffImported(
        invoice="3",
        customer_id=None,
        country="France",
        lines=[InvoiceLine(sku="pen", name="", quantity=-10, unit_price=Decimal("0.0"))],
        total=Decimal("0.0"),
    )
    row = given(sales_by_product, nothing).rows["pen"]
    assert isinstance(row, ProductSales)
    assert str(row.total) == "0.0"


def test_invoices_by_kind() -> None:
    lines, total = [old_line], Decimal("6.30")
    kinds = {
        "order": OrderImported(invoice="1", customer_id="c-1", country="France", lines=lines, total=total),
        "credit note": CreditNoteImported(invoice="1", customer_id="c-1", country="France", lines=lines, total=total),
        "adjustment": AdjustmentImported(invoice="1", customer_id="c-1", country="France", lines=lines, total=total),
        "write-off": WriteOffImported(invoice="1", customer_id="c-1", country="France", lines=lines, total=total),
    }
    for kind, event in kinds.items():
        row = given(invoices, event, now=NOW).rows["1"]
        expected = InvoiceRow(
            invoice="1", kind="order", customer_id="c-1", country="France", lines=1, total=total, booked_at=NOW
        )
        assert isinstance(row, InvoiceRow)
        assert row.kind == kind
        assert (row.lines, row.total, row.booked_at) == (expected.lines, expected.total, expected.booked_at)


def test_contacts() -> None:
    kyoto = Address(street="1 Teramachi", city="Kyoto", postcode="604-8091", country="Japan")
    leeds = Address(street="2 Albion St", city="Leeds", postcode="LS1 5ER", country="United Kingdom")
    given(
        contacts,
        CustomerRegistered(customer_id="c-1", name="Aya Sato", email="aya@example.org", address=kyoto),
        CustomerMoved(customer_id="c-1", address=leeds),
        EmailChanged(customer_id="c-1", email="sato@example.org"),
    ).then_rows({"c-1": Contact(customer_id="c-1", name="Aya Sato", email="sato@example.org", address=leeds)})
