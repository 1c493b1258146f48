"""Redis Streams as a bus: each partition is a stream, and the number of a message is its id."""

from daicho.adapters.buses.redis.bus import RedisBus
from daicho.adapters.buses.redis.location import Location, parse_url

__all__ = ["Location", "RedisBus", "parse_url"]
