"""Kafka as a bus: a topic for a channel, whose partitions are the channel's."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from daicho.adapters.buses.kafka.administration import Administration
from daicho.adapters.buses.kafka.failures import patiently, telling
from daicho.adapters.buses.kafka.hearing import KafkaSubscription
from daicho.adapters.buses.kafka.location import parse_url
from daicho.adapters.buses.kafka.log import Log
from daicho.adapters.buses.kafka.places import Places
from daicho.adapters.buses.kafka.producing import Outgoing, Producing
from daicho.adapters.buses.kafka.threads import Threads
from daicho.adapters.channels import check_chain, check_channel, check_partition
from daicho.adapters.cloudevents import KAFKA, headers_of
from daicho.core.errors import BusClosed, BusRefused
from daicho.ports.event_bus import BusAbilities, BusMessage, Channel
from daicho.ports.storage import Finding

__all__ = ["KafkaBus", "topic_of"]

T = TypeVar("T")
_LONGEST_TOPIC = 249
_THREADS = 8
DURABILITY = (
    "acks=all: every replica in sync has a message before it is confirmed, in memory: a single broker that loses its "
    "power takes the last ones, and the relay sends them again; have three replicas and min.insync.replicas=2"
)


class KafkaBus:
    """Fulfils `daicho.ports.event_bus.EventBus`."""

    def __init__(self, url: str) -> None:
        self._location = parse_url(url)
        within = self._location.answer_within
        self._client: dict[str, Any] = {
            **self._location.client,
            "client.id": "daicho",
            "log_level": 0,
            "socket.timeout.ms": int(max(1.0, within) * 1000),
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
        }
        self._hearing: dict[str, Any] = {
            **self._client,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 20,
            "allow.auto.create.topics": False,
        }
        self._administration: Administration | None = None
        self._threads = Threads("daicho-kafka", _THREADS)
        self._producing = Producing(self._location, self._client)
        self._subscriptions: set[KafkaSubscription] = set()
        self._places: dict[str, Places] = {}
        self._limits: dict[str, int] = {}
        self._brokers = 0

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
        self._threads = Threads("daicho-kafka", _THREADS)
        administration = Administration(self._client, self._location.answer_within)
        try:
            with telling(self.url):
                self._brokers = await self._threads.run(administration.brokers)
        except BaseException:
            self._threads.close()
            raise
        self._administration = administration
        self._producing.start()

    async def close(self) -> None:
        administration, self._administration = self._administration, None
        if administration is None:
            return
        subscriptions, self._subscriptions = self._subscriptions, set()
        for subscription in subscriptions:
            await subscription.close()
        await self._threads.run(self._producing.stop)
        for subscription in subscriptions:
            await self._threads.run(subscription.ended)
        while self._places:
            await self._threads.run(self._places.popitem()[1].close)
        self._threads.close()

    async def declare(self, channel: Channel) -> None:
        check_channel(channel)
        topic, age, there = self._topic(channel), self._location.max_age, self._opened()
        kept = {"cleanup.policy": "delete", "retention.bytes": "-1", "retention.ms": str(age * 1000 if age else -1)}
        await self._ask(lambda: there.create(topic, channel.partitions, self._location.replication, kept))
        count = await self._ask(lambda: there.partitions(topic))
        if count != channel.partitions:
            raise BusRefused(
                f"{channel.name} is there with {count} partitions, not with {channel.partitions}",
                why="messages would change their partition, and lose their order",
                do="use the number that is there, or another name",
            )
        self._limits[topic] = await self._ask(lambda: there.limit(topic, is_new=True))

    async def tail(self, channel: Channel, partition: int) -> int | None:
        check_partition(channel, partition)
        topic = self._topic(channel)

        within = self._location.answer_within

        def look() -> int | None:
            log = Log(self._hearing, topic, partition, within)
            try:
                return patiently(log.tail, within)  # of a topic that is new, the leader may not know yet that it leads
            finally:
                log.close()

        return await self._ask(look)

    async def publish(self, channel: Channel, partition: int, messages: Sequence[BusMessage]) -> None:
        check_partition(channel, partition)
        check_chain(channel, messages)
        there = self._opened()
        ready = [_outgoing(message) for message in messages]
        if not ready:
            return
        topic = self._topic(channel)
        if topic not in self._limits:
            self._limits[topic] = await self._ask(lambda: there.limit(topic))
        most = self._limits[topic]
        fits = next((number for number, each in enumerate(ready) if each.size > most), len(ready))
        if fits:
            await self._producing.send(topic, partition, ready[:fits], asyncio.get_running_loop())
        if fits < len(ready):
            raise BusRefused(
                f"message {messages[fits].id!r} of type {messages[fits].type!r} is too large for {self.url}",
                why=f"it has {ready[fits].size:,} bytes with its headers; the topic's max.message.bytes is {most:,}",
                do="raise max.message.bytes of the topic, or publish less in one event",
            )

    async def subscribe(self, channel: Channel, partition: int, group: str, *, after: int = -1) -> KafkaSubscription:
        check_partition(channel, partition)
        topic, there = self._topic(channel), self._opened()
        count = await self._ask(lambda: there.partitions(topic))
        if partition >= count:
            raise BusRefused(f"{channel.name} has {count} partitions, and no {partition}", do="declare it first")
        places = self._places_of(group)
        subscription = KafkaSubscription(self._hearing, self._threads, places, (topic, partition), self._location)
        self._subscriptions.add(subscription)
        await subscription.start(after)
        return subscription

    async def examine(self) -> list[Finding]:
        self._brokers = await self._ask(self._opened().brokers)
        several = self._brokers > 2
        return [
            Finding(what="Kafka", ok=True, detail=f"{self._brokers} brokers at {self.url}"),
            Finding(
                what="durability",
                ok=several,
                detail=DURABILITY,
                do="" if several else "have three brokers: with fewer, what was confirmed is on too few machines",
            ),
        ]

    def describe(self) -> dict[str, Any]:
        return {"broker": "Kafka", "version": None, "brokers": self._brokers, "durability": DURABILITY}

    def _places_of(self, group: str) -> Places:
        name = f"{self._location.prefix}.{group}" if self._location.prefix else group
        if name not in self._places:
            self._places[name] = Places(self._hearing, name, self._location.answer_within)
        return self._places[name]

    async def _ask(self, ask: Callable[[], T]) -> T:
        self._opened()
        with telling(self.url):
            return await self._threads.run(ask)

    def _opened(self) -> Administration:
        if self._administration is None:
            raise BusClosed(f"{self.url} is not open", do="open the bus before using it")
        return self._administration

    def _topic(self, channel: Channel) -> str:
        topic = topic_of(channel.name, self._location.prefix)
        if len(topic) > _LONGEST_TOPIC:
            raise BusRefused(f"{channel.name!r} cannot name a topic", why=f"{topic} is too long", do="shorten it")
        return topic


def topic_of(channel: str, prefix: str = "") -> str:
    """Kafka takes `.` and `_` for the same in its metrics, and refuses a topic that differs from another in nothing
    else: `_` is written `-u`, and so `-` as `--`."""
    name = channel.replace("-", "--").replace("_", "-u")
    return f"{prefix}.{name}" if prefix else name


def _outgoing(message: BusMessage) -> Outgoing:
    headers = headers_of(message, KAFKA)
    return Outgoing(message.subject.encode(), message.data, [(name, value.encode()) for name, value in headers.items()])
