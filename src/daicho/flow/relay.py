"""Store -> bus: the event table is the outbox."""

import logging
import time
from collections.abc import Collection, Sequence

from daicho.core.errors import BusError, BusUnavailable
from daicho.core.segments import Segment
from daicho.core.stored import StoredEvent
from daicho.core.streams import category_of
from daicho.flow.line import Line
from daicho.flow.wire import event_message
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.epochs import Epoch
from daicho.ports.event_bus import BusMessage, Channel
from daicho.ports.event_store import EventStore, Selection
from daicho.ports.probe import Probe
from daicho.read.feed import Page
from daicho.read.orphans import Orphans

__all__ = ["Relay"]

_log = logging.getLogger("daicho")
_LOOK_BACK = 200
_QUIET = 0.01
"""Seconds in which no broker starts again, unnoticed between two publications."""


class Relay:
    """Publishes the events of one partition, in order, each behind the one before.

    What the broker has, the broker is asked, whenever work begins, after every error and every pause, and every few
    seconds (by `Services`): who crashed between publishing
    and noting it sends a few again, which hearers drop; and what a broker had confirmed and lost it gets again.
    """

    def __init__(
        self,
        source: str,
        channel: Channel,
        segment: Segment,
        types: Collection[str],
        categories: Collection[str],
        line: Line,
        store: EventStore,
        checkpoints: CheckpointStore,
        probe: Probe,
        orphans: Orphans | None = None,
    ) -> None:
        """
        source      this service
        types       stored names of the events that are for others
        categories  whose events they are: those of other services, which are recorded here, are not sent on
        """
        self.refused, self.segment, self.channel = "", segment, channel
        self.name, self.types = segment.name(f"relay:{source}"), frozenset(types)
        self._source, self._categories, self._line = source, frozenset(categories), line
        self._store, self._checkpoints, self._probe = store, checkpoints, probe
        self._orphans = orphans
        self._previous = 0
        self._confirmed_at = 0.0
        self._confirmed_under: object | None = None

    async def locate(self) -> str:
        return self.name

    async def refusal(self) -> str:
        return self.refused

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        return self.refused

    async def retry(self, token: int, position: int) -> None:
        """Nothing is ever parked here: an event that cannot be sent holds up its partition, and says so."""

    async def advance(self, move: Advance) -> None:
        await self._checkpoints.advance(move)

    async def begin(self, checkpoint: Checkpoint) -> int:
        """Where the chain goes on: behind what the broker has, if it tells; never behind the checkpoint."""
        try:
            bus = await self._line.ready(self.channel)
            tail = await bus.tail(self.channel, self.segment.index)
        except BusError:
            self._line.doubt(self.channel)
            raise
        at = checkpoint.position
        if tail is not None and self._orphans is not None and (lost := self._orphans.lost(tail)):
            return await self._behind_lost(checkpoint, tail, lost)
        if tail is None or tail >= at:
            self._previous = await self._last_before(at)
            return at
        last = await self._last_before(at, after=tail)
        self._previous = tail
        if last > tail:
            what = "the broker has messages up to %s only, and gets those up to %s again"
            _log.warning(f"%s: {what}", self.name, tail, last)
            # the checkpoint stays where it is until they are there again
            await self._publish_again(tail, at)
        return at

    async def _behind_lost(self, checkpoint: Checkpoint, tail: int, lost: Epoch) -> int:
        """The broker tells of events that a failover of the store has lost: that cannot be taken back, and is told.
        All that survived is there, too; the chain goes on behind what the broker has."""
        if self._orphans is not None:
            await self._orphans.note(self.name, tail, "bus")
        self._previous, at = tail, checkpoint.position
        if at < lost.survived:
            move = Advance(processor=self.name, token=checkpoint.token, old=at, new=lost.survived)
            await self._checkpoints.advance(move)
            at = lost.survived
        return at

    def _may_have_lost(self) -> bool:
        under = self._line.bus.unbroken
        if under is not None and under is self._confirmed_under:
            return False
        return time.monotonic() - self._confirmed_at > _QUIET

    async def has_lost(self) -> bool:
        """Whether the broker has fewer messages than it had confirmed. Raises BusError."""
        sent = self._previous
        bus = await self._line.ready(self.channel)
        tail = await bus.tail(self.channel, self.segment.index)
        return tail is not None and tail < sent

    async def _last_before(self, position: int, after: int = 0) -> int:
        """The last message at or before `position`, if it is behind `after`; else `after`."""
        look = Selection(types=tuple(self.types), after=after, up_to=position, newest_first=True)
        while self.types and (page := await self._store.read(look, limit=_LOOK_BACK)):
            for event in page:
                if self._is_ours(event):
                    return event.position
            look = Selection(types=look.types, after=look.after, up_to=page[-1].position - 1, newest_first=True)
        return after

    async def _publish_again(self, after: int, up_to: int) -> None:
        while page := await self._store.read(
            Selection(types=tuple(self.types), after=after, up_to=up_to), limit=_LOOK_BACK
        ):
            await self._publish([event for event in page if self._is_ours(event)])
            after = page[-1].position

    def _is_ours(self, event: StoredEvent) -> bool:
        return self.segment.holds(event.stream) and category_of(event.stream) in self._categories

    async def consume(self, page: Page, indexes: list[int], token: int, position: int) -> int:
        ours = [event for event in map(page.events.__getitem__, indexes) if self._is_ours(event)]
        if not ours:
            return position  # that we have come this far can be noted later
        if self._may_have_lost() and await self.has_lost():
            raise BusUnavailable(
                f"{self.name}: the broker does not have what it had confirmed",
                why="it was down, and lost what its disk did not have yet",
                do="nothing: it gets that again",
            )
        await self._publish(ours)
        self._probe("relay.published")
        await self._checkpoints.advance(Advance(processor=self.name, token=token, old=position, new=page.last))
        return page.last

    async def _publish(self, events: Sequence[StoredEvent]) -> None:
        messages = list[BusMessage]()
        previous = self._previous
        for event in events:
            messages.append(event_message(event, self._source, previous))
            previous = event.position
        if not messages:
            return
        self._probe("relay.before")
        try:
            bus = await self._line.ready(self.channel)
            under = bus.unbroken
            await bus.publish(self.channel, self.segment.index, messages)
        except BusError:
            self._line.doubt(self.channel)
            raise
        self._previous, self._confirmed_at, self._confirmed_under = previous, time.monotonic(), under
