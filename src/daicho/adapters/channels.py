"""What every bus asks of a channel before it goes anywhere near the broker."""

import re
from collections.abc import Sequence

from daicho.core.errors import BusRefused
from daicho.ports.event_bus import BusMessage, Channel

__all__ = ["MOST_PARTITIONS", "check_chain", "check_channel", "check_group", "check_partition"]

MOST_PARTITIONS = 1024
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")


def check_channel(channel: Channel) -> None:
    """Raises BusRefused for a name or a number of partitions that no broker should see."""
    if not _NAME.match(channel.name) or len(channel.name) > 150:
        raise BusRefused(
            f"{channel.name!r} cannot name a channel",
            why="a channel is up to 150 letters, digits, '_', '-' and single dots between them",
            do="choose a name like events.orders",
        )
    if not 1 <= channel.partitions <= MOST_PARTITIONS or channel.partitions.bit_count() != 1:
        raise BusRefused(
            f"{channel.name} cannot be cut into {channel.partitions} partitions",
            why=f"their number is a power of two, up to {MOST_PARTITIONS}",
            do="write 2, 4, 8, ...",
        )


def check_partition(channel: Channel, partition: int) -> None:
    """Raises BusRefused, also for the channel."""
    check_channel(channel)
    if not 0 <= partition < channel.partitions:
        raise BusRefused(f"{channel.name} has no partition {partition}", why=f"it has 0 to {channel.partitions - 1}")


def check_group(group: str) -> None:
    """Raises BusRefused."""
    if not group or len(group) > 200:
        raise BusRefused(f"{group!r} cannot name a group", why="it is empty, or has more than 200 characters")


def check_chain(channel: Channel, messages: Sequence[BusMessage]) -> None:
    """Raises BusRefused if the numbers of what is to be published do not ascend."""
    last = 0
    for message in messages:
        if message.number and message.number <= last:
            raise BusRefused(
                f"messages for {channel.name} are out of order", why=f"number {message.number} comes after {last}"
            )
        last = message.number or last
