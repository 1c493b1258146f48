"""Many callers of one process on a real server: order, conditions and readers."""

import asyncio
import random
from collections import defaultdict
from datetime import UTC, datetime

from daicho import Criteria
from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.conditions import AppendCondition
from daicho.core.errors import ConcurrencyError
from daicho.ports.event_store import Selection
from daicho.testing.contracts.base import event, request
from daicho.write.appending import Appender

CALLERS, EACH, STREAMS, SEATS = 64, 25, 100, 5
TAKEN = Criteria(tags=("seat",))


async def test_of_many_callers_nothing_is_lost_doubled_reordered_or_skipped(postgres_url: str) -> None:
    store = PostgresStorage(postgres_url, now=lambda: datetime.now(UTC))
    await store.open()
    appender = Appender(store)
    acknowledged: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    seen: list[tuple[int, str]] = []
    finished = asyncio.Event()

    async def write(caller: int) -> None:
        draw = random.Random(caller)
        for _ in range(EACH):
            stream, new = (
                f"s-{draw.randrange(STREAMS)}",
                event(f"t{caller % 3}", tags=("a",) if caller % 7 == 0 else ()),
            )
            while True:
                try:
                    expected = await store.stream_version(stream)
                    done = await appender.submit(request(stream, new, expected=expected))
                except ConcurrencyError:
                    continue
                acknowledged[stream].append((done.versions[0], done.positions[0], new.event_id))
                break

    async def take_a_seat(caller: int) -> None:
        while True:
            head = await store.head()
            taken = await store.read(Selection(criteria=TAKEN, beyond_head=True), limit=100)
            if len(taken) >= SEATS:
                return
            behind = tuple(each.position for each in taken if each.position > head)
            asked = request(
                f"guest-{caller}",
                event("seated", tags=("seat",)),
                condition=AppendCondition(TAKEN, after=head, seen=behind),
            )
            try:
                await appender.submit(asked)
            except ConcurrencyError:
                continue

    async def read() -> None:
        after = 0
        while not finished.is_set() or after < await store.head():
            page = await store.read(Selection(after=after), limit=500)
            seen.extend((each.position, each.event_id) for each in page)
            after = page[-1].position if page else after
            await asyncio.sleep(0 if page else 0.001)

    reading = asyncio.create_task(read())
    await asyncio.gather(*map(write, range(CALLERS)), *map(take_a_seat, range(16)))
    await appender.close()
    finished.set()
    await reading
    seats = await store.read(Selection(criteria=TAKEN), limit=100)
    everything = await store.read(Selection(), limit=10_000)
    await store.close()

    assert len(seats) == SEATS
    assert sum(map(len, acknowledged.values())) == CALLERS * EACH
    for stream, places in acknowledged.items():
        ordered = sorted(places)
        assert [version for version, _, _ in ordered] == list(range(1, len(places) + 1))
        assert [position for _, position, _ in ordered] == sorted(position for _, position, _ in ordered)
        assert [each.event_id for each in everything if each.stream == stream] == [each for _, _, each in ordered]
    assert len(everything) == CALLERS * EACH + SEATS
    assert seen == [(each.position, each.event_id) for each in everything]
