"""What streams and subjects are called.

    partition 3 of events.orders     stream daicho=events=orders=3
                                     subjects daicho.events.orders.3.chain and ...loose
    places of groups in it           stream daicho=places, subject daicho=places.events.orders.3.<group>

A prefix, a channel and a partition hold no `=`, and a name of a stream may hold no dot; so no two can be confused.
"""

from urllib.parse import quote

import msgspec

from daicho.adapters.channels import check_group
from daicho.ports.event_bus import Channel

__all__ = ["Road", "group_token", "places_stream", "road"]


class Road(msgspec.Struct, frozen=True):
    """One partition, by the names that the server has for it."""

    prefix: str
    channel: Channel
    partition: int

    @property
    def stream(self) -> str:
        return f"{self.prefix}={self.channel.name.replace('.', '=')}={self.partition}"

    @property
    def subject(self) -> str:
        return f"{self.prefix}.{self.channel.name}.{self.partition}"

    @property
    def chain(self) -> str:
        return f"{self.subject}.chain"

    @property
    def loose(self) -> str:
        return f"{self.subject}.loose"

    @property
    def description(self) -> str:
        """By which a channel is known to have been cut in the same way."""
        return f"Daicho: {self.channel.name}, partition {self.partition} of {self.channel.partitions}"

    def place(self, group: str) -> str:
        return f"{self.prefix}=places.{self.channel.name}.{self.partition}.{group_token(group)}"


def road(prefix: str, channel: Channel, partition: int) -> Road:
    return Road(prefix, channel, partition)


def places_stream(prefix: str) -> str:
    return f"{prefix}=places"


def group_token(group: str) -> str:
    """Any text as one token of a subject."""
    check_group(group)
    return quote(group, safe="").replace(".", "%2E").replace("~", "%7E").replace("%", "=")
