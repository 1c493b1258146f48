"""From documents to commands: many in flight, but never more than the rest of the shop can follow."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

from daicho import App, Receipt
from examples.shop.invoice import ImportDocument
from examples.shop.retail.document import Document
from examples.shop.values import Money, total_of
from examples.shop.views.invoices import invoices

__all__ = ["PATIENCE", "Fed", "feed"]

PATIENCE = 600.0
"""Seconds to wait for one window to settle before giving up."""


class Fed:
    """What this run has done so far."""

    def __init__(self) -> None:
        self.documents = 0
        self.lines = 0
        self.skipped = 0
        """Documents that an earlier run had imported."""

    def add(self, documents: int, lines: int, skipped: int) -> None:
        self.documents += documents
        self.lines += lines
        self.skipped += skipped


async def feed(app: App, source: Iterable[Document], fed: Fed, *, at_once: int = 256, alone: bool = True) -> None:
    """Sends one command for each document, with the document's own date, and returns when all is settled.

    At most `at_once` commands are in flight, and at most two windows of that size are unsettled: while one is being
    written, the reactions and views work off the one before.

    It can be killed at any moment and run again: the idempotency key is the invoice's number, a reaction's command
    ids follow from the event and the line, so nothing is done twice. What the `invoices` view shows is not even sent.

    Not `alone`, it does not wait for the shop to come to rest, because others feed it too.
    """
    await (app.settle(within=PATIENCE) if alone else caught_up(app))
    resuming = not alone or await app.views[invoices].count() > 0
    unsettled: Receipt | None = None
    for window in windows(source, at_once):
        new = await unknown(app, window) if resuming else window
        receipts = await send_all(app, new)
        if unsettled is not None:
            await app.settled(unsettled, within=PATIENCE)
        if receipts:
            unsettled = max(receipts, key=lambda receipt: receipt.position)
        sent = [document for document, receipt in zip(new, receipts, strict=True) if not receipt.duplicate]
        fed.add(len(sent), sum(len(document.command.lines) for document in sent), len(window) - len(sent))
    if unsettled is not None:
        await app.settled(unsettled, within=PATIENCE)
    if alone:
        await app.settle(within=PATIENCE)


async def caught_up(app: App) -> None:
    """Returns when what earlier runs left to do is done; what others begin meanwhile is theirs."""
    head = await app.storage.head()
    while any(lag.position < head for lag in await app.lag()):  # noqa: ASYNC110 - it moves in another process
        await asyncio.sleep(0.1)


async def unknown(app: App, window: list[Document]) -> list[Document]:
    """Those that have not been imported as they are. One that has changed is among them, and will be refused."""
    rows = await app.views[invoices].get_many([document.command.invoice for document in window])
    known = {(row.invoice, row.lines, row.total) for row in rows.values()}
    return [document for document in window if signature(document.command) not in known]


async def send_all(app: App, window: list[Document]) -> list[Receipt]:
    """Raises the first error, if there are any, once every command has had its answer."""
    answers = await asyncio.gather(*[send(app, document) for document in window], return_exceptions=True)
    receipts: list[Receipt] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        receipts.append(answer)
    return receipts


async def send(app: App, document: Document) -> Receipt:
    command: ImportDocument = document.command
    return await app.send(command, key=command.invoice, occurred_at=document.at, actor="retail")


def signature(command: ImportDocument) -> tuple[str, int, Money]:
    return command.invoice, len(command.lines), total_of(command.lines)


def windows(source: Iterable[Document], size: int) -> Iterator[list[Document]]:
    documents = iter(source)
    while window := list(islice(documents, size)):
        yield window
