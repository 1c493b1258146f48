"""How far groups have come: the offsets that they committed. Everything here waits: call it in a thread.

Beside an offset stands who hears for the group, and what it heard last:

    {"hearer": "5f0c...", "number": 4711, "id": "..."}

Whoever subscribes writes himself there; an earlier one finds another's name when it wants to acknowledge.
"""

import threading
from collections.abc import Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from daicho.adapters.buses.kafka.failures import patiently

__all__ = ["Note", "Places"]


class Note(msgspec.Struct, frozen=True):
    """What stands beside a committed offset."""

    hearer: str = ""
    number: int = 0
    """Of the last message of a chain that was acknowledged."""
    id: str = ""
    """Of the message before the offset; its beginning, if it is very long."""


class Places:
    """Of one group, by a client of its own: one that is hearing does not answer meanwhile. Raises KafkaException."""

    def __init__(self, settings: Mapping[str, Any], group: str, within: float) -> None:
        self._consumer = Consumer({**settings, "group.id": group})
        self._lock = threading.Lock()
        self._within = within

    def close(self) -> None:
        with self._lock:
            self._consumer.close()

    def load(self, topic: str, partition: int) -> tuple[int, Note]:
        """The offset from which the group has to hear; negative if it was never there."""
        with self._lock:
            return patiently(lambda: self._load(topic, partition), self._within)

    def save(self, topic: str, partition: int, offset: int, note: Note) -> None:
        with self._lock:
            patiently(lambda: self._save(topic, partition, offset, note), self._within)

    def move(self, topic: str, partition: int, offset: int, note: Note) -> bool:
        """Whether the place was still the hearer's to move."""
        _, found = self.load(topic, partition)
        if found.hearer == note.hearer:
            self.save(topic, partition, offset, note)
        return found.hearer == note.hearer

    def _load(self, topic: str, partition: int) -> tuple[int, Note]:
        [found] = self._consumer.committed([TopicPartition(topic, partition)], self._within)
        if found.error is not None:
            raise KafkaException(found.error)
        try:
            note = msgspec.json.decode(found.metadata or "{}", type=Note)
        except msgspec.DecodeError:  # another program's: its offset counts all the same
            note = Note()
        return found.offset, note

    def _save(self, topic: str, partition: int, offset: int, note: Note) -> None:
        place = TopicPartition(topic, partition, offset, msgspec.json.encode(note).decode())
        for done in self._consumer.commit(offsets=[place], asynchronous=False) or ():
            if done.error is not None:
                raise KafkaException(done.error)
