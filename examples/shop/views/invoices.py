"""The documents of the past, one row each."""

from datetime import datetime
from typing import Literal, TypeAlias

from daicho import Event, Query, RecordedEvent, Row, Views, projection, query_handler
from examples.shop.invoice import AdjustmentImported, AnyImported, CreditNoteImported, OrderImported, WriteOffImported
from examples.shop.values import Money

__all__ = ["PARTS", "FindInvoices", "InvoiceKind", "InvoiceRow", "invoices"]

InvoiceKind: TypeAlias = Literal["order", "credit note", "adjustment", "write-off"]


class InvoiceRow(Row):
    invoice: str
    kind: InvoiceKind
    customer_id: str | None
    country: str
    lines: int
    total: Money
    booked_at: datetime


def invoice_of(event: AnyImported) -> str:
    return event.invoice


@projection("invoices", key=invoice_of)
def invoices(_: InvoiceRow | None, event: AnyImported, recorded: RecordedEvent[Event]) -> InvoiceRow | None:
    return InvoiceRow(
        invoice=event.invoice,
        kind=kind_of(event),
        customer_id=event.customer_id,
        country=event.country,
        lines=len(event.lines),
        total=event.total,
        booked_at=recorded.occurred_at,
    )


def kind_of(event: AnyImported) -> InvoiceKind:
    match event:
        case OrderImported():
            return "order"
        case CreditNoteImported():
            return "credit note"
        case AdjustmentImported():
            return "adjustment"
        case WriteOffImported():
            return "write-off"


class FindInvoices(Query[list[InvoiceRow]]):
    """The newest first."""

    kind: InvoiceKind
    limit: int = 20


@query_handler
async def find_invoices(query: FindInvoices, views: Views) -> list[InvoiceRow]:
    return await views[invoices].find(kind=query.kind, order_by="booked_at", descending=True, limit=query.limit)


PARTS = (invoices, find_invoices)
