"""A partition as Kafka keeps it. Everything here waits for the cluster: call it in a thread."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from daicho.adapters.buses.kafka.failures import error_of
from daicho.adapters.cloudevents import KAFKA, message_from, stranger
from daicho.ports.event_bus import BusMessage

__all__ = ["Entry", "Log", "entry_of"]

_FIRST_STEP, _LONGEST_STEP = 64, 16384


class Entry(msgspec.Struct, frozen=True):
    """What stands at one offset."""

    offset: int
    message: BusMessage


def entry_of(record: Message) -> Entry:
    """Raises nothing, whatever somebody wrote into the topic."""
    offset, data = record.offset(), record.value() or b""
    given: Any = record.headers() or []
    headers: dict[str, Any] = dict(given)
    message = message_from(headers, data, KAFKA) if len(headers) == len(given) else stranger(data)
    return Entry(-1 if offset is None else offset, message)


class Log:
    """Reads one partition from any offset, and commits nothing. Raises KafkaException."""

    def __init__(self, settings: Mapping[str, Any], topic: str, partition: int, within: float) -> None:
        self._within = within
        self._place = (topic, partition)
        reading = {"enable.partition.eof": True, "fetch.wait.max.ms": 20, "fetch.error.backoff.ms": 20}
        self._consumer = Consumer({**settings, **reading, "group.id": "daicho-reader"})

    def close(self) -> None:
        self._consumer.close()

    def bounds(self) -> tuple[int, int]:
        """The offset of the first message that is kept, and the one that the next will have."""
        try:
            found: Any = self._consumer.get_watermark_offsets(TopicPartition(*self._place), self._within, False)
        except KafkaException as error:
            said = error_of(error)
            if said is None or said.code() != KafkaError._UNKNOWN_PARTITION:
                raise
            raise KafkaException(self._what_ails_it() or said) from error
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        low, high = found
        return low, high

    def _what_ails_it(self) -> KafkaError | None:
        """The client library calls a partition unknown that only has no leader, and never asks again (seen with
        librdkafka 2.16). This asks the cluster, and with that the library knows better. None: it is not there."""
        topic, partition = self._place
        found: Any = self._consumer.list_topics(topic, timeout=self._within).topics[topic]
        ails: KafkaError | None = found.error
        if ails is None and partition in found.partitions:
            ails = found.partitions[partition].error or KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
        return ails

    def tail(self) -> int | None:
        """The number of the last message of a chain; 0 if there never was one; None if all that was there is no
        longer kept."""
        low, end = self.bounds()
        if low == end:
            return 0 if end == 0 else None
        step = _FIRST_STEP
        while end > low:
            start = max(low, end - step)
            numbers = [entry.message.number for entry in self._read(start, end, lambda _: False)]
            if number := next(filter(None, reversed(numbers)), 0):
                return number
            end, step = start, min(step * 2, _LONGEST_STEP)
        return 0 if low == 0 else None

    def numbered(self, offset: int, end: int) -> tuple[int, int] | None:
        """Offset and number of the first message of a chain at or behind an offset."""
        entries = self._read(offset, end, lambda entry: bool(entry.message.number))
        if entries and (number := entries[-1].message.number):
            return entries[-1].offset, number
        return None

    def at(self, offset: int) -> Entry | None:
        entries = self._read(offset, offset + 1, lambda _: True)
        return entries[0] if entries else None

    def _read(self, start: int, end: int, is_last: Callable[[Entry], bool]) -> list[Entry]:
        """From one offset to before another, or until one is the last to be asked for."""
        self._consumer.assign([TopicPartition(*self._place, start)])
        deadline = time.monotonic() + self._within
        found: list[Entry] = []
        try:
            while time.monotonic() < deadline:
                record = self._consumer.poll(max(0.0, deadline - time.monotonic()))
                if record is None:
                    continue
                if error := record.error():
                    if error.code() == KafkaError._PARTITION_EOF:
                        return found
                    raise KafkaException(error)
                entry = entry_of(record)
                if entry.offset >= end:
                    return found
                found.append(entry)
                if entry.offset == end - 1 or is_last(entry):
                    return found
        finally:
            self._consumer.unassign()
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
