"""One partition as Redis has it, and its messages as entries of a stream.

    {daicho}:bus:events.orders:3            stream: `number-0` for a message of a chain, `number-1`... for loose ones
                                            behind it; fields `at` (microseconds by the server's clock), `data`, and
                                            the attributes as in the binding for Kafka
    {daicho}:bus:events.orders:3:places     hash: who hears for each group, and when what it acknowledged was stored
    {daicho}:bus                            hash: the partitions of each channel

How far a group has come is the last delivered id of a consumer group of its name, for XINFO GROUPS to show.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daicho.adapters.buses.redis.wire import Argument
from daicho.adapters.cloudevents import KAFKA, headers_of, message_from
from daicho.ports.event_bus import BusMessage, Channel, Delivery

__all__ = ["Place", "Shelf", "arguments_of", "deliveries"]


class Place(msgspec.Struct, frozen=True):
    """An entry."""

    id: str = "0-0"
    at: int = 0
    """0: not known."""

    @property
    def order(self) -> tuple[int, int]:
        number, _, count = self.id.partition("-")
        return int(number), int(count)


class Shelf(msgspec.Struct, frozen=True):
    """The names of one partition's keys. All of an application's are in one slot of a cluster."""

    prefix: str
    channel: Channel
    partition: int

    @property
    def channels(self) -> str:
        return f"{{{self.prefix}}}:bus"

    @property
    def stream(self) -> str:
        return f"{{{self.prefix}}}:bus:{self.channel.name}:{self.partition}"

    @property
    def places(self) -> str:
        return f"{self.stream}:places"


def arguments_of(message: BusMessage) -> list[Argument]:
    """As `publish.lua` takes it. Raises BusRefused."""
    fields: list[Argument] = ["data", message.data]
    for name, value in headers_of(message, KAFKA).items():
        fields += (name, value)
    return [message.number, message.previous, len(fields), *fields]


def deliveries(entries: Sequence[Any]) -> list[Delivery]:
    """From what XREAD and XRANGE answer with."""
    return [_delivery(str(id, "ascii"), fields or ()) for id, fields in entries]


def _delivery(id: str, flat: Sequence[bytes] | Mapping[bytes, bytes]) -> Delivery:
    fields = dict(flat) if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))
    at, data = fields.pop(b"at", b""), fields.pop(b"data", b"")
    headers = {str(name, "utf-8", "replace"): value for name, value in fields.items()}
    is_time = at.isdigit() and len(at) < 20
    return Delivery(message_from(headers, data, KAFKA), Place(id, int(at) if is_time else 0))
