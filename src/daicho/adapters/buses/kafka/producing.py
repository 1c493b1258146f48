"""The way out: one idempotent producer for all partitions, and a thread that hears what became of its messages."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from daicho.adapters.buses.kafka.failures import translated
from daicho.adapters.buses.kafka.location import Location
from daicho.core.errors import BusClosed, BusError

__all__ = ["Outgoing", "Producing"]

_POLL = 0.1


class Outgoing(msgspec.Struct, frozen=True):
    """A message as it goes out."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """At most, in the broker's count."""
        return len(self.key) + len(self.value) + sum(len(name) + len(value) + 10 for name, value in self.headers) + 100


class Producing:
    """Started and stopped. A producer that can no longer vouch for its order is replaced by a new one."""

    def __init__(self, location: Location, settings: dict[str, Any]) -> None:
        self._location = location
        self._settings: dict[str, Any] = {
            **settings,
            "error_cb": self._trouble,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 1,
            "compression.type": "lz4",
            "message.timeout.ms": int(location.answer_within * 1000),
            "message.max.bytes": 10**9,  # the topic's own limit is looked at before
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
        }
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._over, self._broken = threading.Event(), threading.Event()

    def start(self) -> None:
        self._over.clear()
        self._producer = Producer(self._settings)
        self._thread = threading.Thread(target=self._poll, name="daicho-kafka-producer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Waits for what is under way."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._producer is not None:
                self._producer.flush(self._location.answer_within)
                self._producer.purge()
                self._producer.flush(1)
                self._producer = None

    def send(
        self, topic: str, partition: int, messages: Sequence[Outgoing], loop: asyncio.AbstractEventLoop
    ) -> "asyncio.Future[None]":
        """Hands them over at once, in this order; the future ends when the cluster has confirmed or given up all."""
        done: asyncio.Future[None] = loop.create_future()
        report = _Report(len(messages), loop, done, self._location.url)
        with self._lock:
            if self._producer is None:
                raise BusClosed(f"{self._location.url} is not open", do="open the bus before using it")
            producer = self._producer
            for number, message in enumerate(messages):
                try:
                    producer.produce(
                        topic,
                        message.value,
                        message.key,
                        partition,
                        on_delivery=report.heard,
                        headers=message.headers,  # type: ignore[arg-type]
                    )
                except (KafkaException, BufferError) as error:
                    report.broke(error, len(messages) - number)
                    break
        return done

    def _poll(self) -> None:
        while not self._over.is_set():
            with self._lock:
                producer = self._producer
            if producer is not None:
                producer.poll(_POLL)
            if self._broken.is_set():
                self._replace()

    def _trouble(self, error: KafkaError) -> None:
        if error.fatal():
            self._broken.set()

    def _replace(self) -> None:
        """What the old one still had is told as failed: the relay looks at the tail, and sends it again."""
        with self._lock:
            broken, self._producer = self._producer, Producer(self._settings)
            self._broken.clear()
        if broken is not None:
            broken.purge()
            broken.flush(1)


class _Report:
    """Counts what was heard of a batch. Called in the polling thread."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop, done: "asyncio.Future[None]", url: str) -> None:
        self._left, self._loop, self._done, self._url = count, loop, done, url
        self._error: BusError | None = None
        self._lock = threading.Lock()

    def heard(self, error: KafkaError | None, _: Message) -> None:
        self._count(translated(error, self._url) if error is not None else None, 1)

    def broke(self, error: BaseException, count: int) -> None:
        """The rest was not handed over."""
        self._count(translated(error, self._url), count)

    def _count(self, error: BusError | None, count: int) -> None:
        with self._lock:
            self._error = self._error or error
            self._left -= count
            if self._left:
                return
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._done.done():
            return
        if self._error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(self._error)
