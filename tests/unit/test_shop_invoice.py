"""Documents of the past, told by given / when / then."""

from decimal import Decimal

from daicho.testing import given
from examples.shop.invoice import (
    AdjustmentImported,
    CreditNoteImported,
    ImportAdjustment,
    ImportCreditNote,
    ImportOrder,
    ImportWriteOff,
    Invoice,
    InvoiceLine,
    OrderImported,
    WriteOffImported,
)

SOLD = [
    InvoiceLine(sku="85123A", name="T-LIGHT HOLDER", quantity=6, unit_price=Decimal("2.55")),
    InvoiceLine(sku="71053", name="LANTERN", quantity=-1, unit_price=Decimal("3.39"), minutes_later=1),
]
imported = OrderImported(invoice="1", customer_id="17850", country="France", lines=SOLD, total=Decimal("11.91"))
command = ImportOrder(invoice="1", customer_id="17850", country="France", lines=SOLD)


def test_is_taken_over_with_all_its_lines() -> None:
    given(Invoice).when(command).then(imported)


def test_is_taken_over_once() -> None:
    given(Invoice, imported).when(command).then_nothing()


def test_cannot_come_back_with_other_lines() -> None:
    other = ImportOrder(invoice="1", customer_id="17850", country="France", lines=SOLD[:1])
    given(Invoice, imported).when(other).then_rejected("invoice 1 was imported before, with other lines")


def test_every_kind_of_document_has_its_event() -> None:
    for ask, tell in (
        (ImportCreditNote, CreditNoteImported),
        (ImportAdjustment, AdjustmentImported),
        (ImportWriteOff, WriteOffImported),
    ):
        given(Invoice).when(ask(invoice="1", customer_id=None, country="France", lines=SOLD)).then(
            tell(invoice="1", customer_id=None, country="France", lines=SOLD, total=Decimal("11.91"))
        )
