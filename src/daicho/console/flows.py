"""One flow, told: as the story that the register tells, with what is missing, and as pictures."""

from collections.abc import Iterator
from datetime import datetime
from typing import TypeAlias

import msgspec

from daicho.app import App
from daicho.core.segments import root_of
from daicho.core.streams import category_of
from daicho.ports.checkpoint_store import CUT
from daicho.ports.event_store import Selection
from daicho.read.history import Trace, TraceNode
from daicho.read.story import Story

__all__ = ["Sight", "diagram", "sights", "story_of", "walk"]

_MOST = 60
"""Commands in a diagram: more can be scrolled through, and not be read."""
_LINES = (
    ("C", "Controller", ""),
    ("G", "CommandGateway", "write"),
    ("H", "CommandHandler", "write"),
    ("A", "DomainEntity", "write"),
    ("R", "Repository", "write"),
    ("S", "EventStore", "write"),
    ("B", "EventBus", ""),
    ("E", "EventHandler", "read"),
    ("V", "MaterializedView", "read"),
    ("Q", "Query", "read"),
)
"""Ten of the twelve components. The other two, commands and events, are what goes from one to the other."""


Step: TypeAlias = tuple[TraceNode, int, TraceNode | None]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one view shows what happened in a flow."""

    view: str
    seen: bool
    behind: int
    """Events of the flow that it has not dealt with."""
    parked: int
    """Events of the flow that it has parked."""
    queries: tuple[str, ...]
    """Which queries may read it is not known; those of the App that return its rows."""


async def story_of(app: App, reference: str) -> Trace | None:
    """The flow with what event handlers and instances of processes still have to do."""
    history, storage = app.history, app.storage
    correlation = await history.correlation_of(reference)
    if correlation is None:
        return None
    story = Story(correlation)
    await story.add(history.stored(Selection(correlation_id=correlation), limit=2000), storage)
    await history.expect(story)
    story.expect(app.model.reactions, app.registry, await storage.checkpoints(), await storage.letters(limit=1000))
    return story.trace()


def walk(nodes: list[TraceNode], depth: int = 0, cause: TraceNode | None = None) -> Iterator[Step]:
    """Each node with its depth and what led to it."""
    for node in nodes:
        yield node, depth, cause
        yield from walk(node.children, depth + 1, node)


async def sights(app: App, trace: Trace) -> list[Sight]:
    """How the views stand to it: the last question of whoever does not see what they did."""
    events = [node for node, _, _ in walk(trace.roots) if node.kind == "event" and node.position]
    ids = {node.id for node in events}
    parked: dict[str, int] = {}
    for letter in await app.storage.letters(limit=1000):
        if letter.event_id in ids:
            name = root_of(letter.processor).partition(":")[2].partition("@")[0]
            parked[name] = parked.get(name, 0) + 1
    reached: dict[str, int] = {}
    for each in await app.storage.checkpoints():
        kind, _, rest = root_of(each.processor).partition(":")
        name = rest.partition("@")[0]
        if kind == "projection" and each.owner != CUT:
            reached[name] = max(each.position, reached.get(name, 0))
    for lag in await app.lag():
        kind, _, rest = lag.processor.partition(":")
        if kind == "projection":
            name = rest.partition("@")[0]
            reached[name] = max(lag.position, reached.get(name, 0))
    found: list[Sight] = []
    for fold in app.model.folds:
        types = app.registry.names_of(fold.events)
        own = [node for node in events if node.name in types]
        if own:
            behind = sum((node.position or 0) > reached.get(fold.name, 0) for node in own)
            waits = parked.get(fold.name, 0)
            found.append(Sight(view=fold.name, seen=not behind and not waits, behind=behind, parked=waits, queries=()))
    return found


def diagram(trace: Trace, views: list[Sight]) -> str:
    """A Mermaid sequence diagram: lifelines are components, arrows are commands and events."""
    lines = ["sequenceDiagram", "    participant C as Controller", "    box rgba(47,111,222,0.07) write side"]
    lines += [f"    participant {key} as {name}" for key, name, side in _LINES if side == "write"]
    lines += ["    end", "    participant B as EventBus", "    box rgba(46,158,91,0.08) read side"]
    lines += [f"    participant {key} as {name}" for key, name, side in _LINES if side == "read"]
    lines.append("    end")
    told = 0
    for node, _, cause in walk(trace.roots):
        if told >= _MOST:
            lines.append("    Note over C,Q: …")
            break
        if node.kind == "command":
            told += 1
            lines += [f"    {line}" for line in _command(node, cause)]
        elif node.kind == "event":
            lines += [f"    {line}" for line in _event(node)]
        else:
            lines.append(f"    Note over E: {_clean(node.name)}")
    for view in views:
        mark = "✓" if view.seen else f"… {view.behind + view.parked}"
        lines.append(f"    B--)V: {_clean(view.view)} {mark}")
    if views:
        lines.append("    V-->>Q: rows")
    return "\n".join(lines)


def _command(node: TraceNode, cause: TraceNode | None) -> Iterator[str]:
    sender = "E" if node.handler else "C"
    name = _clean(node.name)
    if node.handler:
        yield f"B->>E: {_clean(cause.name if cause is not None else '')} → {_clean(node.handler)}"
    if node.outcome in ("expected", "parked", "pending"):
        yield f"E--xG: {name}: {node.outcome}"
        return
    yield f"{sender}->>G: {name}"
    yield f"G->>H: {name}"
    if node.outcome in ("rejected", "failed"):
        yield f"H--x{sender}: {node.outcome}: {_clean(node.reason or '')}"
        return
    yield f"H->>R: {_clean(node.stream or '')}"
    yield f"R->>A: {_clean(category_of(node.stream or ''))}"


def _event(node: TraceNode) -> Iterator[str]:
    yield f"A->>S: {_clean(node.name)} v{node.version}"
    yield f"S->>B: {_clean(node.name)}"


_SAFE = str.maketrans({"#": "#35;", ";": "#59;", "<": "#lt;", ">": "#gt;", "\n": " ", "\r": " ", "`": "'", "%": "#37;"})


def _clean(text: str) -> str:
    """Text from data must not become a statement, an entity or markup of the diagram."""
    short = text if len(text) <= 60 else f"{text[:59]}…"
    return short.translate(_SAFE) or "–"


def since(at: str | None, start: datetime | None) -> float | None:
    """Milliseconds."""
    if at is None or start is None:
        return None
    return (datetime.fromisoformat(at) - start).total_seconds() * 1000
