"""A flow as a Mermaid sequence diagram (mermaid.js.org/syntax/sequenceDiagram)."""

from collections.abc import Sequence

from daicho.core.streams import category_of
from daicho.read.history import Trace, TraceNode

__all__ = ["sequence_diagram"]

_SPECIAL = str.maketrans({"#": "#35;", ";": "#59;", "\n": " "})


def sequence_diagram(found: Trace) -> str:
    """Who asked, the aggregates by stream, and the event handlers between them, in the order they took part; of a flow
    through several services, the services."""
    if len(_services(found.roots)) > 1:
        return _between_services(found)
    participants: dict[str, str] = {}
    lines: list[str] = []

    def actor(name: str, kind: str = "participant") -> str:
        return participants.setdefault(name, f"{kind[0]}{len(participants)}")

    def command(node: TraceNode, sender: str) -> None:
        where = node.stream or _unknown(node)
        receiver = actor(where)
        lines.append(f"{sender}->>{receiver}: {_clean(node.name)}")
        if node.outcome != "done":
            answer = f"{node.outcome}: {node.reason}" if node.reason else node.outcome
            lines.append(f"{receiver}--x{sender}: {_clean(answer)}")
        for event in node.children:
            at = actor(event.stream or where)
            lines.append(f"Note over {at}: {_clean(event.name)} v{event.version}")
            for follower in event.children:
                if follower.kind == "timer":
                    told = f"{follower.name}, {follower.reason or follower.outcome}"
                    lines.append(f"Note over {at}: {_clean(told)}")
                    continue
                handler = actor(follower.handler or "event handler")
                lines.append(f"{at}-->>{handler}: {_clean(event.name)}")
                command(follower, handler)

    for root in found.roots:
        command(root, actor(root.actor or "outside", "actor"))
    declared = [
        f"{'actor' if short[0] == 'a' else 'participant'} {short} as {_clean(name)}"
        for name, short in participants.items()
    ]
    return "\n    ".join(["sequenceDiagram", *declared, *lines])


def _services(nodes: Sequence[TraceNode]) -> set[str]:
    found = {node.service for node in nodes if node.service}
    return found.union(*(_services(node.children) for node in nodes))


def _between_services(found: Trace) -> str:
    """One lifeline for each service."""
    participants: dict[str, str] = {}
    lines: list[str] = []

    def line(name: str, kind: str = "participant") -> str:
        return participants.setdefault(name, f"{kind[0]}{len(participants)}")

    def command(node: TraceNode, sender: str) -> None:
        receiver = line(node.service or "?")
        through = f" ({node.handler})" if node.handler else ""
        lines.append(f"{sender}->>{receiver}: {_clean(node.name + through)}")
        if node.outcome != "done":
            answer = f"{node.outcome}: {node.reason}" if node.reason else node.outcome
            lines.append(f"{receiver}--x{sender}: {_clean(answer)}")
        for event in node.children:
            at = line(event.service or node.service or "?")
            lines.append(f"Note over {at}: {_clean(event.name)} {_clean(event.stream or '')} v{event.version}")
            for follower in event.children:
                if follower.kind == "timer":
                    told = f"{follower.name}, {follower.reason or follower.outcome}"
                    lines.append(f"Note over {at}: {_clean(told)}")
                    continue
                by = line(follower.sender or event.service or "?")
                if by != at:
                    lines.append(f"{at}-->>{by}: {_clean(event.name)}")
                command(follower, by)

    for root in found.roots:
        timed = root.handler and root.service  # a deadline: nobody asked
        command(root, line(timed) if timed else line(root.actor or "outside", "actor"))
    declared = [
        f"{'actor' if s[0] == 'a' else 'participant'} {s} as {_clean(name)}" for name, s in participants.items()
    ]
    return "\n    ".join(["sequenceDiagram", *declared, *lines])


def _unknown(node: TraceNode) -> str:
    """Where a command went that left no event to tell."""
    return category_of(node.stream) if node.stream else "(no answer)" if node.outcome == "pending" else "(refused)"


def _clean(text: str) -> str:
    """Mermaid ends a statement at `;` and a line; `#` begins an entity."""
    return text.translate(_SPECIAL)
