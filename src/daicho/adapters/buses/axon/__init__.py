"""Axon Server as a bus, by its gRPC protocol."""

from daicho.adapters.buses.axon.bus import AxonBus
from daicho.adapters.buses.axon.location import Location, parse_url

__all__ = ["AxonBus", "Location", "parse_url"]
