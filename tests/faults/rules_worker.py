"""Processes that take numbers and seats until they are told that there are no more: `... rules_worker URL FILE N`."""

import asyncio
import sys

from daicho import App, Command, ConcurrencyError, Full, Receipt
from tests.faults.register_worker import Ledger
from tests.unit.rules_worker import PARTS, InvoiceIssued, IssueInvoice, Reserve

PROCESSES = 4
WRITERS, INVOICES = 50, 4  # over all processes; each
REGISTRANTS, WANTED, SEATS = 200, 3, 400


async def insist(app: App, command: Command) -> Receipt:
    """However many others are at it."""
    while True:
        try:
            return await app.send(command)
        except ConcurrencyError:
            await asyncio.sleep(0.01)


async def main(url: str, path: str, number: str) -> None:
    ledger, process = Ledger(path), int(number)

    async def issue(app: App, writer: int) -> None:
        for n in range(INVOICES):
            receipt = await insist(app, IssueInvoice(id=f"{writer}-{n}", count=1))
            [issued] = receipt.events
            assert isinstance(issued, InvoiceIssued)
            ledger.note("invoice", issued.invoice)

    async def register(app: App, registrant: int) -> None:
        for n in range(WANTED):
            try:
                await insist(app, Reserve(id=f"{registrant}-{n}", course="c", limit=SEATS))
            except Full:
                ledger.note("full")
            else:
                ledger.note("seated")

    async with App(*PARTS, store=url) as app:
        await asyncio.gather(*[issue(app, n) for n in range(process, WRITERS, PROCESSES)])
        await asyncio.gather(*[register(app, n) for n in range(process, REGISTRANTS, PROCESSES)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
