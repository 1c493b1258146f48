"""One partition from the side of a group that hears it."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import uuid4

from daicho.adapters.buses.axon.aggregates import append_all, chain_at, events_of, last_of
from daicho.adapters.buses.axon.events import CLAIMED, HEARD, Note, aggregate_of, message_of, noted, read
from daicho.adapters.buses.axon.failures import InvalidSequence
from daicho.adapters.buses.axon.listening import Listening
from daicho.adapters.buses.axon.protocol import Message
from daicho.adapters.buses.axon.wire import Wire
from daicho.core.errors import BusClosed, BusUnavailable
from daicho.ports.event_bus import Channel, Delivery

__all__ = ["AxonSubscription"]

_ATTEMPTS = 20
_TAKEN = "another one hears for its group now"


class AxonSubscription:
    """Hears until it is closed or another one claims the group's place.

    Its receipts are sequence numbers, and which reading of the log they are of: after a break the log may end earlier
    than it did, and an acknowledgment of what is no longer there must not reach what comes instead.
    """

    def __init__(
        self,
        wire: Wire,
        listening: Listening,
        channel: Channel,
        partition: int,
        group: str,
        forget: Callable[["AxonSubscription"], None],
    ) -> None:
        self._wire, self._listening, self._forget = wire, listening, forget
        self._messages = aggregate_of(channel, partition)
        self.place = aggregate_of(channel, partition, group)
        self._me = uuid4().hex
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._sure = False
        """Whether a claim of somebody else's would have been heard."""
        self._acknowledged = self._next = 0
        self._reading = 0
        self._noted = -1
        """The sequence number of what we last noted about the place."""
        self._end: BusClosed | None = None

    async def claim(self, after: int) -> None:
        """From now on others do not hear. Raises BusUnavailable, BusRefused."""
        for _ in range(_ATTEMPTS):
            last = await last_of(self._wire, self.place)
            note = None if last is None else read(last)
            place = await self._behind(after) if after >= 0 else note.next if note else 0
            sequence = -1 if last is None else last.aggregate_sequence_number
            claim = noted(CLAIMED, Note(next=place, by=self._me), self.place, sequence + 1)
            try:
                await append_all(self._wire, [claim])
            except InvalidSequence:
                continue
            self._acknowledged = self._next = place
            self._noted = sequence + 1
            self._listening.add(self._messages, self._grown)
            self._listening.add(self.place, self._claimed)
            return
        raise BusUnavailable(
            f"{self._wire.url} does not let us claim {self.place}",
            why=f"others were quicker, {_ATTEMPTS} times",
            do="look for processes that take each other's places in turn",
        )

    async def receive(self, *, limit: int) -> Sequence[Delivery]:
        while True:
            self._check()
            self._woken.clear()
            await self._listening.ready()
            if not self._sure:
                reading = self._reading
                await self._look_at_place()
                self._sure = reading == self._reading
            events = await events_of(self._wire, self._messages, self._next, limit)
            self._check()
            if events:
                start, self._next = self._next, self._next + len(events)
                return [Delivery(message_of(event), (self._reading, start + n)) for n, event in enumerate(events)]
            await self._woken.wait()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        async with self._turn:
            self._check()
            if not self._sure:
                await self._look_at_place()
            heard = max(
                (n + 1 for reading, n in (each.receipt for each in deliveries) if reading == self._reading), default=0
            )
            while heard > self._acknowledged:
                note = noted(HEARD, Note(next=heard, by=self._me), self.place, self._noted + 1)
                try:
                    await append_all(self._wire, [note])
                except InvalidSequence:  # another one claimed it; or we noted something, and the answer was lost
                    await self._look_at_place()
                else:
                    self._acknowledged, self._noted = heard, self._noted + 1

    async def waiting(self) -> int:
        """How many messages are not acknowledged."""
        newest = await last_of(self._wire, self._messages)
        return (0 if newest is None else newest.aggregate_sequence_number + 1) - self._acknowledged

    async def close(self) -> None:
        if self._end is None:
            self._leave("it was closed")

    def _leave(self, why: str) -> None:
        self._end = BusClosed(f"this subscription of {self.place} is not open", why=why, do="subscribe again")
        self._listening.remove(self._messages, self._grown)
        self._listening.remove(self.place, self._claimed)
        self._woken.set()
        self._forget(self)

    # what wakes it

    def _grown(self, event: Message | None) -> None:
        if event is None:
            self._sure = False
            self._reading += 1
        self._woken.set()

    def _claimed(self, event: Message | None) -> None:
        note = event and event.payload.type == CLAIMED and read(event)
        if event is None:
            self._grown(None)
        elif note and note.by != self._me and event.aggregate_sequence_number > self._noted:
            self._leave(_TAKEN)

    async def _look_at_place(self) -> None:
        """Raises BusClosed if the place is somebody else's."""
        last = await last_of(self._wire, self.place)
        note = None if last is None else read(last)
        self._check()
        if last is None or note is None or note.by != self._me:
            self._leave(_TAKEN)
            self._check()
            return
        if not self._sure or note.next > self._acknowledged:
            # after a break: what was not acknowledged comes again, also if the server lost the end of its log
            self._acknowledged = self._next = note.next
        self._noted = last.aggregate_sequence_number

    async def _behind(self, number: int) -> int:
        """The sequence number of the first message that is not known to one who has that number of the chain."""
        newest = await last_of(self._wire, self._messages)
        if newest is None or number == 0:
            return 0
        low, high = 0, newest.aggregate_sequence_number + 1
        while low < high:  # the first at which the chain has come so far
            middle = (low + high) // 2
            if await chain_at(self._wire, self._messages, middle) < number:
                low = middle + 1
            else:
                high = middle
        if low > newest.aggregate_sequence_number:
            return low
        return low + (await chain_at(self._wire, self._messages, low) == number)

    def _check(self) -> None:
        if self._end:
            raise self._end
