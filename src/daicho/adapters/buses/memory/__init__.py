"""A bus in this process's memory: for tests, for trying out, and as the shortest illustration of the port.

`memory:NAME` is shared by all who name it, in any thread; `memory:` by nobody. It is unkind on purpose: while it takes
messages, and before it hands them out, it lets other tasks run.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from daicho.adapters.buses.memory.broker import Broker, Partition, broker
from daicho.adapters.channels import check_chain, check_channel, check_partition
from daicho.adapters.cloudevents import KAFKA, headers_of
from daicho.core.errors import BadUrl, BusClosed
from daicho.ports.event_bus import BusAbilities, BusMessage, Channel, Delivery
from daicho.ports.storage import Finding

__all__ = ["MemoryBus", "MemorySubscription"]


class MemoryBus:
    """Fulfils `daicho.ports.event_bus.EventBus`. It keeps all messages, until the process ends."""

    def __init__(self, url: str = "memory:") -> None:
        if not url.startswith("memory:"):
            raise BadUrl(f"{url!r} does not name a bus in memory", do="write memory:NAME", url=url)
        self._url = url
        self._broker = broker(url.removeprefix("memory:"))
        self._open = False
        self._subscriptions: set[MemorySubscription] = set()

    @property
    def url(self) -> str:
        return self._url

    @property
    def abilities(self) -> BusAbilities:
        return BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=False)

    @property
    def unbroken(self) -> object | None:
        return None

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        while self._subscriptions:
            await self._subscriptions.pop().close()

    async def declare(self, channel: Channel) -> None:
        check_channel(channel)
        self._opened().declare(channel)

    async def tail(self, channel: Channel, partition: int) -> int | None:
        there = self._partition(channel, partition)
        await asyncio.sleep(0)
        with self._broker.lock:
            return there.tail()

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        there = self._partition(channel, partition)
        check_chain(channel, messages)
        for message in messages:
            headers_of(message, KAFKA)  # what other brokers refuse is refused here
        for message in messages:
            with self._broker.lock:
                there.messages.append(message)
                there.wake()
            await asyncio.sleep(0)

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> "MemorySubscription":
        there = self._partition(channel, partition)
        await asyncio.sleep(0)
        subscription = MemorySubscription(self._broker, there, group, after)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, channel: Channel, partition: int, count: int) -> None:
        """Loses the last messages, as a broker does that confirmed before its disk had them. For tests."""
        there = self._partition(channel, partition)
        with self._broker.lock:
            del there.messages[max(0, len(there.messages) - count) :]
            there.places = {group: min(place, len(there.messages)) for group, place in there.places.items()}
            there.hearers = {group: number + 1 for group, number in there.hearers.items()}
            there.wake()

    async def examine(self) -> list[Finding]:
        waiting = self._opened().waiting()
        return [
            Finding(
                what="durability",
                ok=True,
                detail=f"{self._broker.held()} messages in memory: they end with this process, and others do not hear",
                do="use a bus URL like nats://host to reach other processes",
            ),
            Finding(what="waiting", ok=True, detail="; ".join(waiting) or "nothing"),
        ]

    def describe(self) -> dict[str, Any]:
        return {"broker": "memory", "version": None, "durability": "none"}

    def _opened(self) -> Broker:
        if not self._open:
            raise _closed(self._url)
        return self._broker

    def _partition(self, channel: Channel, partition: int) -> Partition:
        check_partition(channel, partition)
        return self._opened().partition(channel, partition)


class MemorySubscription:
    """Hears until it is closed or another one subscribes for its group."""

    def __init__(self, shared: Broker, partition: Partition, group: str, after: int) -> None:
        self._broker, self._partition, self._group = shared, partition, group
        with shared.lock:
            if after >= 0:
                partition.places[group] = partition.behind(after)
            self._next = partition.places.setdefault(group, 0)
            self._number = partition.hearers[group] = partition.hearers.get(group, 0) + 1
            partition.wake()

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        await asyncio.sleep(0)
        while True:
            woken = asyncio.Event()
            with self._broker.lock:
                self._check()
                start, found = self._next, self._partition.messages[self._next : self._next + limit]
                self._next += len(found)
                if not found:
                    self._partition.waiting.append((asyncio.get_running_loop(), woken))
            if found:
                return [Delivery(message, start + n) for n, message in enumerate(found)]
            try:
                await woken.wait()
            finally:
                with self._broker.lock:
                    self._partition.wait_no_more(woken)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        await asyncio.sleep(0)
        with self._broker.lock:
            self._check()
            places = self._partition.places
            places[self._group] = max(places[self._group], *(delivery.receipt + 1 for delivery in deliveries), 0)

    async def close(self) -> None:
        self._number = 0
        with self._broker.lock:
            self._partition.wake()

    def _check(self) -> None:
        if self._number != self._partition.hearers[self._group]:
            raise _closed(f"the subscription of {self._group}", "it was closed, or another one hears for its group")


def _closed(what: str, why: str = "it was closed, or never opened") -> BusClosed:
    return BusClosed(f"{what} is not open", why=why, do="open it, or subscribe again")
