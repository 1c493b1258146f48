"""The register read by people: the audit log, and the story of one flow."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec

from daicho.core.collecting import uncollected
from daicho.core.errors import InvalidMessage, NotRunning
from daicho.core.ids import is_uuid
from daicho.core.messages import RecordedEvent, replace
from daicho.core.registry import Registry
from daicho.core.stored import StoredEvent, all_recorded, recorded
from daicho.core.streams import check_place
from daicho.core.times import to_text
from daicho.ports.command_log import CommandLog
from daicho.ports.event_store import EventStore, Selection
from daicho.read.feed import Feed
from daicho.read.orphans import Orphans, orphaned
from daicho.read.story import Story, Trace, TraceNode

__all__ = ["History", "Trace", "TraceNode"]

_PAGE = 1000


class History:
    """Reads the log for people and tools. Finite, in order of position."""

    def __init__(self, store: EventStore, log: CommandLog, registry: Registry, feed: Feed | None = None) -> None:
        self._store, self._log, self._registry, self.feed = store, log, registry, feed
        self.orphans: Orphans | None = None

    def recorded(self, event: StoredEvent) -> RecordedEvent[Any]:
        """Decoded and upcast."""
        return recorded(event, self._registry)

    async def stored(self, selection: Selection, limit: int | None = None) -> AsyncIterator[StoredEvent]:
        """Raw events, one by one."""
        async for page in self._pages(selection, limit):
            for event in page:
                yield event

    async def _pages(self, selection: Selection, limit: int | None) -> AsyncIterator[list[StoredEvent]]:
        """Page by page; the next one is on its way while this one is looked at."""
        left = limit
        coming: asyncio.Task[list[StoredEvent]] | None = None
        if left is None and not (selection.up_to or selection.stream or selection.event_id or selection.beyond_head):
            selection = replace(selection, up_to=await self._store.head())  # else every page would ask for it
        page = await self._store.read(selection, limit=_PAGE if left is None else min(_PAGE, left))
        try:
            while page:
                left = None if left is None else left - len(page)
                if len(page) == _PAGE and left != 0:
                    selection = _behind(selection, page[-1])
                    most = _PAGE if left is None else min(_PAGE, left)
                    coming = asyncio.ensure_future(self._store.read(selection, limit=most))
                    await asyncio.sleep(0)  # so that it is really asked for, before we are busy with this page
                yield page
                page, coming = (await coming if coming else []), None
        finally:
            if coming is not None:
                coming.cancel()

    async def events(
        self,
        *,
        stream: str | None = None,
        category: str | None = None,
        correlation: str | None = None,
        actor: str | None = None,
        tenant: str | None = None,
        types: tuple[str, ...] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[RecordedEvent[Any]]:
        check_place(after, "after")
        if limit is not None and limit < 0:
            raise InvalidMessage(f"limit={limit} cuts out nothing", do="give 0 or more, or leave it out", path="limit")
        selection = Selection(
            stream=stream,
            category=category,
            correlation_id=correlation,
            actor=actor,
            tenant=tenant,
            types=types,
            since=to_text(since) if since else None,
            until=to_text(until) if until else None,
            after=after,
            newest_first=newest_first,
        )
        registry = self._registry
        async for page in self._pages(selection, limit):
            with uncollected():
                records = all_recorded(page, registry)
            for record in records:
                yield record

    async def subscribe(
        self,
        *,
        after: int = 0,
        category: str | None = None,
        stream: str | None = None,
        types: tuple[str, ...] | None = None,
    ) -> AsyncIterator[RecordedEvent[Any]]:
        """Every event behind `after`, then each new one as it is recorded, without end. Raises OrphanedPosition if some
        of what it has given was lost in a failover."""
        if self.feed is None:
            raise InvalidMessage("this App is open for reading only", do="subscribe inside `async with app:`")
        check_place(after, "after")
        position = after
        if self.orphans is not None:
            await self.orphans.check(after)
        while True:
            head = self.feed.head
            if self.orphans is not None and (lost := self.orphans.lost(position)):
                raise orphaned(position, lost)
            while True:
                # a stream is read here by position as well: it has to be told apart from what was seen already
                page = await self._store.read(
                    Selection(category=category, types=types, after=position, up_to=max(head, position)), limit=_PAGE
                )
                for event in page:
                    if stream is None or event.stream == stream:
                        yield recorded(event, self._registry)
                if len(page) < _PAGE:
                    break
                position = page[-1].position
            position = max(position, head)
            if not await self.feed.grown(position):
                raise NotRunning(
                    "the App was left, and the subscription with it", do="subscribe again, `after=` the last"
                )

    # -- one flow -------------------------------------------------------------------------------------------------

    async def correlation_of(self, reference: str) -> str | None:
        """The flow that an event id, command id, correlation id or stream belongs to; None if there is no such."""
        if not is_uuid(reference):
            found = await self._store.read(Selection(stream=reference), limit=1)
            return found[0].correlation_id if found else None
        for selection in (
            Selection(correlation_id=reference),
            Selection(event_id=reference),
        ):
            if found := await self._store.read(selection, limit=1):
                return found[0].correlation_id
        if outcome := await self._log.outcome(reference):
            return outcome.correlation_id or reference
        found = await self._store.read(Selection(causation_id=reference), limit=1)
        return found[0].correlation_id if found else None

    async def trace(self, reference: str) -> Trace | None:
        """The whole flow that `reference` belongs to, as a tree of commands and events. None if there is no such."""
        correlation = await self.correlation_of(reference)
        if correlation is None:
            return None
        story = Story(correlation)
        await story.add(self.stored(Selection(correlation_id=correlation)), self._log)
        await self.expect(story)
        return story.trace()

    async def expect(self, story: Story, service: str | None = None) -> None:
        """Adds what instances of process managers that took part, and are recorded here, still wait for."""
        for stream in story.instances():
            story.expect_of(stream, [event async for event in self.stored(Selection(stream=stream))], service)


def _behind(selection: Selection, last: StoredEvent) -> Selection:
    """The selection without what has been read."""
    if selection.stream is not None:
        if selection.newest_first:
            return msgspec.structs.replace(selection, up_to_version=last.version - 1)
        return msgspec.structs.replace(selection, after_version=last.version)
    if selection.newest_first:
        return msgspec.structs.replace(selection, up_to=last.position - 1)
    return msgspec.structs.replace(selection, after=last.position)
