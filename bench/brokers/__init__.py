"""Messages by hand, with the client of each broker and nothing else: what the buses are measured beside."""

from collections.abc import Sequence
from typing import Protocol

from daicho.ports.event_bus import BusMessage


class Client(Protocol):
    """As somebody would do it who wants each message confirmed, and has no use for chains, places and takeovers."""

    async def open(self) -> None:
        """Connects to a stream, topic or queue that is new and empty."""
        ...

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """Returns when all are confirmed: the client's best way to send many, in order."""
        ...

    async def hear(self, count: int, portion: int) -> None:
        """Receives so many, acknowledging portion by portion."""
        ...

    async def close(self) -> None: ...


class Place(Protocol):
    title: str
    url: str
    """Of the bus."""
    share: float
    """Of the messages that the others get: less where it would take minutes."""
    client: Client

    def close(self) -> None: ...
