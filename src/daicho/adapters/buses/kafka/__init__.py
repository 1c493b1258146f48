"""Kafka: a topic for a channel, an idempotent producer, and a consumer with its own thread for each hearer."""

from daicho.adapters.buses.kafka.bus import KafkaBus, topic_of
from daicho.adapters.buses.kafka.location import Location, parse_url

__all__ = ["KafkaBus", "Location", "parse_url", "topic_of"]
