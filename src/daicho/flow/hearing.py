"""Runs what hears a partition of a channel, as long as it is this process's turn. Whose turn it is, says the crew."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from daicho.core.errors import BusError
from daicho.core.segments import Segment
from daicho.flow.line import Line
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.event_bus import BusSubscription, Channel, Delivery
from daicho.read.feed import Feed
from daicho.read.processor import Processor
from daicho.read.progress import Progress

__all__ = ["Ear", "Heard", "Hearer"]

_log = logging.getLogger("daicho")
_AT_ONCE = 500


class Heard(NamedTuple):
    """What came of a batch. All of it is durable."""

    position: int
    """Where the stored checkpoint stands now."""
    done: Sequence[Delivery]
    """What need not come again."""


class Ear(ABC):
    """Deals with what arrives in one partition."""

    def __init__(self, root: str, channel: Channel, segment: Segment, checkpoints: CheckpointStore) -> None:
        """`root`: the name of its checkpoint, without the segment, which is the partition."""
        self.channel, self.segment = channel, segment
        self.name, self.types, self.refused = segment.name(root), frozenset[str](), ""
        self.checkpoints = checkpoints
        self.trouble = ""
        """What is wrong although messages may be coming in; empty if nothing is."""

    async def locate(self) -> str:
        return self.name

    async def refusal(self) -> str:
        return self.refused

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        return self.refused

    async def begin(self, checkpoint: Checkpoint) -> int:
        return checkpoint.position

    async def advance(self, move: Advance) -> None:
        await self.checkpoints.advance(move)

    async def retry(self, token: int, position: int) -> None:  # noqa: B027 - may be left as it is
        """Tries the dead letters that somebody asked to retry: most ears have none."""

    def after(self, keeps: bool) -> int:
        """From where to hear; see EventBus.subscribe."""
        return -1

    def patience(self) -> float | None:
        """So many seconds of silence are all right; then `grow_impatient`. None: for ever."""
        return None

    async def grow_impatient(self, token: int, position: int, keeps: bool) -> Heard | None:
        """Nothing came for so long. None: hear from `after` again."""
        return Heard(position, ())

    @abstractmethod
    async def take(self, deliveries: Sequence[Delivery], token: int, position: int) -> Heard:
        """Deals with them, durably; may keep some for later. The stored checkpoint is at `position`."""


class Hearer(Processor[Ear]):
    """Subscribes, hands on what comes, and acknowledges what was dealt with."""

    def __init__(
        self, ear: Ear, line: Line, group: str, feed: Feed, checkpoints: CheckpointStore, progress: Progress, owner: str
    ) -> None:
        super().__init__(ear.name, ear, feed, checkpoints, progress, owner)
        self._line, self._group = line, group
        self._called = asyncio.Event()

    def allow(self, may_run: bool) -> None:
        super().allow(may_run)
        self._called.set()

    def nudge(self) -> None:
        self._called.set()

    async def _step(self, position: int) -> int:
        raise NotImplementedError  # there are no pages

    async def _work(self, position: int) -> None:
        ear = self.consumer
        try:
            bus = await self._line.ready(ear.channel)
            while self._goes_on():
                after = ear.after(bus.abilities.keeps)
                place = await bus.subscribe(ear.channel, ear.segment.index, self._group, after=after)
                try:
                    self.state, self.error = ("failing", ear.trouble) if ear.trouble else ("live", "")
                    await self._hear(place, bus.abilities.keeps)
                finally:
                    with suppress(BusError):  # it is gone, then
                        await place.close()
        except BusError:
            self._line.doubt(ear.channel)
            raise

    def _goes_on(self) -> bool:
        return self._moving is None and self._may_run and not self._is_lost

    async def _hear(self, place: BusSubscription, keeps: bool) -> None:
        """Returns when it is to subscribe again, or may not go on."""
        ear, coming = self.consumer, asyncio.ensure_future(place.receive(limit=_AT_ONCE))
        called = asyncio.ensure_future(self._called.wait())
        try:
            while self._goes_on():
                if self.retry_asked:
                    self.retry_asked = False
                    await ear.retry(self._token, self._stored)
                await asyncio.wait({coming, called}, timeout=ear.patience(), return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    deliveries = coming.result()
                    coming = asyncio.ensure_future(place.receive(limit=_AT_ONCE))  # on its way meanwhile
                    heard = await ear.take(deliveries, self._token, self._stored)
                elif called.done():
                    self._called.clear()
                    called = asyncio.ensure_future(self._called.wait())
                    continue
                else:
                    quiet = await ear.grow_impatient(self._token, self._stored, keeps)
                    if quiet is None:
                        return
                    heard = quiet
                if heard.position != self._stored:
                    self._stored = heard.position
                    self._progress.note(self.name, heard.position)
                self.state, self.error = ("failing", ear.trouble) if ear.trouble else ("live", "")
                if heard.done:
                    await place.acknowledge(heard.done)
        finally:
            for waiting in (coming, called):
                waiting.cancel()
            await asyncio.wait({coming, called})
            for waiting in (coming, called):
                if not waiting.cancelled():
                    waiting.exception()  # it comes again to whoever hears next
