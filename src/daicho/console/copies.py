"""An event as code: to be looked at elsewhere, or to become a test."""

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.app import App
from daicho.core.errors import DaichoError
from daicho.core.messages import Command
from daicho.core.streams import category_of
from daicho.ports.event_store import StoredEvent

__all__ = ["as_curl", "as_pytest", "as_python"]


def as_curl(event: StoredEvent, base: str) -> str:
    """Of the HTTP interface, the page that begins with it. Whoever needs a key puts theirs into DAICHO_KEY."""
    url = f"{base}/events?stream={event.stream}&after={event.position - 1}"
    return f'curl -s -H "X-API-Key: $DAICHO_KEY" {shlex.quote(url)}'


def as_python(event: StoredEvent) -> str:
    return (
        f"async for event in app.events(stream={event.stream!r}, after={event.position - 1}, limit=1):\n"
        f"    print(event.type, event.event)\n"
    )


def as_pytest(
    app: App, event: StoredEvent, before: Sequence[StoredEvent], name: str | None, command: Command | None
) -> str:
    """A test that says: after what had happened, this command leads to this event. The command itself is not kept for
    ever: where it is gone, it is made of the fields that the event has as well, and `...` for the rest."""
    behaviour = app.model.categories.get(category_of(event.stream))
    part = getattr(behaviour.part, "__name__", behaviour.category) if behaviour else "..."
    lines = [_call(app, each) for each in before]
    given = "".join(f"\n        {line}," for line in lines)
    asked = repr(command) if command is not None else _guessed(app, name, event)
    imports = sorted({line.partition("(")[0] for line in [*lines, asked, _call(app, event)]})
    return (
        "from daicho.testing import given\n"
        f"# import {', '.join([part, *imports])} from where they are\n\n\n"
        f"def test_{event.type.replace('.', '_').replace('-', '_')}() -> None:\n"
        f"    given(\n        {part},{given}\n    ).when(\n        {asked}\n    ).then(\n"
        f"        {_call(app, event)},\n    )\n"
    )


def _call(app: App, event: StoredEvent) -> str:
    try:
        return repr(app.registry.decode(event.type, event.schema_version, event.data))
    except DaichoError:
        return f"...  # {event.type} version {event.schema_version} cannot be read"


def _guessed(app: App, name: str | None, event: StoredEvent) -> str:
    cls = next((each for each in app.model.behaviours if each.__message_name__ == name), None)
    if cls is None:
        return f"{name or '...'}(...)"
    try:
        found: Any = app.registry.decode(event.type, event.schema_version, event.data)
    except DaichoError:
        found = None
    known = {field: repr(getattr(found, field)) for field in cls.__struct_fields__ if hasattr(found, field)}
    needed = {field.name for field in msgspec.structs.fields(cls) if field.required}
    fields = [
        f"{field}={known.get(field, '...')}" for field in cls.__struct_fields__ if field in known or field in needed
    ]
    return f"{cls.__name__}({', '.join(fields)})"
