"""Events delivered one to three times, keys shuffled against each other, projectors killed fifty times: rows are exact.

The projector is driven by hand, so that what is rare in life happens all the time: a worker is cut down anywhere in
the middle of a commit; the next one takes over; and the dead one, who was only away for a while, goes on with its own.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from daicho import App
from daicho.core.errors import LostLease
from daicho.core.messages import Command, Event
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.ports.checkpoint_store import Checkpoint
from daicho.ports.event_store import Selection, StoredEvent
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.read.elsewhere import Elsewhere
from daicho.read.feed import Page
from daicho.read.projector import Projector
from daicho.testing import VirtualClock
from daicho.wiring.urls import open_read_store, open_storage
from tests.faults.test_views_elsewhere import Balance, Close, Closed, Move, Moved, Transfer, balances, expected

KILLS, EVENTS = 50, 600


COMMANDS: list[Command] = [
    # most accounts are never closed: what is once counted twice stays so
    Close(transfer=f"t{n}", account="a0")
    if n % 50 == 0
    else Move(transfer=f"t{n}", source=f"a{n % 7}", target=f"a{(n + 1 + n % 5) % 7}", amount=n)
    for n in range(1, EVENTS + 1)
]


class Killed(BaseException):
    """What a test does to a worker; nothing that Daicho catches."""


@pytest.fixture(params=["sqlite", "postgres", "redis", "mongodb", "opensearch"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def urls(request: pytest.FixtureRequest, kind: str, read_store_url: Callable[[str], str]) -> tuple[str, str | None]:
    """Where the events are, and where the rows are, if elsewhere."""
    if kind == "postgres":
        return request.getfixturevalue("postgres_url"), None
    sqlite: str = request.getfixturevalue("sqlite")
    return sqlite, None if kind == "sqlite" else read_store_url(kind)


class Halving(Elsewhere):
    """Dies, if it is told to, when the rows are over there and the position is not."""

    dies = False

    async def commit(self, change: ViewChange) -> None:
        if self.dies:
            await self.store.commit(msgspec.structs.replace(change, advance=None, parked=(), retried=()))
            raise Killed
        await super().commit(change)


class Worker:
    """One life of the projector."""

    def __init__(self, fold: Fold[Any], storage: Storage, elsewhere: Elsewhere | None, registry: Registry) -> None:
        table = TableSpec("balances", 1, Balance)
        views = elsewhere or storage
        self.projector = Projector(fold, table, views, storage, storage, storage, registry, self.probe)
        self.die_at: str | None = None
        self.token = self.position = 0

    def probe(self, point: str) -> None:
        if point == self.die_at:
            raise Killed

    async def begin(self, checkpoint: Checkpoint) -> None:
        self.token, self.position = checkpoint.token, await self.projector.begin(checkpoint)

    async def step(self, events: list[StoredEvent], registry: Registry, dice: random.Random) -> None:
        """One page of what comes next, in an order that only keeps that of each key."""
        coming = [event for event in events if event.position > self.position][: dice.randint(1, 6)]
        page = Page(self.position, coming, registry)
        self.position = await self.projector.consume(page, shuffled(page, dice), self.token, self.position)


def shuffled(page: Page, dice: random.Random) -> list[int]:
    keys: list[set[str]] = []
    for n in range(len(page.events)):
        event: Event = page.record(n).event  # type: ignore[union-attr]
        keys.append({event.account} if isinstance(event, Closed) else {event.source, event.target})  # type: ignore[attr-defined]
    order = list(range(len(page.events)))
    for _ in range(4 * len(order)):
        n = dice.randrange(max(1, len(order) - 1))
        if n + 1 < len(order) and not keys[order[n]] & keys[order[n + 1]]:
            order[n], order[n + 1] = order[n + 1], order[n]
    return order


@asynccontextmanager
async def opened(events_url: str, rows_url: str | None) -> AsyncIterator[tuple[Storage, Elsewhere | None]]:
    clock = VirtualClock()
    storage = open_storage(events_url, clock)
    await storage.open()
    store = None if rows_url is None else open_read_store(rows_url, clock)
    if store is not None:
        await store.open()
    try:
        yield storage, None if store is None else Halving(store, storage, clock)
    finally:
        if store is not None:
            await store.close()
        await storage.close()


async def history(url: str) -> None:
    app = await App(Transfer, store=url).start(processors=False)
    for command in COMMANDS:
        await app.send(command)
    await app.stop()


async def test_rows_are_exact_whatever_comes_twice_and_whoever_is_killed(
    urls: tuple[str, str | None],
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    await history(urls[0])
    fold, registry = Fold(balances), Registry([Moved, Closed], [])
    async with opened(*urls) as (storage, elsewhere):
        events = list(await storage.read(Selection(), limit=EVENTS))
        assert len(events) == EVENTS
        views = elsewhere or storage
        first = Worker(fold, storage, elsewhere, registry)
        await views.open_table(first.projector.table)
        await views.switch(first.projector.table)
        await storage.register(first.projector.name, position=0)
        zombies: list[Worker] = []
        killed = refused = late = 0
        worker = first
        while killed < KILLS or worker.position < EVENTS:
            owner = f"worker {killed}"
            claimed = await storage.claim(worker.projector.name, owner)
            assert claimed is not None
            await worker.begin(claimed)
            died = await life(worker, events, registry, dice, zombies, slow=killed < KILLS)
            killed += died
            if not died:
                break
            zombies = [*zombies[-2:], worker]  # dead to us, but they may come back
            await storage.release(owner)
            worker = Worker(fold, storage, elsewhere, registry)
        for zombie in zombies:
            zombie.die_at = None
            try:
                await zombie.step(events, registry, dice)
            except LostLease:
                refused += 1
            else:
                late += 1
        assert (refused, late) == (len(zombies), 0)
        await views.settle(worker.projector.table)
        rows = {row.account: (row.amount, row.moves) for row in await views.find(worker.projector.table, {})}
        assert rows == expected(COMMANDS)
        assert killed >= KILLS


async def life(
    worker: Worker,
    events: list[StoredEvent],
    registry: Registry,
    dice: random.Random,
    zombies: list[Worker],
    *,
    slow: bool,
) -> bool:
    """Works until it is killed, or is done. Now and then one comes back from the dead. Whether it was killed."""
    while worker.position < EVENTS:
        if slow:
            worker.die_at = dice.choice([None, "projection.before", "between", "projection.after"])
        for zombie in zombies:
            if dice.random() < 0.3:
                zombie.die_at = None
                if isinstance(zombie.projector.views, Halving):
                    zombie.projector.views.dies = False
                with suppress(LostLease):  # the refusal; whatever it wrote before that has been seen by its rows
                    await zombie.step(events, registry, dice)
        if isinstance(worker.projector.views, Halving):
            worker.projector.views.dies = worker.die_at == "between"
        step = asyncio.ensure_future(worker.step(events, registry, dice))
        if slow and dice.random() < 0.5:  # in the middle of whatever it does at the moment
            await asyncio.sleep(dice.uniform(0, 0.003))
            step.cancel()
        try:
            await step
        except (Killed, asyncio.CancelledError):
            return True
    return False
