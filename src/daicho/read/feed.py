"""The log as the processors of one process read it: each page fetched and decoded once, whoever asks."""

import asyncio
from collections import OrderedDict
from typing import Any

from daicho.core.errors import HistoryError
from daicho.core.messages import RecordedEvent
from daicho.core.registry import Registry
from daicho.core.stored import StoredEvent, recorded
from daicho.ports.event_store import EventStore, Selection

__all__ = ["Feed", "Page"]

_PAGES_KEPT = 16


class Page:
    """Consecutive events of the log, decoded on demand and only once."""

    __slots__ = ("_by_type", "_decoded", "_registry", "after", "events", "last")

    def __init__(self, after: int, events: list[StoredEvent], registry: Registry) -> None:
        self.after, self.events, self._registry = after, events, registry
        self.last = events[-1].position if events else after
        self._decoded: list[RecordedEvent[Any] | HistoryError | None] = [None] * len(events)
        self._by_type: dict[str, list[int]] = {}
        for index, event in enumerate(events):
            self._by_type.setdefault(event.type, []).append(index)

    def up_to(self, position: int) -> "Page":
        """The beginning of it."""
        page = Page(self.after, [event for event in self.events if event.position <= position], self._registry)
        page.last = position
        return page

    def followed_by(self, other: "Page") -> "Page":
        """Both as one. What is decoded stays so."""
        page = Page(self.after, [*self.events, *other.events], self._registry)
        page.last, page._decoded = other.last, [*self._decoded, *other._decoded]
        return page

    def of_types(self, types: frozenset[str]) -> list[int]:
        """Indexes of the events of these types, in order."""
        found = [indexes for name, indexes in self._by_type.items() if name in types]
        if len(found) == 1:
            return found[0]
        return sorted(index for indexes in found for index in indexes)

    def record(self, index: int) -> RecordedEvent[Any] | HistoryError:
        """The event, or why it cannot be read."""
        record = self._decoded[index]
        if record is None:
            try:
                record = recorded(self.events[index], self._registry)
            except HistoryError as error:
                record = error
            self._decoded[index] = record
        return record


class Feed:
    """Pages of the log, and a signal when it grows. One tracker a process asks the store; all processors share it."""

    def __init__(self, store: EventStore, registry: Registry, *, page_size: int = 500) -> None:
        self._store, self._registry, self._page_size = store, registry, page_size
        self._pages: OrderedDict[int, Page] = OrderedDict()
        self._fetching: dict[int, asyncio.Future[Page | None]] = {}
        self._coming: set[asyncio.Task[Page]] = set()
        self.head = 0
        self._turn = 0
        """Grows when what was read has to be forgotten."""
        self._moved = asyncio.Event()
        self._waiting = 0
        self._wanted = asyncio.Event()
        """Set while somebody waits: else the store need not look how far it has come."""
        self._tracker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.head = await self._store.head()
        self._tracker = asyncio.create_task(self._track(), name="daicho-head")

    async def stop(self) -> None:
        if self._tracker is not None:
            self._tracker.cancel()
            await asyncio.wait([self._tracker])
            if not self._tracker.cancelled():
                self._tracker.exception()  # told to whoever waited; leaving goes on
            self._tracker = None
        for fetching in list(self._coming):
            fetching.cancel()
        if self._coming:
            await asyncio.wait(self._coming)
        self.nudge()

    async def _track(self) -> None:
        while True:
            await self._wanted.wait()
            self.head = await self._store.wait(self.head)
            self._moved.set()
            self._moved = asyncio.Event()

    def forget(self) -> None:
        """What was read is not history any more. Whoever is in the middle of a page finds out when it commits."""
        self._turn += 1
        self._pages.clear()
        self.nudge()

    def nudge(self) -> None:
        """Lets everybody who waits look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def grown(self, after: int, timeout: float | None = None) -> bool:
        """Waits until the log is longer than `after`. False if `timeout` seconds passed first.

        Raises what the store raised, if it cannot be watched any more.
        """
        if self.head > after:
            return True
        self._waiting += 1
        self._wanted.set()
        try:
            return await self._grown(after, timeout)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._wanted.clear()

    async def _grown(self, after: int, timeout: float | None) -> bool:
        while self.head <= after:
            tracker, moved = self._tracker, self._moved
            if tracker is None or tracker.done():
                if tracker is not None and not tracker.cancelled() and (error := tracker.exception()):
                    self._tracker = asyncio.create_task(self._track(), name="daicho-head")
                    raise error
                return False
            try:
                # not wait_for: before Python 3.12 it can swallow a cancellation that comes together with the event
                async with asyncio.timeout(timeout):
                    await moved.wait()
            except TimeoutError:
                return False
            if self.head <= after and timeout is not None:
                return False  # nudged
        return True

    async def page(self, after: int) -> Page:
        """The events behind `after`, as many as one page holds; empty at the head."""
        page = self._pages.get(after)
        if page is not None:
            self._pages.move_to_end(after)
            page = self._joined(page)
        else:
            page = await self._shared(after)
        if len(page.events) == self._page_size and self._ahead(page.last):
            await asyncio.sleep(0)  # so that it is really asked for, before we are busy with this page
        return page

    def _joined(self, page: Page) -> Page:
        """With the pages behind it: who is slow need not go in the small steps of who is quick."""
        grown = page
        while (behind := self._pages.get(grown.last)) and len(grown.events) + len(behind.events) <= self._page_size:
            grown = grown.followed_by(behind)
        if grown is not page:
            self._pages[page.after] = grown
        return grown

    async def _shared(self, after: int) -> Page:
        """Fetched once, whoever asks meanwhile: each `after` has at most one fetch under way."""
        while fetching := self._fetching.get(after):
            shared = await asyncio.shield(fetching)
            if shared is not None:  # else whoever fetched it was cancelled
                return shared
        return self._pages.get(after) or await self._fetch(after)

    def _ahead(self, after: int) -> bool:
        """Fetches the page behind a full one while that is dealt with."""
        needed = after not in self._pages and after not in self._fetching and after < self.head
        if needed:
            fetching = asyncio.ensure_future(self._shared(after))
            self._coming.add(fetching)
            fetching.add_done_callback(self._came)
        return needed

    def _came(self, fetching: "asyncio.Task[Page]") -> None:
        self._coming.discard(fetching)
        if not fetching.cancelled():
            fetching.exception()  # whoever needs the page asks again, and is told

    async def _fetch(self, after: int) -> Page:
        future: asyncio.Future[Page | None] = asyncio.get_running_loop().create_future()
        self._fetching[after], turn = future, self._turn
        try:
            # what lies up to the head is final: where several write at once, a store need not look for it again
            head = self.head
            events = await self._store.read(Selection(after=after, up_to=head), limit=self._page_size)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()
            raise
        finally:
            del self._fetching[after]
        page = Page(after, events, self._registry)
        if len(events) < self._page_size:
            page.last = max(page.last, head)  # behind the last event only positions that were given up
        if events and turn == self._turn:
            self._pages[after] = page
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        future.set_result(page)
        return page
