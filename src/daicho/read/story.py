"""One flow as a tree: what was asked, what came of it, and what followed, in one service or several."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from daicho.core.handlers import EventHandler
from daicho.core.process_events import ProcessMoved
from daicho.core.registry import Registry
from daicho.core.segments import root_of
from daicho.core.stored import StoredEvent
from daicho.ports.checkpoint_store import CUT, Checkpoint
from daicho.ports.command_log import CommandLog
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import CommandOutcome
from daicho.read.expected import expected

__all__ = ["Story", "Trace", "TraceNode", "service_of"]


class TraceNode(msgspec.Struct, kw_only=True):
    """A command or an event of a flow, and what it led to."""

    kind: str
    """`command`, `event`, or `timer`: one of a process manager that has not come up yet."""
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
    """`done`, `rejected`, `failed` or `pending`; `expected` or `parked` of what an event handler still has to do."""
    reason: str | None = None
    service: str | None = None
    """Where it happened; None for the service whose register was read, where that is the only one."""
    sender: str | None = None
    """The service that sent the command, if that is known."""
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


class Story:
    """Puts the tree together from the registers it is told of. An event is one node, however many services recorded
    it: as it stands where it happened, if that register was read."""

    def __init__(self, correlation_id: str) -> None:
        self._correlation_id = correlation_id
        self._commands: dict[str, TraceNode] = {}
        self._causes: dict[str, str | None] = {}
        self._events: dict[str, TraceNode] = {}
        self._copies: set[str] = set()
        self._logged: dict[str, list[str]] = {}
        """Of a command, the services whose logs have it."""

    async def add(self, events: AsyncIterator[StoredEvent], log: CommandLog, service: str | None = None) -> None:
        """What one register knows of the flow. `service`: whose it is."""
        async for event in events:
            self._add_event(event, service)
        for outcome in await log.outcomes(correlation_id=self._correlation_id, limit=1000):
            known = self._commands.get(outcome.command_id)
            self._logged.setdefault(outcome.command_id, []).extend([service] if service else [])
            if known is None or (known.outcome == "pending" and not known.children):
                self._commands[outcome.command_id] = _without_events(outcome, service)
                self._causes[outcome.command_id] = outcome.cause

    def _add_event(self, event: StoredEvent, service: str | None) -> None:
        metadata = msgspec.json.decode(event.metadata, type=dict[str, str])
        source = metadata.get("source") if "origin_stream" in metadata else None
        if event.event_id in self._events and (source or event.event_id not in self._copies):
            return
        where = source or service
        command = self._commands.get(event.causation_id)
        if command is None or (not command.children and command.outcome in ("done", "pending")):
            command = self._commands[event.causation_id] = TraceNode(
                kind="command",
                name=metadata.get("command", "?"),
                id=event.causation_id,
                stream=event.stream,
                actor=event.actor,
                handler=metadata.get("handler"),
                at=event.recorded_at,
                service=where,
                sender=metadata.get("sender") or (where if "handler" in metadata else None),
                children=[],
            )
            self._causes[event.causation_id] = metadata.get("cause")
        node = TraceNode(
            kind="event",
            name=event.type,
            id=event.event_id,
            stream=event.stream,
            version=event.version,
            position=event.position,
            at=event.recorded_at,
            actor=event.actor,
            service=where,
            data=_shown(event),
            children=[],
        )
        if source:
            self._copies.add(event.event_id)
        elif event.event_id in self._copies:  # now it is told by whom it happened to
            self._copies.discard(event.event_id)
            command.children = [each for each in command.children if each.id != event.event_id]
            command.stream, command.at = event.stream, min(command.at or event.recorded_at, event.recorded_at)
        command.children.append(node)
        self._events[event.event_id] = node

    def expect(
        self,
        reactions: Sequence[EventHandler],
        registry: Registry,
        checkpoints: Sequence[Checkpoint],
        letters: Sequence[DeadLetter],
        service: str | None = None,
    ) -> None:
        """Adds what the event handlers of one service still have to do for its events: a command that is `expected`,
        or `parked`."""
        reached: dict[str, int] = {}
        for each in checkpoints:
            if each.owner != CUT:
                root = root_of(each.processor)
                reached[root] = min(each.position, reached.get(root, each.position))
        parked = {(root_of(letter.processor), letter.event_id): letter for letter in letters}
        for reaction in reactions:
            name, types = f"reaction:{reaction.name}", registry.names_of(reaction.events)
            for node in [each for each in self._events.values() if each.name in types]:
                letter = parked.get((name, node.id))
                is_here = node.service in (service, None) or node.id in self._copies
                waits = is_here and node.position is not None and node.position > reached.get(name, 0)
                if letter is None and not waits:
                    continue
                commands = ", ".join(command.__message_name__ for command in reaction.commands) or "side effect"
                missing = TraceNode(
                    kind="command",
                    name=commands,
                    id=f"{node.id}:{reaction.name}",
                    handler=reaction.name,
                    outcome="parked" if letter else "expected",
                    reason=(letter.error or "behind another that is parked") if letter else "not handled yet",
                    service=service,
                    sender=service,
                    children=[],
                )
                node.children.append(missing)

    def instances(self) -> list[str]:
        """Streams of instances of process managers that took a step in it."""
        moved = [node for node in self._events.values() if node.name == ProcessMoved.__message_name__]
        return list(dict.fromkeys(node.stream for node in moved if node.stream))

    def expect_of(self, stream: str, records: Sequence[StoredEvent], service: str | None = None) -> None:
        """Adds what one instance still waits for. `records`: all of its stream, also those of other flows."""
        own = {record.event_id for record in records}
        steps = [(node.id, node.data) for node in self._events.values() if node.stream == stream and node.id in own]
        for each in expected(steps, map(_shown, records), lambda command_id: command_id in self._commands):
            self._events[each.after].children.append(
                TraceNode(
                    kind=each.kind,
                    name=each.name,
                    id=each.id,
                    handler=each.handler,
                    outcome=each.outcome,
                    reason=each.reason,
                    service=service,
                    sender=service,
                    children=[],
                )
            )

    def trace(self) -> Trace:
        roots: list[TraceNode] = []
        for command_id, node in sorted(self._commands.items(), key=_when):
            node.children.sort(key=lambda each: (each.at or "", each.version or 0))
            cause = self._events.get(self._causes[command_id] or "")
            if cause and not node.children and (node.handler or "").startswith("process:"):
                self._place(node, cause)
            (cause.children if cause else roots).append(node)
        moments = [node.at for node in self._events.values() if node.at]
        return Trace(
            correlation_id=self._correlation_id,
            roots=roots,
            events=len(self._events),
            commands=len(self._commands),
            seconds=_seconds(min(moments, default=None), max(moments, default=None)),
        )

    def _place(self, node: TraceNode, cause: TraceNode) -> None:
        """A command without events, in the logs of two services: sent by the one whose process was moved, refused by
        the other."""
        others = [each for each in self._logged.get(node.id, ()) if each != cause.service]
        if len(others) == 1:
            node.service, node.sender = others[0], cause.service


def service_of(checkpoints: Sequence[Checkpoint]) -> str | None:
    """Whose register it is, if one service has used it."""
    names = {each.processor.partition(":")[2] for each in checkpoints if each.processor.startswith("posted:")}
    return names.pop() if len(names) == 1 else None


def _when(entry: tuple[str, TraceNode]) -> str:
    return entry[1].at or ""


def _without_events(outcome: CommandOutcome, service: str | None) -> TraceNode:
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
        service=_meant_for(outcome) or service,
        sender=service if outcome.handler else None,
        children=[],
    )


def _meant_for(outcome: CommandOutcome) -> str | None:
    """The service that a pending command waits for."""
    if not outcome.payload:
        return None
    try:
        return msgspec.json.decode(outcome.payload, type=_To).to
    except msgspec.MsgspecError:
        return None


class _To(msgspec.Struct):
    to: str | None = None


def _shown(event: StoredEvent) -> Any:
    try:
        return msgspec.json.decode(event.data) if event.data[:1] == b"{" else msgspec.msgpack.decode(event.data)
    except msgspec.DecodeError:
        return repr(event.data)


def _seconds(first: str | None, last: str | None) -> float:
    if first is None or last is None:
        return 0.0
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
