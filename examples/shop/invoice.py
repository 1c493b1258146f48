"""Documents of the past, taken over from another system as they are.

They are facts: nothing here can be refused for lack of stock or credit. One document is one stream and one event,
with all its lines; what it means for the stock follows line by line (see `reactions`).
"""

from collections.abc import Iterator
from typing import Annotated, TypeAlias, TypeVar

from msgspec import Meta

from daicho import Aggregate, Command, Event, Rejected, State, apply, handle
from examples.shop.values import Country, Id, Money, Sku, total_of

__all__ = [
    "AdjustmentImported",
    "AnyImported",
    "CreditNoteImported",
    "ImportAdjustment",
    "ImportCreditNote",
    "ImportDocument",
    "ImportOrder",
    "ImportWriteOff",
    "Invoice",
    "InvoiceLine",
    "OrderImported",
    "WriteOffImported",
]


class InvoiceLine(State, omit_defaults=True, gc=False):
    """One line, as it was written then: products change their names and prices."""

    sku: Sku
    name: str
    quantity: int
    """Negative for what came back or was lost."""
    unit_price: Money
    minutes_later: int = 0
    """How long after the document was begun the line was entered."""

    @property
    def amount(self) -> Money:
        return self.quantity * self.unit_price


class ImportDocument(Command):
    """What all documents of the past have in common."""

    invoice: Id
    customer_id: Id | None
    country: Country
    lines: Annotated[list[InvoiceLine], Meta(min_length=1)]


class ImportOrder(ImportDocument):
    """A sale."""


class ImportCreditNote(ImportDocument):
    """Goods that came back, often of a sale that is older than the books."""


class ImportAdjustment(ImportDocument):
    """A correction of the books, e.g. for a bad debt."""


class ImportWriteOff(ImportDocument):
    """Goods lost, broken or thrown away, booked like a sale for nothing."""


class Imported(Event):
    invoice: Id
    customer_id: Id | None
    country: Country
    lines: list[InvoiceLine]
    total: Money


class OrderImported(Imported, name="order.imported", version=1): ...


class CreditNoteImported(Imported, name="credit_note.imported", version=1): ...


class AdjustmentImported(Imported, name="adjustment.imported", version=1): ...


class WriteOffImported(Imported, name="write_off.imported", version=1): ...


AnyImported: TypeAlias = OrderImported | CreditNoteImported | AdjustmentImported | WriteOffImported
E = TypeVar("E", bound=Imported)


class Invoice(Aggregate, category="invoice", key="invoice"):
    lines: int = 0
    total: Money = Money(0)

    @handle
    def order(self, command: ImportOrder) -> Iterator[OrderImported]:
        yield from self._once(command, OrderImported)

    @handle
    def credit_note(self, command: ImportCreditNote) -> Iterator[CreditNoteImported]:
        yield from self._once(command, CreditNoteImported)

    @handle
    def adjustment(self, command: ImportAdjustment) -> Iterator[AdjustmentImported]:
        yield from self._once(command, AdjustmentImported)

    @handle
    def write_off(self, command: ImportWriteOff) -> Iterator[WriteOffImported]:
        yield from self._once(command, WriteOffImported)

    def _once(self, command: ImportDocument, kind: type[E]) -> Iterator[E]:
        total = total_of(command.lines)
        if not self.lines:
            yield kind(
                invoice=command.invoice,
                customer_id=command.customer_id,
                country=command.country,
                lines=command.lines,
                total=total,
            )
        elif (self.lines, self.total) != (len(command.lines), total):
            raise Rejected(f"invoice {command.invoice} was imported before, with other lines")

    @apply
    def imported(self, event: AnyImported) -> None:
        self.lines, self.total = len(event.lines), event.total
