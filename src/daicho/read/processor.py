"""The runner of one durable reader: claims it, feeds it pages, keeps it going.

waiting ──claim──> catching up ──head──> live
   ^                    │                 │
   ├── lease lost ──────┤                 │
   └── not its turn ────┴── store fails: failing, back off, claim again

Whose turn it is, `read/crew.py` says.
"""

import asyncio
import logging
import random
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from daicho.core.errors import BusError, LostLease, OrphanedPosition, StoreClosed, StoreError
from daicho.core.messages import RecordedEvent
from daicho.core.segments import Segment
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.dead_letter_store import ParkedEvent
from daicho.ports.event_store import StoredEvent
from daicho.read.feed import Feed, Page
from daicho.read.progress import Progress

__all__ = ["Consumer", "PageProcessor", "Processor", "Runnable", "parked", "storable"]

_log = logging.getLogger("daicho")
_IDLE = 0.05
"""Seconds of quiet after which a checkpoint that only moved over uninteresting events is written down."""
_NOTE_EVERY = 0.25
"""The same without quiet: other processes wait for what is written down."""
_ASK_AGAIN = 0.2
_LOOK_AGAIN = 0.25


class Runnable(Protocol):
    """What a processor runs."""

    name: str
    types: frozenset[str]
    refused: str
    """Why this process may not run it where it is now, as far as that was looked at; empty if it may."""
    segment: Segment
    """Which part of the work it does."""

    async def locate(self) -> str:
        """The name of the checkpoint to run under; it changes when another build of a view goes live."""
        ...

    async def refusal(self) -> str:
        """Why this process may not run it where it is now; empty if it may."""
        ...

    def judge(self, checkpoints: Sequence[Checkpoint]) -> str:
        """The same, from all checkpoints as they have just been read."""
        ...

    async def begin(self, checkpoint: Checkpoint) -> int:
        """The lease is ours: forget what was remembered from before. Returns the position from which to go on."""
        ...

    async def advance(self, move: Advance) -> None:
        """Moves the checkpoint over events that are of no interest. Raises LostLease."""
        ...

    async def retry(self, token: int, position: int) -> None:
        """Tries the dead letters that somebody asked to retry."""
        ...


class Consumer(Runnable, Protocol):
    """Is fed pages of events."""

    async def consume(self, page: Page, indexes: list[int], token: int, position: int) -> int:
        """Deals with the events of `page` at `indexes`, moves the stored checkpoint from `position` to the page's end
        (or as far as it came), all durably, and returns where it stands: still at `position` if there was nothing
        to do for it, which can be noted later."""
        ...


C = TypeVar("C", bound=Runnable)


