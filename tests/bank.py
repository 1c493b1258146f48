"""A small bank, for the tests of the engine: accounts, and transfers between them that run through two reactions.

No money is made or lost in it: at rest, the balances add up to what was deposited from outside.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import Meta

from daicho import (
    Aggregate,
    Command,
    Decider,
    Event,
    Query,
    Rejected,
    Row,
    State,
    Views,
    apply,
    event_handler,
    handle,
    projection,
    query_handler,
)

Amount = Annotated[int, Meta(gt=0)]


class Open(Command):
    account: str


class Deposit(Command):
    account: str
    amount: Amount
    transfer: str = ""


class Withdraw(Command):
    account: str
    amount: Amount
    transfer: str = ""
    to: str = ""


class Opened(Event, name="account.opened"):
    account: str


class Deposited(Event, name="account.deposited"):
    account: str
    amount: int
    transfer: str = ""


class Withdrawn(Event, name="account.withdrawn"):
    account: str
    amount: int
    transfer: str = ""
    to: str = ""


class Account(Aggregate, category="account", key="account"):
    is_open: bool = False
    balance: int = 0

    @handle
    def open(self, command: Open) -> Iterator[Opened]:
        if self.is_open:
            return
        yield Opened(account=command.account)

    @handle
    def deposit(self, command: Deposit) -> Iterator[Deposited]:
        yield Deposited(account=command.account, amount=command.amount, transfer=command.transfer)

    @handle
    def withdraw(self, command: Withdraw) -> Iterator[Withdrawn]:
        if command.amount > self.balance:
            raise Rejected("not enough money", balance=self.balance)
        yield Withdrawn(account=command.account, amount=command.amount, transfer=command.transfer, to=command.to)

    @apply
    def opened(self, _: Opened) -> None:
        self.is_open = True

    @apply
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount

    @apply
    def withdrawn(self, event: Withdrawn) -> None:
        self.balance -= event.amount


class Transfer(Command):
    transfer: str
    source: str
    target: str
    amount: Amount


class TransferStarted(Event, name="transfer.started"):
    transfer: str
    source: str
    target: str
    amount: int


class TransferState(State):
    is_started: bool = False


def decide(command: Transfer, state: TransferState) -> Iterable[TransferStarted]:
    if state.is_started:
        return []
    return [
        TransferStarted(transfer=command.transfer, source=command.source, target=command.target, amount=command.amount)
    ]


def evolve(_: TransferState, __: TransferStarted) -> TransferState:
    return TransferState(is_started=True)


transfers = Decider(
    "transfer", initial=TransferState(), decide=decide, evolve=evolve, identify=lambda command: command.transfer
)


@event_handler
def pay_out(event: TransferStarted) -> Iterator[Withdraw]:
    yield Withdraw(account=event.source, amount=event.amount, transfer=event.transfer, to=event.target)


@event_handler
def pay_in(event: Withdrawn) -> Iterator[Deposit]:
    if event.to:
        yield Deposit(account=event.to, amount=event.amount, transfer=event.transfer)


class Balance(Row):
    account: str
    amount: int = 0
    movements: int = 0


@projection("balances", key=lambda event: event.account)
def balances(row: Balance | None, event: Opened | Deposited | Withdrawn) -> Balance:
    row = row or Balance(account=event.account)
    change = 0 if isinstance(event, Opened) else event.amount if isinstance(event, Deposited) else -event.amount
    return Balance(account=event.account, amount=row.amount + change, movements=row.movements + 1)


class BalanceOf(Query[Balance | None]):
    account: str


@query_handler
async def balance_of(query: BalanceOf, views: Views) -> Balance | None:
    return await views[balances].get(query.account)


BANK = (Account, transfers, pay_out, pay_in, balances, balance_of)
