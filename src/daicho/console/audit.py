"""What operators do stands in the register, like everything else that happens."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from daicho.app import App
from daicho.console.access import Viewer
from daicho.core.conditions import ANY
from daicho.core.errors import DaichoError
from daicho.core.ids import derived_id
from daicho.core.messages import RecordedEvent
from daicho.core.operator_events import OPERATOR, OperatorActed
from daicho.core.stored import NewEvent
from daicho.core.streams import stream_name
from daicho.core.times import to_text
from daicho.ports.event_store import AppendRequest, StreamWrite

__all__ = ["audited", "recent"]


async def audited(
    app: App,
    viewer: Viewer,
    *,
    action: str,
    target: str,
    verb: str,
    run: Callable[[], Awaitable[str | None]],
    reason: str = "",
) -> str:
    """Runs an action between two events that say so. What `run` returns is what came of it; what it raises is recorded
    and raised. Nothing is done that could not be recorded first."""
    action_id = str(uuid4())

    async def note(outcome: Any, detail: str = "") -> None:
        event = OperatorActed(
            action_id=action_id,
            action=action,
            target=target[:1000],
            verb=verb[:2000],
            outcome=outcome,
            role=viewer.role,
            reason=reason[:1000],
            detail=detail[:2000],
        )
        await _record(app, viewer.actor, event)

    await note("begun")
    try:
        detail = await run() or ""
    except DaichoError as error:
        await note("failed", f"{error.code}: {error.what}")
        raise
    except Exception as error:
        await note("failed", f"{type(error).__name__}: {error}")
        raise
    await note("done", detail)
    return detail


async def recent(app: App, *, limit: int = 100, actor: str | None = None) -> list[RecordedEvent[Any]]:
    """The newest first."""
    found = app.events(category=OPERATOR, newest_first=True, limit=limit, actor=actor)
    return [event async for event in found]


async def _record(app: App, actor: str, event: OperatorActed) -> None:
    now = to_text(app.clock.now())
    new = NewEvent(
        event_id=derived_id(event.action_id, event.outcome),
        type=type(event).__message_name__,
        schema_version=type(event).__schema_version__,
        data=app.registry.encode(event),
        occurred_at=now,
        correlation_id=event.action_id,
        causation_id=event.action_id,
        actor=actor,
    )
    write = StreamWrite(stream=stream_name(OPERATOR, _identity(actor)), events=(new,), expected=ANY)
    [answer] = await app.storage.append([AppendRequest(writes=(write,))])
    if isinstance(answer, Exception):
        raise answer


def _identity(actor: str) -> str:
    """Any text makes a name for a stream."""
    return "".join(c if c.isprintable() else "?" for c in actor)[:100] or "unknown"
