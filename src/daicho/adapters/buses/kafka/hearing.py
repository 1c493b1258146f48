"""A hearer of one partition: a consumer with a thread of its own, from the group's place on."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, KafkaError, TopicPartition

from daicho.adapters.buses.kafka.failures import telling, translated
from daicho.adapters.buses.kafka.location import Location
from daicho.adapters.buses.kafka.log import Entry, Log, entry_of
from daicho.adapters.buses.kafka.places import Note, Places
from daicho.adapters.buses.kafka.threads import Threads
from daicho.adapters.searching import behind
from daicho.core.errors import BusClosed, BusError
from daicho.ports.event_bus import Delivery

__all__ = ["KafkaSubscription", "Receipt"]

_POLL = 0.1
_AHEAD = 2000
"""Messages that wait here for a slow hearer; more wait at the broker."""


class Receipt(msgspec.Struct, frozen=True):
    """The place of a group that has done with a message."""

    offset: int
    number: int


class KafkaSubscription:
    """Hears from `start` on. Broker failures are told, and mended by the client library: it goes on by itself."""

    def __init__(
        self, settings: Mapping[str, Any], threads: Threads, places: Places, where: tuple[str, int], location: Location
    ) -> None:
        self._settings, self._threads, self._places, self._where = settings, threads, places, where
        self._url, self._within = location.url, location.answer_within
        self._name = f"the subscription to {where[0]}/{where[1]}"
        self._hearer = uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None
        self._arrived: deque[Entry] = deque()
        self._news = asyncio.Event()
        self._room = threading.Event()
        self._number = self._done = 0
        self._failed: BusError | None = None
        self._over = ""

    @property
    def is_over(self) -> bool:
        return bool(self._over)

    async def start(self, after: int) -> None:
        """From the group's place, or from behind a number. Raises BusUnavailable, BusRefused."""
        run, hearing = self._threads.run, {**self._settings, "group.id": "daicho-hearer", "error_cb": self._trouble}
        with telling(self._url):
            log = await run(lambda: Log(self._settings, *self._where, self._within))
            try:
                offset, note = await run(lambda: self._places.load(*self._where))
                self._done, self._number = await self._beginning(log, after, offset, note)
                mine = Note(self._hearer, self._number, note.id if self._done == offset else "")
                await run(lambda: self._places.save(*self._where, self._done, mine))
            except BaseException:
                self._over = "it could not begin"
                raise
            finally:
                await run(log.close)
            consumer = await run(lambda: Consumer(hearing))
            consumer.assign([TopicPartition(*self._where, self._done)])
        self._room.set()
        self._thread = threading.Thread(target=self._hear, args=(consumer,), name="daicho-kafka-hearer", daemon=True)
        self._thread.start()

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        while True:
            self._check()
            self._news.clear()
            if self._arrived:
                found = [self._hand_out() for _ in range(min(limit, len(self._arrived)))]
                if len(self._arrived) < _AHEAD:
                    self._room.set()
                return found
            if self._failed is not None:
                failed, self._failed = self._failed, None
                raise failed
            await self._news.wait()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        last = max(deliveries, key=lambda delivery: delivery.receipt.offset, default=None)
        if last is None or last.receipt.offset <= self._done:
            return
        note = Note(self._hearer, last.receipt.number, last.message.id[:500])
        with telling(self._url):
            if not await self._threads.run(lambda: self._places.move(*self._where, last.receipt.offset, note)):
                self._over = self._over or "another one hears for its group"
                self._check()
        self._done = max(self._done, last.receipt.offset)

    async def close(self) -> None:
        """The thread ends by itself, within a moment; `ended` waits for it."""
        self._over = self._over or "it was closed"
        self._room.set()
        self._news.set()

    def ended(self) -> None:
        """Waits for the thread. Not in the loop."""
        if self._thread is not None:
            self._thread.join()

    def _hand_out(self) -> Delivery:
        entry = self._arrived.popleft()
        self._number = max(self._number, entry.message.number)
        return Delivery(entry.message, Receipt(entry.offset + 1, self._number))

    async def _beginning(self, log: Log, after: int, offset: int, note: Note) -> tuple[int, int]:
        """Where to hear from, and the number that the group has there."""
        low, end = await self._threads.run(log.bounds)
        if after == 0:
            return low, 0
        if after > 0:
            return await self._behind(log, after, low, end), after
        if offset < 0:
            return low, 0
        if low < offset <= end and note.id:
            before = await self._threads.run(lambda: log.at(offset - 1))
            if before is not None and before.message.id[:500] != note.id:
                return await self._behind(log, note.number, low, end), note.number
        elif offset > end:  # the broker lost its end
            return await self._behind(log, note.number, low, end), note.number
        return max(low, offset), note.number

    async def _behind(self, log: Log, number: int, low: int, end: int) -> int:
        async def numbered(offset: int) -> tuple[int, int] | None:
            return await self._threads.run(lambda: log.numbered(offset, end))

        return await behind(number, low, end, numbered) if number else low

    def _hear(self, consumer: Consumer) -> None:
        """In a thread of its own."""
        while not self._over:
            if not self._room.wait(_POLL):
                continue
            record = consumer.poll(_POLL)
            if record is None:
                continue
            records = [record, *consumer.consume(_AHEAD, 0)]
            entries = [entry_of(each) for each in records if not each.error()]
            for error in (each.error() for each in records):
                if error is not None:
                    self._tell(lambda error=error: self._note_failure(error))  # type: ignore[misc]
            if entries:
                self._room.clear()
                self._tell(lambda entries=entries: self._take(entries))  # type: ignore[misc]
        consumer.close()

    def _tell(self, do: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(do)

    def _take(self, entries: Sequence[Entry]) -> None:
        self._arrived.extend(entries)
        self._news.set()
        if len(self._arrived) < _AHEAD:
            self._room.set()

    def _trouble(self, error: KafkaError) -> None:
        """In a thread of the client library."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._tell(lambda: self._note_failure(error))

    def _note_failure(self, error: KafkaError) -> None:
        self._failed = translated(error, self._url)
        self._news.set()

    def _check(self) -> None:
        if self._over:
            raise BusClosed(f"{self._name} is not open", why=self._over, do="subscribe again")
