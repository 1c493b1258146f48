"""Parts with set rules, and a process that works with them beside others."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from daicho import Aggregate, App, Command, Event, Full, Rejected, apply, capacity, handle, sequence, unique

EACH = 40
SEATS = 50


class IssueInvoice(Command):
    id: str
    count: int


class InvoiceIssued(Event, name="invoice.issued"):
    id: str
    invoice: int = 0


class Invoice(Aggregate, category="invoice", key="id", rules=[sequence("invoice")]):
    def __init__(self) -> None:
        self.numbers: list[int] = []

    @handle
    def issue(self, command: IssueInvoice) -> Iterator[InvoiceIssued]:
        if command.count < 0:
            raise Rejected("minus is not a number of invoices")
        for _ in range(command.count):
            before = len(self.numbers)
            yield InvoiceIssued(id=command.id, invoice=-1)
            assert len(self.numbers) == before + 1
            assert self.numbers[-1] > 0
            if len(self.numbers) > 200 or command.count > 50:
                raise Rejected("too many")

    @apply
    def issued(self, event: InvoiceIssued) -> None:
        self.numbers.append(event.invoice)


class Reserve(Command):
    id: str
    course: str
    limit: int


class Tour(Command):
    id: str
    courses: list[str]
    limit: int


class Cancel(Command):
    id: str


class Reserved(Event, name="registration.reserved"):
    id: str
    course: str
    limit: int


class Cancelled(Event, name="registration.cancelled"):
    id: str
    course: str
    """Which is why a releasing event does not claim."""


class Registration(
    Aggregate,
    category="registration",
    key="id",
    rules=[capacity("course", limit=lambda event: event.limit, release_on=Cancelled)],
):
    course: str = ""

    @handle
    def reserve(self, command: Reserve) -> Iterator[Reserved]:
        yield Reserved(id=command.id, course=command.course, limit=command.limit)

    @handle
    def tour(self, command: Tour) -> Iterator[Reserved]:
        for course in command.courses:
            yield Reserved(id=command.id, course=course, limit=command.limit)

    @handle
    def cancel(self, command: Cancel) -> Iterator[Cancelled]:
        yield Cancelled(id=command.id, course=self.course)

    @apply
    def reserved(self, event: Reserved) -> None:
        self.course = event.course

    @apply
    def cancelled(self, _: Cancelled) -> None:
        self.course = ""


class MakeClaim(Command):
    id: str
    email: str
    room: str


class ClaimMade(Event, name="claim.made", tags=("id",)):
    id: str
    email: str
    room: str
    number: int = 0


class Claim(
    Aggregate,
    category="claim",
    key="id",
    rules=[unique("email"), sequence("number"), capacity("room", limit=3)],
):
    @handle
    def make(self, command: MakeClaim) -> Iterator[ClaimMade]:
        yield ClaimMade(id=command.id, email=command.email, room=command.room)

    @apply
    def made(self, event: ClaimMade) -> None:
        pass


PARTS = (Invoice, Registration)


def work(url: str, number: int, told: str) -> None:
    """Writes to `told` what became of each command."""

    async def one(app: App, n: int) -> list[str]:
        issued = await app.send(IssueInvoice(id=f"{number}-{n}", count=1))
        lines = [str(event.invoice) for event in issued.events if isinstance(event, InvoiceIssued)]
        try:
            await app.send(Reserve(id=f"{number}-{n}", course="c", limit=SEATS))
        except Full:
            return [*lines, "Full"]
        return [*lines, "seated"]

    async def run() -> list[list[str]]:
        async with App(*PARTS, store=url) as app:
            return await asyncio.gather(*(one(app, n) for n in range(EACH)))

    Path(told).write_text("\n".join(line for lines in asyncio.run(run()) for line in lines))
