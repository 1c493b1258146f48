"""Kafka by hand: an idempotent producer, flushed; a consumer that is assigned its partition."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition, admin

from daicho.adapters.cloudevents import KAFKA, headers_of
from daicho.ports.event_bus import BusMessage
from tests.services import kafka as servers
from tests.services.running import Host

names = count(1)


class Kafka:
    share = 1.0

    def __init__(self) -> None:
        self._host = Host()
        server = servers.kafka(self._host)
        self.url = server.url
        self.client = Client(server.servers)
        self.title = "Kafka, one broker"

    def close(self) -> None:
        self._host.close()


class Client:
    """The library blocks: it is given a thread, as any asynchronous program would."""

    def __init__(self, servers: str) -> None:
        self._settings: dict[str, Any] = {"bootstrap.servers": servers, "log_level": 0}

    async def open(self) -> None:
        self._name = f"raw{next(names)}"
        untyped: Any = admin
        there = untyped.AdminClient(self._settings)
        there.create_topics([untyped.NewTopic(self._name, 1)], operation_timeout=10)[self._name].result(20)
        self._producer = Producer({**self._settings, "enable.idempotence": True, "acks": "all", "linger.ms": 1})
        self._producer.list_topics(self._name, timeout=10)

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        await asyncio.to_thread(self._publish, messages)

    def _publish(self, messages: Sequence[BusMessage]) -> None:
        for each in messages:
            headers: Any = [(name, value.encode()) for name, value in headers_of(each, KAFKA).items()]
            self._producer.produce(self._name, each.data, each.subject.encode(), 0, headers=headers)
        assert self._producer.flush(30) == 0

    async def hear(self, count: int, portion: int) -> None:
        await asyncio.to_thread(self._hear, count, portion)

    def _hear(self, count: int, portion: int) -> None:
        consumer = Consumer({**self._settings, "group.id": self._name, "enable.auto.commit": False})
        consumer.assign([TopicPartition(self._name, 0, 0)])
        heard, committed = 0, 0
        while heard < count:
            heard += len(consumer.consume(portion, 0.05))
            if heard - committed >= portion or heard == count:
                consumer.commit(offsets=[TopicPartition(self._name, 0, heard)], asynchronous=False)
                committed = heard
        consumer.close()

    async def close(self) -> None:
        self._producer.flush(10)
