"""A flow as a Mermaid sequence diagram (mermaid.js.org/syntax/sequenceDiagram)."""

from daicho.core.streams import category_of
from daicho.read.history import Trace, TraceNode

__all__ = ["sequence_diagram"]

_SPECIAL = str.maketrans({"#": "#35;", ";": "#59;", "\n": " "})


def sequence_diagram(found: Trace) -> str:
    """Who asked, the aggregates by stream, and the event handlers between them, in the order they took part."""
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


def _unknown(node: TraceNode) -> str:
    """Where a refused command went: it left no event to tell."""
    return category_of(node.stream) if node.stream else "(refused)"


def _clean(text: str) -> str:
    """Mermaid ends a statement at `;` and a line; `#` begins an entity."""
    return text.translate(_SPECIAL)
