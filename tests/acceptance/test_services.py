"""The shop as three services that only a bus joins: whoever is killed, every order ends, once."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.services_town import NAMES, Town, trouble
from tests.services.find import needed
from tests.services.kafka import kafka
from tests.services.nats import nats
from tests.services.rabbitmq import rabbitmq
from tests.services.running import Host

BROKERS: dict[str, Callable[[Host], Any]] = {"rabbitmq": rabbitmq, "nats": nats, "kafka": kafka}
PAUSES = {"rabbitmq": 15.0, "nats": 5.0, "kafka": 5.0}
"""Seconds from one kill to the next: RabbitMQ needs ten to be back, and as long again until all services hear it."""
SEED = int(os.environ.get("DAICHO_SEED", 0)) or random.randrange(1_000_000)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Callable[[str], Town]]:
    """Of the URL of a bus."""
    towns = list[Town]()

    def build(bus: str) -> Town:
        towns.append(Town(tmp_path, bus))
        return towns[-1]

    yield build
    for each in towns:
        each.end()


@pytest.mark.campaign
@pytest.mark.parametrize("kind", list(BROKERS))
async def test_ten_thousand_orders_all_end_while_services_and_the_broker_are_killed(
    kind: str, host: Host, town: Callable[[str], Town]
) -> None:
    count = int(os.environ.get("DAICHO_ORDERS", 10_000))
    with needed():
        broker = BROKERS[kind](host)
    shop = town(broker.url)
    shop.start(*NAMES)
    await shop.up()
    if kind == "rabbitmq":
        await asyncio.to_thread(broker.settle)
    began = time.monotonic()
    killing = asyncio.create_task(trouble(shop, broker, SEED, NAMES, PAUSES[kind], 4))
    trading = asyncio.create_task(shop.trade(count, SEED))
    await asyncio.wait([trading, killing], return_when=asyncio.FIRST_COMPLETED)
    trading.cancel("the trouble had an error of its own") if killing.done() else killing.cancel()
    kills = await killing
    await trading
    seconds = time.monotonic() - began
    await shop.stop()
    outcomes = shop.audit()
    broker.stop()
    print(f"\n{kind}: {count} orders, {outcomes}, {kills} kills, {seconds:.0f} s, seed {SEED}")
    assert sum(outcomes.values()) == count
    assert all(outcomes.values())
