"""Patroni, etcd and HAProxy: the primary is killed under load, and writes go on by themselves with nothing lost."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.errors import StoreError
from daicho.core.streams import Position
from daicho.ports.event_store import Appended, AppendRequest, Selection
from daicho.testing.contracts.base import request
from tests.services.find import wanted
from tests.services.patroni import Cluster
from tests.services.running import Host

_CALLERS, _AFTERWARDS = 8, 100

pytestmark = pytest.mark.campaign


@pytest.fixture
def cluster(host: Host) -> Iterator[Cluster]:
    with wanted():
        cluster = Cluster(host)
    yield cluster
    cluster.end()


async def test_a_primary_that_is_killed_under_load_is_replaced_and_nothing_acknowledged_is_lost(
    cluster: Cluster,
) -> None:
    store = PostgresStorage(f"{cluster.url}?reconnect_within=120", now=lambda: datetime.now(UTC))
    await store.open()
    acknowledged: dict[str, int] = {}
    is_over = asyncio.Event()

    async def write(caller: int) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            asked = request(f"load-{caller}.{count}", "a")
            answer = await insisted(store, asked)
            acknowledged[asked.writes[0].events[0].event_id] = answer.positions[0]

    writers = [asyncio.create_task(write(caller)) for caller in range(_CALLERS)]
    for round_ in (1, 2):
        before = len(acknowledged)
        while len(acknowledged) < before + 200:  # noqa: ASYNC110 - until there was load
            await asyncio.sleep(0.01)
        cluster.primary.kill_postgres()
        while sum(Position(p).epoch >= round_ for p in acknowledged.values()) < _AFTERWARDS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.to_thread(cluster.in_step)
    is_over.set()
    await asyncio.gather(*writers)

    there: dict[str, int] = {}
    after = 0
    while page := await store.read(Selection(after=after), limit=1000):
        there |= {event.event_id: event.position for event in page}
        after = page[-1].position
    epochs = await store.epochs()
    await store.close()
    assert {event: there.get(event) for event in acknowledged} == acknowledged
    assert len(there) == len(set(there.values()))
    assert [epoch.epoch for epoch in epochs][:1] == [0]
    assert len(epochs) >= 3


async def insisted(store: PostgresStorage, asked: AppendRequest) -> Appended:
    """As a client who is not told does: the same again, under the same ids."""
    while True:
        try:
            [answer] = await store.append([asked])
        except StoreError:
            await asyncio.sleep(0.05)
            continue
        if isinstance(answer, Appended):
            return answer
        if not isinstance(answer, StoreError):
            raise answer
