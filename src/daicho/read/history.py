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
from daicho.core.times import to_text
from daicho.ports.command_log import CommandLog
from daicho.ports.event_store import CommandOutcome, EventStore, Selection
from daicho.read.feed import Feed

__all__ = ["History", "Trace", "TraceNode"]

_PAGE = 1000


class TraceNode(msgspec.Struct, kw_only=True):
    """A command or an event of a flow, and what it led to."""

    kind: str
    """`command` or `event`."""
    name: str
    id: str
    stream: str | None = None
    version: int | None = None
    position: int | None = None
    at: str | None = None
    """Recorded at (an event), finished at (a command without events): ISO 8601."""
    actor: str | None = None
    handler: str | None = None
    """The event handler that sent the command; None from outside."""
    outcome: str = "done"
    """`done`, `rejected`, `failed` or `pending`."""
    reason: str | None = None
    data: Any = None
    """The event's stored content as builtins."""
    children: list["TraceNode"] = []


class Trace(msgspec.Struct, kw_only=True):
    """Everything that one command from outside led to."""

    correlation_id: str
    roots: list[TraceNode]
    events: int
    commands: int
    seconds: float
    """From the first event recorded to the last."""


class History:
    """Reads the log for people and tools. Finite, in order of position."""

    def __init__(self, store: EventStore, log: CommandLog, registry: Registry, feed: Feed | None = None) -> None:
        self._store, self._log, self._registry, self.feed = store, log, registry, feed

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
        """Every event behind `after`, then each new one as it is recorded, without end."""
        if self.feed is None:
            raise InvalidMessage("this App is open for reading only", do="subscribe inside `async with app:`")
        position = after
        while True:
            head = self.feed.head
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
        commands: dict[str, TraceNode] = {}
        causes: dict[str, str | None] = {}
        events: dict[str, TraceNode] = {}
        first = last = None
        async for event in self.stored(Selection(correlation_id=correlation)):
            metadata = msgspec.json.decode(event.metadata, type=dict[str, str])
            command = commands.get(event.causation_id)
            if command is None:
                command = commands[event.causation_id] = TraceNode(
                    kind="command",
                    name=metadata.get("command", "?"),
                    id=event.causation_id,
                    stream=event.stream,
                    actor=event.actor,
                    handler=metadata.get("handler"),
                    at=event.recorded_at,
                    children=[],
                )
                causes[event.causation_id] = metadata.get("cause")
            node = TraceNode(
                kind="event",
                name=event.type,
                id=event.event_id,
                stream=event.stream,
                version=event.version,
                position=event.position,
                at=event.recorded_at,
                actor=event.actor,
                data=_shown(event),
                children=[],
            )
            command.children.append(node)
            events[event.event_id] = node
            first, last = first or event.recorded_at, event.recorded_at
        for outcome in await self._log.outcomes(correlation_id=correlation, limit=1000):
            if outcome.command_id not in commands:
                commands[outcome.command_id] = _without_events(outcome)
                causes[outcome.command_id] = outcome.cause
        roots: list[TraceNode] = []
        for command_id, node in commands.items():
            cause = events.get(causes[command_id] or "")
            (cause.children if cause else roots).append(node)
        return Trace(
            correlation_id=correlation,
            roots=roots,
            events=len(events),
            commands=len(commands),
            seconds=_seconds(first, last),
        )


def _behind(selection: Selection, last: StoredEvent) -> Selection:
    """The selection without what has been read."""
    if selection.stream is not None:
        if selection.newest_first:
            return msgspec.structs.replace(selection, up_to_version=last.version - 1)
        return msgspec.structs.replace(selection, after_version=last.version)
    if selection.newest_first:
        return msgspec.structs.replace(selection, up_to=last.position - 1)
    return msgspec.structs.replace(selection, after=last.position)


def _shown(event: StoredEvent) -> Any:
    try:
        return msgspec.json.decode(event.data) if event.data[:1] == b"{" else msgspec.msgpack.decode(event.data)
    except msgspec.DecodeError:
        return repr(event.data)


def _without_events(outcome: CommandOutcome) -> TraceNode:
    return TraceNode(
        kind="command",
        name=outcome.name,
        id=outcome.command_id,
        stream=outcome.stream,
        at=outcome.finished_at or outcome.received_at,
        actor=outcome.actor,
        handler=outcome.handler,
        outcome=outcome.state,
        reason=outcome.reason,
        children=[],
    )


def _seconds(first: str | None, last: str | None) -> float:
    if first is None or last is None:
        return 0.0
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
