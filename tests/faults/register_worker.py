"""A process that writes to, or reads from, a PostgreSQL register, and puts down what it is told.

    python -m tests.faults.register_worker write URL FILE SEED      until it is killed
    python -m tests.faults.register_worker read URL FILE STOP       until there is a file STOP and it is at the head

A writer appends through the store, and in transactions of its own with `daicho.append`: these dawdle, and every tenth
is rolled back. A line `position stream version id` goes into the file after each commit, when its commit is known.
A reader does what every reader does: waits for the head, reads up to it, goes on from there.
"""

import asyncio
import json
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg

from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.ports.event_store import Appended, AppendRequest, NewEvent, Selection, StreamWrite

STREAMS = 40


def event() -> NewEvent:
    flow = str(uuid4())
    return NewEvent(
        event_id=str(uuid4()),
        type="tested",
        schema_version=1,
        data=b"{}",
        occurred_at="2026-01-02T03:04:05.000000+00:00",
        correlation_id=flow,
        causation_id=flow,
    )


class Ledger:
    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, *words: object) -> None:
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())


async def through_the_store(store: PostgresStorage, ledger: Ledger, dice: random.Random) -> None:
    while True:
        streams = dice.sample(range(STREAMS), dice.randint(1, 5))
        requests = [
            AppendRequest(
                writes=(StreamWrite(stream=f"s-{n}", events=tuple(event() for _ in range(dice.randint(1, 3)))),)
            )
            for n in streams
        ]
        for request, answer in zip(requests, await store.append(requests), strict=True):
            assert isinstance(answer, Appended), answer
            [write] = request.writes
            first = answer.versions[0] - len(write.events) + 1
            for n, (position, new) in enumerate(zip(answer.positions, write.events, strict=True)):
                ledger.note(position, write.stream, first + n, new.event_id)
        await asyncio.sleep(dice.uniform(0, 0.003))


async def in_a_transaction(url: str, ledger: Ledger, dice: random.Random) -> None:
    """With stalls between drawing positions and committing; every tenth time it changes its mind."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    while True:
        new, stream, flow = str(uuid4()), f"own-{dice.randrange(STREAMS)}", str(uuid4())
        written = [
            {"r": 1, "w": 1, "v": 1, "s": stream, "t": "tested", "k": 1, "i": new, "c": flow, "u": flow}
            | {"o": datetime.now(UTC).isoformat(), "m": {}, "d": {}}
        ]
        try:
            async with connection.transaction(force_rollback=dice.random() < 0.1) as transaction:
                cursor = await connection.execute(
                    "select places[1], versions[1] + 1 from daicho.append(%s, %s, %s, null, %s, null)",
                    ("now", '[{"k":"*","x":false}]', json.dumps([{"r": 1, "s": stream, "x": -1}]), json.dumps(written)),
                )
                [(position, version)] = await cursor.fetchall()
                await asyncio.sleep(dice.choice([0, 0, 0.001, 0.005, 0.02]))
        except psycopg.errors.UniqueViolation:
            continue  # somebody else wrote this version first
        if not transaction.force_rollback:
            ledger.note(position, stream, version, new)


async def write(url: str, path: str, seed: str) -> None:
    ledger, dice = Ledger(path), random.Random(seed)
    store = PostgresStorage(url, now=lambda: datetime.now(UTC))
    await store.open()
    await asyncio.gather(through_the_store(store, ledger, dice), in_a_transaction(url, ledger, dice))


async def read(url: str, path: str, stop: str) -> None:
    store = PostgresStorage(url, now=lambda: datetime.now(UTC))
    await store.open()
    ledger, at, is_over = Ledger(path), 0, Path(stop).exists
    while True:
        try:
            head = await asyncio.wait_for(store.wait(at), 0.5)
        except TimeoutError:
            if is_over() and await store.head() == at:
                break
            continue
        while page := await store.read(Selection(after=at, up_to=head), limit=500):
            for stored in page:
                ledger.note(stored.position, stored.stream, stored.version, stored.event_id)
            at = page[-1].position
        at = max(at, head)
    await store.close()


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    asyncio.run({"write": write, "read": read}[what](*arguments))
