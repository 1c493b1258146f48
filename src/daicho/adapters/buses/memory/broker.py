"""What a bus in memory holds, for everyone in this process who names it."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from daicho.core.errors import BusRefused
from daicho.ports.event_bus import BusMessage, Channel

__all__ = ["Broker", "Partition", "broker"]

Waiting: TypeAlias = tuple[asyncio.AbstractEventLoop, asyncio.Event]


@dataclass
class Partition:
    """All messages ever, and how far each group has come."""

    messages: list[BusMessage] = field(default_factory=list[BusMessage])
    places: dict[str, int] = field(default_factory=dict[str, int])
    """The index of the first message that a group has not acknowledged."""
    hearers: dict[str, int] = field(default_factory=dict[str, int])
    """Which of its subscriptions, counted, hears for a group."""
    waiting: list[Waiting] = field(default_factory=list[Waiting])

    def tail(self) -> int:
        return next((message.number for message in reversed(self.messages) if message.number), 0)

    def behind(self, number: int) -> int:
        """The index of the first message that is not known to one who has that number."""
        for index, message in enumerate(self.messages):
            if message.number > number or (not message.number and not number):
                return index
        return len(self.messages)

    def wait_no_more(self, event: asyncio.Event) -> None:
        self.waiting = [each for each in self.waiting if each[1] is not event]

    def wake(self) -> None:
        for loop, event in self.waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)
        self.waiting.clear()


class Broker:
    """Apps may share it from several threads, each with a loop of its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._channels: dict[str, list[Partition]] = {}

    def declare(self, channel: Channel) -> None:
        with self.lock:
            there = self._channels.setdefault(channel.name, [Partition() for _ in range(channel.partitions)])
        if len(there) != channel.partitions:
            raise BusRefused(
                f"{channel.name} is there with {len(there)} partitions, not with {channel.partitions}",
                why="messages would change their partition, and lose their order",
                do="use the number that is there, or another name",
            )

    def partition(self, channel: Channel, partition: int) -> Partition:
        there = self._channels.get(channel.name)
        if there is None:
            raise BusRefused(f"there is no channel {channel.name}", do="declare it first")
        return there[partition]

    def waiting(self) -> Sequence[str]:
        """Every channel and group that has something to hear yet, in words."""
        with self.lock:
            return [
                f"{name}/{number}: {len(each.messages) - place} for {group}"
                for name, partitions in sorted(self._channels.items())
                for number, each in enumerate(partitions)
                for group, place in sorted(each.places.items())
                if place < len(each.messages)
            ]

    def held(self) -> int:
        with self.lock:
            return sum(len(each.messages) for partitions in self._channels.values() for each in partitions)


_shared: dict[str, Broker] = {}
_sharing = threading.Lock()


def broker(name: str) -> Broker:
    """The one of that name, which lives as long as the process; without a name a new one."""
    with _sharing:
        return _shared.setdefault(name, Broker()) if name else Broker()
