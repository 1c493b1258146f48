"""A process that deposits, and looks at once whether an inline view has it: `... inline_worker URL FILE NAME COUNT`."""

import asyncio
import random
import sys
from contextlib import suppress

from daicho import App, ConcurrencyError, Row, projection
from tests.bank import Account, Deposit, Deposited
from tests.faults.register_worker import Ledger


class Total(Row):
    account: str
    deposits: int = 0
    last: int = 0


@projection("totals", key=lambda event: event.account, inline=True)
def totals(row: Total | None, event: Deposited) -> Total:
    return Total(account=event.account, deposits=row.deposits + 1 if row else 1, last=event.amount)


def bank(url: str) -> App:
    return App(Account, totals, store=url)


async def main(url: str, path: str, name: str, count: str) -> None:
    ledger = Ledger(path)
    async with bank(url) as app:

        async def client(n: int) -> None:
            dice = random.Random(f"{name}.{n}")
            for amount in range(1, int(count) + 1):
                account = f"{name}.{n}" if dice.random() < 0.7 else "shared"
                receipt = None
                while receipt is None:
                    with suppress(ConcurrencyError):  # the shared account is in great demand
                        receipt = await app.send(Deposit(account=account, amount=amount))
                row = await app.views[totals].get(account)
                ledger.note(receipt.position, account, row.deposits if row else 0, amount)
                if account != "shared":
                    assert row is not None
                    assert row.last == amount, f"{row} is behind the deposit of {amount}"

        await asyncio.gather(*[client(n) for n in range(4)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
