"""A process that decides on boundaries: `python -m tests.faults.boundary_worker URL FILE SEED COUNT COURSES`.

Each time it asks which events meet some criteria, and appends one more under the condition that there is no other. For
each append that went through it puts down the criteria and what it had seen: `position | criteria | positions seen`.
"""

import asyncio
import json
import random
import sys
from datetime import UTC, datetime
from uuid import uuid4

from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.conditions import AppendCondition, Criteria, Criterion
from daicho.core.errors import ConcurrencyError
from daicho.ports.event_store import Appended, AppendRequest, NewEvent, Selection, StreamWrite
from tests.faults.register_worker import Ledger

CALLERS = 8


def some_criteria(dice: random.Random, courses: int) -> Criteria:
    """All shapes that lock in different ways: one tag, two tags, a type and a tag, types alone, alternatives."""
    course, student = f"course:{dice.randrange(courses)}", f"student:{dice.randrange(courses)}"
    shape = dice.random()
    if shape < 0.45:
        return Criteria(tags=[course])
    if shape < 0.6:
        return Criteria(tags=[course, student])
    if shape < 0.8:
        return Criteria(types=["left"], tags=[student])
    if shape < 0.81:
        return Criteria(types=["closed"])
    return Criteria(Criterion(tags=(course,)), Criterion(types=("left", "closed"), tags=(student,)))


def some_event(dice: random.Random, criteria: Criteria, courses: int) -> NewEvent:
    """One that mostly meets the criteria itself, so that others are in its way."""
    item = dice.choice(criteria.items)
    tags = {*item.tags, f"course:{dice.randrange(courses)}"} if dice.random() < 0.9 else {"nobody:asks"}
    flow = str(uuid4())
    return NewEvent(
        event_id=str(uuid4()),
        type=dice.choice(item.types or ("joined", "left")) if dice.random() < 0.999 else "closed",
        schema_version=1,
        data=b"{}",
        occurred_at="2026-01-02T03:04:05.000000+00:00",
        correlation_id=flow,
        causation_id=flow,
        tags=tuple(sorted(tags)),
    )


async def caller(store: PostgresStorage, ledger: Ledger, dice: random.Random, left: list[int], courses: int) -> None:
    while left:
        criteria = some_criteria(dice, courses)
        head = await store.head()
        met = await store.read(Selection(criteria=criteria, beyond_head=True), limit=1_000_000)
        seen = [e.position for e in met]
        if dice.random() < 0.3:
            await asyncio.sleep(dice.uniform(0, 0.005))  # long enough for somebody else
        condition = AppendCondition(criteria, after=head, seen=tuple(p for p in seen if p > head))
        write = StreamWrite(stream=f"d-{uuid4()}", events=(some_event(dice, criteria, courses),))
        [answer] = await store.append([AppendRequest(writes=(write,), condition=condition)])
        if isinstance(answer, ConcurrencyError):
            continue
        assert isinstance(answer, Appended), answer
        if left:
            left.pop()
        said = [[item.types, item.tags] for item in criteria.items]
        ledger.note(json.dumps([answer.positions[0], said, seen], separators=(",", ":")))


async def main(url: str, path: str, seed: str, count: str, courses: str) -> None:
    store = PostgresStorage(url, now=lambda: datetime.now(UTC))
    await store.open()
    left = [0] * int(count)
    ledger = Ledger(path)
    callers = [caller(store, ledger, random.Random(f"{seed}.{n}"), left, int(courses)) for n in range(CALLERS)]
    await asyncio.gather(*callers)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:6]))
