"""One partition from the publisher's side."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daicho.adapters.buses.axon.aggregates import append_all, chain_at, last_of
from daicho.adapters.buses.axon.events import aggregate_of, event_of
from daicho.adapters.buses.axon.failures import InvalidSequence
from daicho.adapters.buses.axon.protocol import Message
from daicho.adapters.buses.axon.wire import Wire
from daicho.core.errors import BusRefused, BusUnavailable
from daicho.ports.event_bus import BusMessage, Channel

__all__ = ["Partition"]

_AT_ONCE = 1000
"""Messages in one transaction."""
_BYTES_AT_ONCE = 16 * 2**20
_ATTEMPTS = 20
"""Against others that publish into the same partition."""


class _End(NamedTuple):
    sequence: int
    chain: int


class Partition:
    """Remembers its end, so that a publisher that is alone asks once and appends ever after."""

    def __init__(self, wire: Wire, channel: Channel, partition: int, *, largest: int) -> None:
        self._wire, self._channel, self._partition = wire, channel, partition
        self._largest = largest
        self._aggregate = aggregate_of(channel, partition)
        self._turn = asyncio.Lock()
        self._end: _End | None = None

    async def tail(self) -> int:
        async with self._turn:
            self._end = None
            return (await self._known_end()).chain

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """What the chain has already is not appended again."""
        transactions = list(_in_transactions(messages))
        if len(transactions) > 1:
            self._events(messages, _End(-1, 0))  # what cannot be sent is refused before anything is
        async with self._turn:
            for some in transactions:
                for _ in range(_ATTEMPTS):
                    is_news = self._end is None
                    end = await self._known_end()
                    self._end = None  # whatever happens now, it has to be asked for again
                    events, end = self._events(some, end)
                    if len(events) < len(some) and not is_news:
                        continue  # what we remember is no confirmation: the server may have lost it since
                    try:
                        if events:
                            await append_all(self._wire, events)
                    except InvalidSequence:
                        continue
                    self._end = end
                    break
                else:
                    raise BusUnavailable(
                        f"{self._wire.url} does not let us publish to {self._aggregate}",
                        why=f"others were quicker, {_ATTEMPTS} times: several processes publish the same partition",
                        do="look for a second process that publishes under the same name from another register",
                    )

    def _events(self, messages: Sequence[BusMessage], end: _End) -> tuple[list[Message], _End]:
        made: list[Message] = []
        for message in messages:
            if 0 < message.number <= end.chain:
                continue
            end = _End(end.sequence + 1, message.number or end.chain)
            event = event_of(message, self._channel, self._partition, *end)
            if event.ByteSize() > self._largest:
                raise BusRefused(
                    f"message {message.id} of type {message.type} is too large for {self._wire.url}",
                    why=f"it has {event.ByteSize():,} bytes, and {self._largest:,} are the most",
                    do="say less, or raise axoniq.axonserver.max-message-size and `?largest=`",
                )
            made.append(event)
        return made, end

    async def _known_end(self) -> _End:
        if self._end is None:
            newest = await last_of(self._wire, self._aggregate)
            sequence = -1 if newest is None else newest.aggregate_sequence_number
            self._end = _End(sequence, await chain_at(self._wire, self._aggregate, sequence))
        return self._end


def _in_transactions(messages: Sequence[BusMessage]) -> Iterator[Sequence[BusMessage]]:
    some: list[BusMessage] = []
    size = 0
    for message in messages:
        if some and (len(some) == _AT_ONCE or size + len(message.data) > _BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(message)
        size += len(message.data)
    if some:
        yield some
