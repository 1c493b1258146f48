"""A process that shares the work of the league until there is a file called `stop`."""

import asyncio
import os
from pathlib import Path

from daicho import App, Context, event_handler
from tests.faults.bank_worker import ledger_at
from tests.faults.test_segments import Diary, Game, Played, remember, scores

SEGMENTS = 8


class Letters:
    """The outside world: a line for each event that was told, by whom."""

    def __init__(self, path: str) -> None:
        self.send = ledger_at(path)


@event_handler(from_start=True)
async def tell_all(event: Played, letters: Letters, context: Context) -> None:
    letters.send(f"{os.getpid()} {context.command_id}")


def league(store: str, letters: str) -> App:
    cut = {scores: SEGMENTS, remember: SEGMENTS, tell_all: SEGMENTS}
    parts = (Game, Diary, scores, remember, tell_all)
    return App(*parts, store=store, segments=cut, provide=[Letters(letters)])


def work(store: str, letters: str, stop: str) -> None:
    async def run() -> None:
        async with league(store, letters):
            while not Path(stop).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
                await asyncio.sleep(0.05)

    asyncio.run(run())
