"""The model of queues, held against a real topology: balancer, services, database, over sockets."""

import asyncio
import random
import time
from statistics import mean, median, stdev
from urllib.parse import urlsplit

import pytest

from daicho.advisor.simulation.stations import Service, least
from daicho.topologies import shape
from daicho.topologies.local.up import Up
from tests.faults.slow_app import SECONDS
from tests.services.find import program

REQUESTS = 1_000


async def ask(host: str, port: int) -> tuple[float, float] | None:
    """Seconds from the moment at which it was due to the last byte of the answer; and those that the service was busy
    with it, by its own clock. None: it took no more, as there was too much to do."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /busy HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    if answer.startswith(b"HTTP/1.1 503") and b"D723" in answer:
        return None
    assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
    return time.perf_counter() - began, float(answer.rpartition(b"\r\n\r\n")[2])


async def poisson(url: str, rate: float, count: int, seed: int) -> list[tuple[float, float]]:
    parts = urlsplit(url)
    chance = random.Random(seed)
    due, start = 0.0, time.perf_counter()
    asked: list[asyncio.Task[tuple[float, float] | None]] = []
    for _ in range(count):
        due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
        asked.append(asyncio.create_task(ask(parts.hostname or "", parts.port or 0)))
    found = [each for each in await asyncio.gather(*asked) if each is not None]
    assert len(found) > 0.95 * count, "too many were refused to be compared"
    return found


@pytest.mark.campaign
@pytest.mark.parametrize("busy", [0.4, 0.6])
async def test_a_real_topology_waits_as_predicted(busy: float) -> None:
    """Two app servers behind HAProxy, each busy 50 ms with a request, by arrivals of chance. The simulation is fed
    with how long they were busy, by their own clock, and with what a lone caller waits beyond that. The median may be a
    quarter off, the p90 two fifths. The p99 is printed: 10 requests make it, and the pauses of a machine with other
    work."""
    program("haproxy", package="haproxy")
    async with Up(shape("1:1", app="tests.faults.slow_app:app", app_servers=2)) as up:
        parts = urlsplit(up.url)
        alone = [each for _ in range(50) if (each := await ask(parts.hostname or "", parts.port or 0))]
        beyond = median(stay - work for stay, work in alone)
        rate = busy * 2 / (mean(work for _, work in alone) + beyond)
        found = await poisson(up.url, rate, REQUESTS, seed=1)
    stays = sorted(stay for stay, _ in found)
    works = [work + beyond for _, work in found]
    service = Service(mean(works), stdev(works) / mean(works))
    predicted = sorted(least(rate, service, 2, 100_000, random.Random(1)).stays)
    told = {
        share: (round(stays[int(len(stays) * share)] * 1000, 1), round(predicted[int(90_000 * share)] * 1000, 1))
        for share in (0.5, 0.9, 0.99)
    }
    how = f"{service.seconds * 1000:.1f} ms, variation {service.variation:.2f}, {beyond * 1000:.1f} ms of it on the way"
    print(f"\nbusy {busy:.0%}, {how}: measured and predicted ms {told}")
    assert service.seconds >= SECONDS
    assert told[0.5][0] == pytest.approx(told[0.5][1], rel=0.25)
    assert told[0.9][0] == pytest.approx(told[0.9][1], rel=0.4)
