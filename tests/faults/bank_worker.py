"""A process that works at the bank until it is killed: `python -m tests.faults.bank_worker FILE LEDGER SEED`.

Everything it is told was done goes into the ledger, a file of its own, the moment it is told. What the ledger says
must be true for ever; what it began and did not hear of may have happened or not.
"""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daicho import App, ConcurrencyError, Context, Rejected, event_handler
from tests.bank import BANK, Deposit, Deposited, Transfer, Withdraw

ACCOUNTS = [f"a{n}" for n in range(6)]


def ledger_at(path: str) -> Callable[[str], None]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())

    return write


async def work(
    app: App,
    note: Callable[[str], None],
    name: str,
    rounds: int = 1_000_000,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Sends, each under a key; notes `begin` before and `done` or `refused` after."""
    dice = random.Random(name)

    async def client(number: int) -> None:
        for n in range(rounds):
            if enough():
                break
            key = f"{name}.{number}.{n}"
            amount, account = dice.randint(1, 9), dice.choice(ACCOUNTS)
            kind = dice.choice(["deposit", "deposit", "withdraw", "transfer", "post"])
            command: Any = {
                "deposit": Deposit(account=account, amount=amount),
                "post": Deposit(account=account, amount=amount),
                "withdraw": Withdraw(account=account, amount=amount),
                "transfer": Transfer(transfer=key, source=account, target=dice.choice(ACCOUNTS), amount=amount),
            }[kind]
            note(f"begin {key} {kind} {amount}")
            try:
                if kind == "post":
                    await app.post(command, key=key)
                else:
                    await app.send(command, key=key)
            except (Rejected, ConcurrencyError):  # in either case nothing was written
                note(f"refused {key} {kind} {amount}")
            else:
                note(f"done {key} {kind} {amount}")

    await asyncio.gather(*[client(n) for n in range(4)])


async def main(url: str, ledger: str, name: str) -> None:
    async with App(*BANK, store=url) as app:
        await work(app, ledger_at(ledger), name)


class Letters:
    """The outside world: whatever is sent there cannot be taken back."""

    def __init__(self, path: str) -> None:
        self.send = ledger_at(path)


@event_handler
async def mail(event: Deposited, letters: Letters, context: Context) -> None:
    letters.send(f"{os.getpid()} {context.command_id}")


def one_of_many(url: str, ledger: str, letters: str, name: str, rounds: int, enough: str) -> None:
    """One process of several on the same store; ends when it has done its share, or when there is a file called
    `enough`, and everything is at rest."""

    async def run() -> None:
        async with App(*BANK, mail, store=url, provide=[Letters(letters)]) as app:
            await work(app, ledger_at(ledger), name, rounds, Path(enough).exists)
            await app.settle(within=60)

    asyncio.run(run())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
