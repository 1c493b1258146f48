"""Axon Server's event store as a bus."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from daicho.adapters.buses.axon.aggregates import append_all, events_of
from daicho.adapters.buses.axon.events import DECLARED, Note, aggregate_of, noted, read
from daicho.adapters.buses.axon.failures import InvalidSequence
from daicho.adapters.buses.axon.listening import Listening
from daicho.adapters.buses.axon.location import parse_url
from daicho.adapters.buses.axon.protocol import new
from daicho.adapters.buses.axon.publishing import Partition
from daicho.adapters.buses.axon.subscription import AxonSubscription
from daicho.adapters.buses.axon.wire import Wire
from daicho.adapters.channels import check_chain, check_channel, check_partition
from daicho.core.errors import BusRefused
from daicho.ports.event_bus import BusAbilities, BusMessage, Channel
from daicho.ports.storage import Finding

__all__ = ["AxonBus"]


class AxonBus:
    """Fulfils `daicho.ports.event_bus.EventBus` on a context of an Axon Server from 4.0 on.

    Each partition is an aggregate whose sequence numbers the server checks: of a chain it takes no message twice and
    none out of order, whoever publishes. Groups' places are aggregates, too, so that of two hearers one is told that
    it no longer is. What is published is an event like others, which Axon's own clients can read.
    """

    def __init__(self, url: str) -> None:
        self._location = parse_url(url)
        self._wire = Wire(self._location)
        self._listening = Listening(self._wire)
        self._partitions: dict[str, Partition] = {}
        self._declared: set[Channel] = set()
        self._subscriptions: set[AxonSubscription] = set()

    @property
    def url(self) -> str:
        return self._location.url

    @property
    def abilities(self) -> BusAbilities:
        return BusAbilities(tells_tail=True, keeps=True, keeps_on_disk=True)

    @property
    def unbroken(self) -> object | None:
        return None

    async def open(self) -> None:
        await self._wire.open()

    async def close(self) -> None:
        for subscription in list(self._subscriptions):
            await subscription.close()
        await self._listening.close()
        await self._wire.close()
        self._declared.clear()
        self._partitions.clear()

    async def declare(self, channel: Channel) -> None:
        check_channel(channel)
        if channel in self._declared:
            return
        aggregate = aggregate_of(channel)
        if not await events_of(self._wire, aggregate, 0, 1):
            declaration = noted(DECLARED, Note(partitions=channel.partitions), aggregate, 0)
            with contextlib.suppress(InvalidSequence):  # another process was quicker
                await append_all(self._wire, [declaration])
        await self._check_declared(channel)

    async def tail(self, channel: Channel, partition: int) -> int | None:
        return await (await self._partition(channel, partition)).tail()

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        there = await self._partition(channel, partition)
        check_chain(channel, messages)
        await there.publish(messages)

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> AxonSubscription:
        await self._partition(channel, partition)
        subscription = AxonSubscription(
            self._wire, self._listening, channel, partition, group, self._subscriptions.discard
        )
        await subscription.claim(after)
        self._subscriptions.add(subscription)
        return subscription

    async def examine(self) -> list[Finding]:
        """Also what waits for the subscriptions of this bus."""
        last = (await self._wire.ask("event.EventStore/GetLastToken", new("event.GetLastTokenRequest"))).token
        subscriptions = sorted(self._subscriptions, key=lambda each: each.place)
        waiting = await asyncio.gather(*(each.waiting() for each in subscriptions))
        unheard = [f"{count} for {each.place}" for each, count in zip(subscriptions, waiting, strict=True) if count]
        return [
            Finding(
                what="Axon Server",
                ok=True,
                detail=f"node {self._wire.node}, context {self._location.context}, {last + 1} events",
            ),
            Finding(
                what="durability",
                ok=True,
                detail="it forces its files to disk once a second unless told otherwise: after a power cut the relay "
                "sends again what is missing",
            ),
            Finding(what="waiting", ok=True, detail="; ".join(unheard) or "nothing"),
        ]

    def describe(self) -> dict[str, Any]:
        return {
            "broker": "Axon Server",
            "version": None,
            "durability": "once a second",
            "node": self._wire.node,
            "context": self._location.context,
        }

    async def _partition(self, channel: Channel, partition: int) -> Partition:
        check_partition(channel, partition)
        await self._check_declared(channel)
        key = aggregate_of(channel, partition)
        if key not in self._partitions:
            self._partitions[key] = Partition(self._wire, channel, partition, largest=self._location.largest)
        return self._partitions[key]

    async def _check_declared(self, channel: Channel) -> None:
        if channel in self._declared:
            return
        found = await events_of(self._wire, aggregate_of(channel), 0, 1)
        there = read(found[0]) if found else None
        if there is None:
            raise BusRefused(f"{channel.name} is not there", why="nobody declared it", do="declare it")
        if there.partitions != channel.partitions:
            raise BusRefused(
                f"{channel.name} is there with {there.partitions} partitions, not with {channel.partitions}",
                why="messages would change their partition, and lose their order",
                do="use the number that is there, or another name",
            )
        self._declared.add(channel)
