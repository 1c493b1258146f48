"""Great distances of the log, folded page after page without ever waiting for one thing only.

    page n + 2 is on its way | page n + 1 is folded | what came of the pages before is being written

Writes follow one another, each with the checkpoint that belongs to its rows, so each event counts exactly once. Until
the next one is worth it, the pages that are folded gather: a key that many events concern is written once for all.
"""

import asyncio
import time
from collections.abc import Sequence

from daicho.core.errors import InvalidMessage
from daicho.ports.checkpoint_store import Advance
from daicho.ports.event_store import Narrow, Selection
from daicho.read.feed import Page
from daicho.read.processor import PageProcessor
from daicho.read.projector import Projector

__all__ = ["Stride", "StridingProcessor"]

_PAGE = 2000
_ENOUGH, _AT_LEAST_EVERY = 5000, 0.1
"""Changed rows that are worth a write; and seconds after which fewer are."""
_GATHER_AT_MOST = 20_000
"""Changed rows that may wait while others are written."""
_FAR, _SHORT_PAGE = 2000, 1000
"""Positions behind which it pays; and events to a page where others want to get on, too."""


class Stride:
    """Moves a projector that nobody else feeds meanwhile. To be used with `async with`: whoever leaves without
    `finish` leaves the rest to be done again from the checkpoint."""

    def __init__(self, projector: Projector, token: int, position: int) -> None:
        self._projector, self._store, self._token = projector, projector.store, token
        self._types = tuple(sorted(projector.types))
        self.position: int = position
        """How far events are folded."""
        self.stored: int = position
        """How far that is durable."""
        self._epoch = position >> 48
        """In which the head is."""
        self.page = _PAGE
        """Events to a page: while one is folded, nothing else happens in the process."""
        self._coming: asyncio.Task[list[Narrow]] | None = None
        self._coming_from: int = 0
        self._coming_up_to: int = 0
        self._writing: asyncio.Task[int] | None = None
        self._wrote_at = 0.0

    async def __aenter__(self) -> "Stride":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._coming is not None:
            self._coming.cancel()
        tasks = [task for task in (self._coming, self._writing) if task is not None]
        if tasks:
            await asyncio.wait(tasks)  # also the write under way: what it writes need not be done again
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # whoever leaves early has another one to tell, or wanted to leave
            if self._writing is not None and not self._writing.cancelled() and not self._writing.exception():
                self.stored = self._writing.result()
        if self.stored < self.position:
            self._projector.forget()
        self._coming = self._writing = None

    async def step(self, head: int) -> int:
        """Folds one page of what lies behind `position`, up to `head`. Returns how many events it had."""
        if head >> 48 != self._epoch:
            # refused if what was folded of the last epoch is lost, which a position of the next one would hide
            await self.finish()
            self._epoch = head >> 48
        if not self._projector.can_gather:
            return await self._consume(head)
        events, up_to = await self._page(head)
        last = events[-1][0] if len(events) == self.page else max(up_to, self.position)
        if not events or await self._projector.gather(events):
            self.position = last
            try:
                await self._write_on()
            except InvalidMessage:
                await self._again()
        else:
            await self._consume(last)
        return len(events)

    async def _consume(self, up_to: int) -> int:
        """The same the long way, which can park."""
        await self.finish()
        page = Page(
            self.position, await self._store.read(self._selection(up_to), limit=self.page), self._projector.registry
        )
        if len(page.events) < self.page:
            page.last = max(page.last, up_to)
        indexes = list(range(len(page.events)))
        before, projector = self.position, self._projector
        self.stored = self.position = await projector.consume(page, indexes, self._token, before)
        if self.position == before < page.last:  # none of them was of its segment
            await projector.advance(Advance(processor=projector.name, token=self._token, old=before, new=page.last))
            self.stored = self.position = page.last
        return len(indexes)

    async def finish(self) -> None:
        """Everything folded is durable when this returns."""
        try:
            await self._written()
            if self.stored < self.position:
                self.stored = await self._projector.write_gathered(self._token, self.stored, self.position)
        except InvalidMessage:
            await self._again()

    async def _again(self) -> None:
        """From what is durable the long way, because the store cannot hold a row: that way finds out which, and parks
        what makes it."""
        goal = self.position
        self.position = self.stored
        self._writing = None
        self._projector.forget()
        while self.position < goal:
            await self._consume(goal)

    def _selection(self, up_to: int, after: int | None = None) -> Selection:
        return Selection(after=self.position if after is None else after, up_to=up_to, types=self._types)

    async def _page(self, head: int) -> tuple[Sequence[Narrow], int]:
        """The next events, and how far they were looked for: not up to `head`, if the log has grown since they were
        asked for."""
        coming, self._coming = self._coming, None
        if coming is not None and self._coming_from == self.position:
            head = min(head, self._coming_up_to)
        else:
            if coming is not None:
                coming.cancel()
            coming = asyncio.ensure_future(self._store.read_narrow(self._selection(head), limit=self.page))
        self._coming = coming  # so that it ends with us
        events = await coming
        self._coming = None
        if len(events) == self.page and events[-1][0] < head:
            self._coming_from, self._coming_up_to = events[-1][0], head
            behind = self._selection(head, self._coming_from)
            self._coming = asyncio.ensure_future(self._store.read_narrow(behind, limit=self.page))
            await asyncio.sleep(0)  # so that it is really asked for, before we are busy with this page
        return events, head

    async def _write_on(self) -> None:
        """Begins the next write if the last one is done, or too much has gathered."""
        await asyncio.sleep(0)  # what has been answered is heard of
        gathered, now = self._projector.gathered, time.monotonic()
        if gathered < _GATHER_AT_MOST and (self._writing is not None and not self._writing.done()):
            return
        if gathered < _ENOUGH and now < self._wrote_at + _AT_LEAST_EVERY:
            return
        self._wrote_at = now
        await self._written()
        if self.stored < self.position:
            write = self._projector.write_gathered(self._token, self.stored, self.position)
            self._writing = asyncio.ensure_future(write)
            await asyncio.sleep(0)  # so that it is on its way before we are busy with the next page

    async def _written(self) -> None:
        if self._writing is not None:
            self.stored = await self._writing
            self._writing = None


class StridingProcessor(PageProcessor):
    """Feeds a projector, and lets it stride as long as it is far behind."""

    consumer: Projector

    async def _step(self, position: int) -> int:
        projector = self.consumer
        if self._end() - position < _FAR or not projector.can_gather or projector.fold.part.inline:
            return await super()._step(position)
        stride = Stride(projector, self._token, position)
        stride.stored, stride.page = self._stored, _SHORT_PAGE
        try:
            async with stride:
                while stride.position < self._end() and projector.can_gather and self._goes_on:
                    await stride.step(self._end())
                    if stride.stored > self._stored:
                        self._stored = stride.stored
                        self._progress.note(self.name, self._stored)
                await stride.finish()
        finally:
            self._stored = stride.stored
        return stride.position

    def _end(self) -> int:
        return self._feed.head if self.goal is None else min(self.goal, self._feed.head)

    @property
    def _goes_on(self) -> bool:
        """Whether nobody wants it to do something else."""
        return self._moving is None and self._may_run and not self._is_lost and not self.retry_asked
