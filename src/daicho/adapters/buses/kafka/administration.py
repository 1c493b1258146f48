"""Questions about topics. Everything here waits for the cluster: call it in a thread. Raises KafkaException."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, admin

from daicho.adapters.buses.kafka.failures import error_of, patiently

__all__ = ["Administration"]

_KEPT_OUT = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL)
_untyped: Any = admin  # the library types these for its own use only


class Administration:
    """Connects when it is asked."""

    def __init__(self, settings: Mapping[str, Any], within: float) -> None:
        self._within = within
        self._kept_out: KafkaError | None = None
        self._client: Any = _untyped.AdminClient({**settings, "error_cb": self._trouble})

    def brokers(self) -> int:
        """How many answer. A cluster that does not let us in says so beside, and never answers."""
        try:
            return len(self._client.list_topics(timeout=self._within).brokers)
        except KafkaException as error:
            raise (KafkaException(self._kept_out) if self._kept_out else error) from error

    def create(self, topic: str, partitions: int, replication: int | None, settings: Mapping[str, str]) -> None:
        """Unless it is there. When this returns, its partitions have leaders."""
        asked = _untyped.NewTopic(
            topic, num_partitions=partitions, replication_factor=replication or -1, config=dict(settings)
        )
        try:
            self._client.create_topics([asked], operation_timeout=self._within)[topic].result(self._within + 5)
        except KafkaException as error:
            said = error_of(error)
            if said is None or said.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        patiently(lambda: self._led(topic), self._within, is_new=True)

    def partitions(self, topic: str) -> int:
        """How many it has, with a leader or without."""
        return len(self._told(topic).partitions)

    def _led(self, topic: str) -> None:
        """Raises unless all its partitions have leaders."""
        for partition in self._told(topic).partitions.values():
            if partition.error is not None:
                raise KafkaException(partition.error)

    def _told(self, topic: str) -> Any:
        found = self._client.list_topics(topic, timeout=self._within).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return found

    def limit(self, topic: str, *, is_new: bool = False) -> int:
        """Bytes of a message that the topic takes."""
        return patiently(lambda: self._limit(topic), self._within, is_new=is_new)

    def _limit(self, topic: str) -> int:
        which = _untyped.ConfigResource(_untyped.ConfigResource.Type.TOPIC, topic)
        found = self._client.describe_configs([which], request_timeout=self._within)[which].result(self._within + 5)
        return int(found["max.message.bytes"].value)

    def _trouble(self, error: KafkaError) -> None:
        """In a thread of the client library."""
        if error.code() in _KEPT_OUT:
            self._kept_out = error
