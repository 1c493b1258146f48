"""One who publishes a chain as the relay does, and one who hears it as the inbox does, through whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable

from daicho.core.errors import BusUnavailable
from daicho.ports.event_bus import BusMessage, Channel, EventBus
from daicho.testing.contracts.event_bus import chain

PAUSE = 0.05
STEP = 40


async def publish_all(bus: EventBus, channel: Channel, last: int, progress: Callable[[int], Awaitable[None]]) -> int:
    """Everything up to `last`, from the broker's own tail on after each failure; how many failures there were."""
    failures, at = 0, -1
    while at < last:
        try:
            if at < 0:
                at = await bus.tail(channel, 0) or 0
            step = chain(*range(at + 1, min(at + STEP, last) + 1), after=at)
            await bus.publish(channel, 0, step)
            at += len(step)
            await progress(at)
        except BusUnavailable:
            failures, at = failures + 1, -1
            await asyncio.sleep(PAUSE)
    return failures


async def hear_all(bus: EventBus, channel: Channel, group: str, last: int) -> list[int]:
    """The numbers that were news, in the order in which they came. Raises AssertionError at a hole."""
    heard: list[int] = []
    hearing = None
    while not heard or heard[-1] < last:
        try:
            hearing = hearing or await bus.subscribe(channel, 0, group)
            deliveries = await hearing.receive(limit=100)
            for delivery in deliveries:
                message: BusMessage = delivery.message
                known = heard[-1] if heard else 0
                if message.number > known:
                    assert message.previous == known, f"{message.previous} is missing behind {known}"
                    heard.append(message.number)
            await hearing.acknowledge(deliveries)
        except BusUnavailable:
            await asyncio.sleep(PAUSE)
    if hearing:
        await hearing.close()
    return heard
