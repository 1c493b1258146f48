"""RabbitMQ: a stream for each partition as the log of record, a quorum queue for each group's place."""

from daicho.adapters.buses.rabbitmq.bus import RabbitBus
from daicho.adapters.buses.rabbitmq.location import Location, parse_url

__all__ = ["Location", "RabbitBus", "parse_url"]