class Processor(ABC, Generic[C]):
    """Runs a consumer for as long as the App lives."""

    def __init__(
        self, name: str, consumer: C, feed: Feed, checkpoints: CheckpointStore, progress: Progress, owner: str
    ) -> None:
        self.name, self.consumer = name, consumer
        self._feed, self._checkpoints, self._progress, self._owner = feed, checkpoints, progress, owner
        self.state, self.error = "waiting", ""
        self.retry_asked = False
        self._may_run, self._told = False, asyncio.Event()
        self.goal: int | None = None
        """Where it stops, to be put together with others."""
        self._stored: int = 0
        self._is_lost = False
        self._noted_at = 0.0
        self._token = 0
        self._moving: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"daicho-{self.name}")

    def allow(self, may_run: bool) -> None:
        """Whether it may claim its work, and keep it. What it may not keep any more it gives up after the page in
        hand, for others to claim."""
        if may_run != self._may_run:
            self._may_run = may_run
            if may_run:
                self._told.set()

    def check(self, checkpoint: Checkpoint) -> None:
        """Has it claim again what it believes to have, if that was paused, put back, or taken over meanwhile."""
        if self._token and (checkpoint.owner, checkpoint.token) != (self._owner, self._token):
            self._progress.disown(self.name)
            self._is_lost = True
            self.nudge()

    def begin_again(self) -> None:
        """Has it claim its work again, and with that look where it is to go on."""
        self._is_lost = True
        self.nudge()

    def nudge(self) -> None:
        """Wakes it although the log has not grown."""
        self._feed.nudge()

    async def relocate(self) -> None:
        """Looks whether another build of the view went live; when it returns, readers get the rows of that one."""
        if self._task is None or self._task.done():
            return
        if self._moving is None:
            self._moving = asyncio.get_running_loop().create_future()
            self._told.set()
        self.nudge()
        await asyncio.wait([self._moving, self._task], return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Ends after the page in hand, with the checkpoint written."""
        if self._task is None:
            return
        while not self._task.done():
            # once is not enough: before Python 3.12 `asyncio.wait_for`, which drivers use, can swallow it (redis does)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_ASK_AGAIN)
        self._task = None
        position = self._progress.here(self.name)
        if position is not None and position > self._stored:
            try:
                await self._advance(position)
            except StoreError as error:
                _log.warning("%s could not note position %s on leaving: %s", self.name, position, error)
            except LostLease:
                pass  # the new owner knows better
        self._progress.disown(self.name)
        self.state = "stopped"

    async def _run(self) -> None:
        failures, failed_at = 0, -1
        while True:
            try:
                if self._token and not self._may_run:
                    # also if it failed meanwhile: nobody else may claim what we keep alive and do not run
                    await self._checkpoints.release(self._owner, self.name)
                    self._token = 0
                self.name = await self.consumer.locate()
                if self._moving is not None:
                    self._moving.set_result(None)
                    self._moving = None
                refusal = await self.consumer.refusal() if self._may_run else self.consumer.refused
                checkpoint = None
                if self._may_run and not refusal:
                    checkpoint = await self._checkpoints.claim(self.name, self._owner)
                if checkpoint is not None and await self.consumer.locate() != self.name:
                    # Another build went live between our look and our claim, when nobody held this one any more. Going
                    # on with it would show readers rows that the other one does not have yet.
                    await self._checkpoints.release(self._owner, self.name)
                    continue
                if checkpoint is None:
                    self.state, self.error = "waiting", refusal
                    await self._wait_for_turn()
                    continue
                position = await self.consumer.begin(checkpoint)
                self._stored, self._token, self._is_lost = position, checkpoint.token, False
                self._progress.note(self.name, position)
                self.state, self.error = "catching up", ""
                self.retry_asked = True  # by whoever ran it before us, or because its code was changed
                await self._work(position)
                self._progress.disown(self.name)
            except LostLease:
                self._progress.disown(self.name)
                self.state, self._token = "waiting", 0
            except StoreClosed:
                return
            except Exception as error:  # noqa: BLE001 - kept, shown, and tried again: a processor never dies silently
                self._progress.disown(self.name)
                # a broker may be reached and still take nothing: that is the same trouble until something got through
                same = self.state == "failing" or (isinstance(error, BusError) and failed_at == self._stored)
                failures, failed_at = (failures + 1 if same else 1), self._stored
                self.state, self.error = "failing", f"{type(error).__name__}: {error}"
                if isinstance(error, OrphanedPosition):
                    pass  # noted, and told: until it is mended, by building it anew, it stays where it is
                elif not isinstance(error, BusError):
                    _log.exception("%s failed and will try again", self.name)
                elif failures == 1:
                    _log.warning("%s waits for the bus: %s", self.name, error)
                await asyncio.sleep(random.uniform(0.5, 1) * min(5.0, 0.05 * 2**failures))  # noqa: S311

    async def _work(self, position: int) -> None:
        """Returns when there is another build to move to, or it may not go on."""
        feed, consumer = self._feed, self.consumer
        while self._moving is None and self._may_run and not self._is_lost:
            if self.retry_asked:
                self.retry_asked = False
                await consumer.retry(self._token, self._stored)
            if self.goal is not None and position >= self.goal:
                if self._stored < position:
                    await self._advance(position)
                await asyncio.sleep(_LOOK_AGAIN)
                continue
            if feed.head <= position:
                self.state = "live"
                if not await feed.grown(position, _IDLE if self._stored < position else 0.25):
                    if self._stored < position:
                        await self._advance(position)
                    elif await consumer.locate() != self.name:
                        return
                    continue
            position = await self._step(position)
            self._progress.note(self.name, position)
            if position > self._stored and time.monotonic() - self._noted_at > _NOTE_EVERY:
                await self._advance(position)
        if not self._may_run and not self._is_lost and position > self._stored:
            await self._advance(position)

    async def _wait_for_turn(self) -> None:
        """Or for a while: another build may go live meanwhile, or whoever has it give it up."""
        try:
            async with asyncio.timeout(_LOOK_AGAIN):
                await self._told.wait()
        except TimeoutError:
            pass
        self._told.clear()

    @abstractmethod
    async def _step(self, position: int) -> int:
        """Deals with what lies behind `position`, as far as one page goes. Returns how far that is; `_stored` says how
        far of it is durable."""

    async def _advance(self, position: int) -> None:
        await self.consumer.advance(Advance(processor=self.name, token=self._token, old=self._stored, new=position))
        self._stored, self._noted_at = position, time.monotonic()


class PageProcessor(Processor[Consumer]):
    """Feeds pages."""

    async def _step(self, position: int) -> int:
        page = await self._feed.page(position)
        if self.goal is not None and page.last > self.goal >= position:
            page = page.up_to(self.goal)
        indexes: list[int] = page.of_types(self.consumer.types)
        while indexes:
            stored = await self.consumer.consume(page, indexes, self._token, self._stored)
            if stored == self._stored:
                break
            self._stored = stored
            self._progress.note(self.name, stored)
            indexes = [index for index in indexes if page.events[index].position > self._stored]
        return page.last


def storable(text: str) -> str:
    """What any store can hold: without NUL and halves of characters, which an error may quote."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def parked(
    stored: StoredEvent | RecordedEvent[Any],
    key: str,
    error: BaseException | None,
    attempts: int = 1,
    code: str | None = None,
) -> ParkedEvent:
    """The event as a dead letter: with its error and the code that raised it, or as a follower."""
    return ParkedEvent(
        key=key,
        position=int(stored.position),  # not a Position, which no store knows
        event_id=stored.event_id,
        type=stored.type,
        stream=stored.stream,
        correlation_id=stored.correlation_id,
        error=None if error is None else storable(f"{type(error).__name__}: {error}"),
        trace=None if error is None else storable("".join(traceback.format_exception(error))),
        attempts=attempts,
        code=None if error is None else code,
    )
