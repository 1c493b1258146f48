"""What counts as a sale, wherever it came from: a confirmed order, its cancellation, a document of the past."""

from decimal import Decimal
from typing import TypeAlias, TypeVar

from daicho import Row, replace
from examples.shop.invoice import AnyImported, InvoiceLine
from examples.shop.order import OrderCancelled, OrderConfirmed
from examples.shop.values import Money, PricedLine

__all__ = ["Sale", "Takings", "amount_of", "customer_of", "lines_of", "plus"]

T = TypeVar("T", bound="Takings")
Sale: TypeAlias = OrderConfirmed | OrderCancelled | AnyImported


def amount_of(sale: Sale) -> Money:
    """What came in by it; negative for what went out again."""
    return -sale.total if isinstance(sale, OrderCancelled) else sale.total


def lines_of(sale: Sale, sku: str) -> list[tuple[int, Money]]:
    """Quantity and amount of each line of one product."""
    sign = -1 if isinstance(sale, OrderCancelled) else 1
    lines: list[PricedLine] | list[InvoiceLine] = sale.lines
    return [(sign * line.quantity, sign * line.amount) for line in lines if line.sku == sku]


def customer_of(sale: Sale) -> str | tuple[()]:
    """Nobody, where the books do not name the customer."""
    return sale.customer_id or ()


class Takings(Row):
    """What all reports on sales have in common."""

    documents: int = 0
    """Orders, cancellations, invoices, credit notes, adjustments."""
    lines: int = 0
    total: Money = Decimal(0)


def plus(row: T, sale: Sale) -> T:
    """The row with one more sale in it."""
    return replace(
        row,
        documents=row.documents + 1,
        lines=row.lines + len(sale.lines),
        total=row.total + amount_of(sale),
    )
