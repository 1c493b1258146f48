"""A process that counts until it is killed: `python -m tests.faults.state_worker URL LEDGER NAME ENOUGH`.

What it was told is done goes into the ledger, a file of its own, the moment it is told.
"""

import asyncio
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from daicho import Aggregate, App, Command, ConcurrencyError, Event, apply, handle
from tests.faults.bank_worker import ledger_at

COUNTERS = 8


class Count(Command):
    counter: str
    key: str


class Counted(Event, name="counter.counted"):
    key: str


def counter(persistence: Literal["events", "state"]) -> type[Aggregate]:
    class Counter(Aggregate, category="counter", key="counter", persistence=persistence):
        count: int = 0
        last: str = ""

        @handle
        def decide(self, command: Count) -> Iterator[Counted]:
            yield Counted(key=command.key)

        @apply
        def counted(self, event: Counted) -> None:
            self.count += 1
            self.last = event.key

    return Counter


async def work(url: str, ledger: str, name: str, enough: Callable[[], bool]) -> None:
    note, dice = ledger_at(ledger), random.Random(name)

    async def client(number: int) -> None:
        n = 0
        while not enough():
            n += 1
            key = f"{name}.{number}.{n}"
            command = Count(counter=f"c{dice.randrange(COUNTERS)}", key=key)
            while True:
                try:
                    await app.send(command, key=key)
                    break
                except ConcurrencyError:  # overtaken more often than the App tries by itself
                    continue
            note(key)
            await asyncio.sleep(dice.random() / 100)

    async with App(counter("state"), store=url) as app:
        await asyncio.gather(*map(client, range(3)))


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]).exists))
