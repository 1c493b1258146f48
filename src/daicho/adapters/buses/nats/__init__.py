"""NATS JetStream as a bus: each partition is a stream, whose sequence the server checks."""

from daicho.adapters.buses.nats.bus import NatsBus
from daicho.adapters.buses.nats.location import Location, parse_url

__all__ = ["Location", "NatsBus", "parse_url"]
