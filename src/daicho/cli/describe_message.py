"""What the app knows about one of its message types."""

import inspect
from typing import Any

from daicho.app import App
from daicho.core.handlers import answer_of
from daicho.core.messages import Command, Event, Message, Query
from daicho.core.plain import json_text
from daicho.core.signatures import describe
from daicho.schemas.shapes import example, fields_of

__all__ = ["message_named"]


def message_named(app: App, name: str) -> dict[str, Any] | None:
    """By its stored name or its class name; None if there is no such message."""
    model = app.model
    messages: list[type[Message]] = [*model.behaviours, *model.queries, *sorted(model.events, key=lambda e: e.__name__)]
    for wanted in ("__message_name__", "__name__"):
        for message in messages:
            if getattr(message, wanted) == name:
                return _about(app, message)
    return None


def _about(app: App, message: type[Message]) -> dict[str, Any]:
    cls: type[Any] = message
    text = inspect.getdoc(message) if "__doc__" in vars(message) and message.__doc__ else None
    found: dict[str, Any] = {"name": message.__message_name__, "about": text}
    if issubclass(message, Command):
        found |= {"kind": "command", **_command(app, message)}
    elif issubclass(message, Query):
        answer = answer_of(cls)
        found |= {
            "kind": "query",
            "answered_by": describe(app.model.queries[cls].function),
            "answer": getattr(answer, "__name__", None)
            if isinstance(answer, type) and not _args(answer)
            else str(answer),
        }
    elif issubclass(message, Event):
        found |= {"kind": "event", **_event(app, message)}
    found["class"] = f"{message.__module__}.{message.__qualname__}"
    found["routes"] = [f"{route.method} {route.path}" for route in app.model.routes if route.message is message]
    found["fields"] = fields_of(cls)
    found["example"] = example(cls)
    verb = {"command": "send", "query": "query"}.get(found["kind"])
    if verb:
        found["try"] = f"daicho {verb} {message.__message_name__} --data '{json_text(found['example'])}'"
    return found


def _args(answer: object) -> tuple[Any, ...]:
    return getattr(answer, "__args__", ())


def _command(app: App, command: type[Command]) -> dict[str, Any]:
    behaviour = app.model.behaviours[command]
    return {
        "handled_by": behaviour.name,
        "category": behaviour.category,
        "may_record": sorted(event.__message_name__ for event in behaviour.effects[command]),
        "sent_by": sorted(r.name for r in app.model.reactions if command in r.commands),
    }


def _event(app: App, event: type[Event]) -> dict[str, Any]:
    model = app.model
    recorded = {
        command.__message_name__
        for command, behaviour in model.behaviours.items()
        if event in behaviour.effects[command]
    }
    return {
        "schema_version": event.__schema_version__,
        "tags": list(event.__tag_fields__),
        "recorded_by": sorted(recorded),
        "event_handlers": [
            {"handler": r.name, "sends": ", ".join(sorted(c.__message_name__ for c in r.commands)) or "(side effect)"}
            for r in model.reactions
            if event in r.events
        ],
        "projections": sorted(fold.name for fold in model.folds if event in fold.events),
        "upcast_from": [
            f"{step.type} version {step.version}"
            for step in model.upcasters
            if step.to_type == event.__message_name__ or step.type == event.__message_name__
        ],
    }
