"""The documents in the file: reads lines, puts those of one invoice together, and tells what each one is."""

import csv
import gzip
import io
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

from daicho import State
from examples.shop.invoice import ImportAdjustment, ImportCreditNote, ImportDocument, ImportOrder, ImportWriteOff
from examples.shop.invoice import InvoiceLine as Line

__all__ = ["WHOLE", "Document", "Share", "documents"]

COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
NOBODY = ("", "NA", "nan")
PATIENCE = 1000
"""An invoice is complete when none of so many lines was its own: now and then two are entered at the same time."""

Record: TypeAlias = Sequence[str]
Report: TypeAlias = Callable[[int], None]


class Share(State):
    """Some of the documents, chosen by their numbers: the same ones each time, and of a document all lines."""

    number: int
    of: int

    def has(self, invoice: str) -> bool:
        return self.of == 1 or crc32(invoice.encode()) % self.of == self.number - 1


WHOLE = Share(number=1, of=1)


class Document(State):
    command: ImportDocument
    at: datetime
    """When it was begun. The file writes local time without a zone; it is taken as UTC."""


class _Draft:
    """An invoice that may still grow."""

    def __init__(self, record: Record, number: int) -> None:
        self.invoice, self.customer, self.country = record[0], record[6], record[7]
        self.at = moment(record[4])
        self.lines: list[Line] = []
        self.last_number = number

    def add(self, record: Record, number: int) -> None:
        if (record[6], record[7]) != (self.customer, self.country):
            raise ValueError(f"line {number}: invoice {self.invoice} belongs to two customers or countries")
        self.last_number = number
        self.lines.append(
            Line(
                sku=record[1],
                name=record[2],
                quantity=whole(record[3], number),
                unit_price=Decimal(record[5]),
                minutes_later=int((moment(record[4]) - self.at).total_seconds()) // 60,
            )
        )

    def finished(self) -> Document:
        customer_id = None if self.customer in NOBODY else self.customer
        kind = kind_of(self.invoice, self.lines)
        command = kind(invoice=self.invoice, customer_id=customer_id, country=self.country, lines=self.lines)
        return Document(command=command, at=self.at)


def documents(path: Path, report: Report = lambda _: None, share: Share = WHOLE) -> Iterator[Document]:
    """The documents of the file, plain or gzipped, in the order of their completion. Memory does not grow with it.

    `report` is told now and then how many bytes of the file have been read. Raises ValueError for a file of another
    format.
    """
    drafts: OrderedDict[str, _Draft] = OrderedDict()
    for number, record in records(path, report):
        if not share.has(record[0]):
            continue
        draft = drafts.get(record[0])
        if draft is None:
            draft = drafts[record[0]] = _Draft(record, number)
        else:
            drafts.move_to_end(record[0])
        draft.add(record, number)
        while (oldest := next(iter(drafts.values()))).last_number < number - PATIENCE:
            del drafts[oldest.invoice]
            yield oldest.finished()
    for draft in drafts.values():
        yield draft.finished()


def records(path: Path, report: Report) -> Iterator[tuple[int, Record]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        binary: Any = gzip.GzipFile(fileobj=raw) if packed else raw
        lines = csv.reader(io.TextIOWrapper(binary, encoding="utf-8", newline=""))
        if (header := next(lines, None)) != COLUMNS:
            raise ValueError(f"{path} begins with {header}, not with {','.join(COLUMNS)}")
        for number, record in enumerate(lines, start=2):
            if len(record) != len(COLUMNS):
                raise ValueError(f"line {number} has {len(record)} columns, not {len(COLUMNS)}")
            if number % 500 == 0:
                report(raw.tell())
            yield number, record
        report(raw.tell())


def kind_of(invoice: str, lines: Sequence[Line]) -> type[ImportDocument]:
    if invoice.startswith("C"):
        return ImportCreditNote
    if invoice.startswith("A"):
        return ImportAdjustment
    if all(line.quantity < 0 for line in lines):
        return ImportWriteOff
    return ImportOrder


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def whole(text: str, number: int) -> int:
    value = float(text)
    if not value.is_integer():
        raise ValueError(f"line {number}: {text} is not a whole number")
    return int(value)
