"""From documents to commands: many in flight, but never more than the rest of the shop can follow."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

from daicho import App, Receipt
from examples.shop.invoice import ImportDocument
from examples.shop.retail.document import Document
from examples.shop.views.invoices import invoices

__all__ = ["Fed", "feed"]

PATIENCE = 600.0
"""Seconds to wait for one window to settle before giving up."""


class Fed:
    """What this run has done so far."""

    def __init__(self) -> None:
        self.documents = 0
        self.lines = 0
        self.skipped = 0
        """Documents that an earlier run had imported."""


async def feed(app: App, source: Iterable[Document], fed: Fed, *, at_once: int = 128) -> None:
    """Sends one command for each document, with the document's own date, and returns when all is settled.

    At most `at_once` commands are in flight, and at most two windows of that size are unsettled: while one is being
    written, the reactions and views work off the one before.

    It can be killed at any moment and run again: the idempotency key is the invoice's number, a reaction's command
    ids follow from the event and the line, so nothing is done twice. What the `invoices` view shows is not even sent.
    """
    await app.settle(within=PATIENCE)
    resuming = await app.views[invoices].count() > 0
    unsettled: Receipt | None = None
    for window in windows(source, at_once):
        if resuming:
            done = await app.views[invoices].get_many([document.command.invoice for document in window])
            fed.skipped += len(done)
            window = [document for document in window if document.command.invoice not in done]
        async with asyncio.TaskGroup() as group:
            sent = [group.create_task(send(app, document)) for document in window]
        if unsettled is not None:
            await app.settled(unsettled, within=PATIENCE)
        if sent:
            unsettled = max((task.result() for task in sent), key=lambda receipt: receipt.position)
        fed.documents += len(window)
        fed.lines += sum(len(document.command.lines) for document in window)
    await app.settle(within=PATIENCE)


async def send(app: App, document: Document) -> Receipt:
    command: ImportDocument = document.command
    return await app.send(command, key=command.invoice, occurred_at=document.at, actor="retail")


def windows(source: Iterable[Document], size: int) -> Iterator[list[Document]]:
    documents = iter(source)
    while window := list(islice(documents, size)):
        yield window
