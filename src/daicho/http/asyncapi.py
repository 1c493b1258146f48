"""`/asyncapi.json`: what the App tells of its own accord, as AsyncAPI 3.1: events, and live answers."""

from collections.abc import Sequence
from typing import Any

from daicho.app import App
from daicho.core.messages import Message
from daicho.flow.among import Among
from daicho.flow.line import commands_of, events_of
from daicho.http.schemas import Schemas
from daicho.http.streams import MEDIA_TYPE
from daicho.ports.event_bus import Channel

__all__ = ["asyncapi"]

_GET = {"http": {"method": "GET", "bindingVersion": "0.3.0"}}


def asyncapi(app: App, *, root: str = "", version: str = "1") -> dict[str, Any]:
    """The document. `root`: where the application is mounted."""
    schemas = Schemas(app)
    messages: dict[str, Any] = {}
    for event in schemas.events:
        name = event.__message_name__
        messages[_key(name)] = {
            "name": name,
            "title": event.__name__,
            "summary": f"Version {event.__schema_version__}.",
            "contentType": "application/json",
            "payload": {
                "allOf": [{"$ref": "#/components/schemas/Recorded"}],
                "type": "object",
                "properties": {"type": {"const": name}, "data": schemas.of(event)},
            },
        }
    channels: dict[str, Any] = {
        "events": {
            "address": f"{root}/events",
            "title": "All events, in order",
            "description": f"`GET` with `Accept: {MEDIA_TYPE}`. The id of each is its position: with `Last-Event-ID`, "
            "or `after=`, the stream goes on behind it. `type=`, `category=`, `stream=` and `correlation=` select.",
            "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages},
        }
    }
    operations: dict[str, Any] = {
        "sendEvents": {
            "action": "send",
            "channel": {"$ref": "#/channels/events"},
            "summary": "Each event that is recorded.",
            "bindings": _GET,
        }
    }
    for query in schemas.queries:
        name, key = query.__message_name__, _key(query.__message_name__)
        messages[f"{key}Answer"] = {
            "name": "answer",
            "title": f"Answer to {name}",
            "contentType": "application/json",
            "payload": schemas.answers[query],
        }
        channels[key] = {
            "address": f"{root}/queries/{name}",
            "title": f"{name}, live",
            "description": f"`GET` with `Accept: {MEDIA_TYPE}` and the fields of the query as parameters: the answer, "
            "and each one that differs from the one before.",
            "messages": {"answer": {"$ref": f"#/components/messages/{key}Answer"}},
        }
        operations[f"send{key}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{key}"},
            "summary": f"Each answer to {name}.",
            "bindings": _GET,
        }
    if app.among is not None:
        _tell_bus(app.among, schemas, messages, channels, operations)
    return {
        "asyncapi": "3.1.0",
        "info": {"title": app.name, "version": version},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {**schemas.components, "Recorded": _recorded()}},
    }


def _tell_bus(
    among: Among, schemas: Schemas, messages: dict[str, Any], channels: dict[str, Any], operations: dict[str, Any]
) -> None:
    """The channels of the bus that this service speaks on, and those that it hears: CloudEvents in binary mode."""
    spoken = [event for event in schemas.events if event.__message_name__ in among.published]
    roads: list[tuple[str, Channel, Sequence[type[Message]]]] = [
        ("send", events_of(among.name, among.partitions), spoken)
    ]
    heard = [event for event in schemas.events if event.__message_name__ in among.wanted]
    roads += [("receive", events_of(service, among.partitions), heard) for service in among.listen]
    owned = [command for command in schemas.commands if command.__message_name__ in among.owned]
    roads.append(("receive", commands_of(among.name, among.partitions), owned))
    for service, names in among.remote.items():
        asked = [command for command in schemas.commands if command.__message_name__ in names]
        roads.append(("send", commands_of(service, among.partitions), asked))
    for action, channel, classes in roads:
        if not classes:
            continue
        key = f"bus.{channel.name}"
        for cls in classes:
            messages[f"bus.{_key(cls.__message_name__)}"] = {
                "name": cls.__message_name__,
                "title": cls.__name__,
                "contentType": "application/json",
                "payload": schemas.of(cls),
            }
        channels[key] = {
            "address": channel.name,
            "title": channel.name,
            "description": f"On the bus, in {channel.partitions} partitions: CloudEvents 1.0 in binary mode, "
            "`type` is the name of the message.",
            "messages": {
                _key(cls.__message_name__): {"$ref": f"#/components/messages/bus.{_key(cls.__message_name__)}"}
                for cls in classes
            },
        }
        operations[f"{action}.{channel.name}"] = {"action": action, "channel": {"$ref": f"#/channels/{key}"}}


def _key(name: str) -> str:
    """Keys of components have letters, digits, `.`, `-` and `_`."""
    return "".join(each if each.isascii() and (each.isalnum() or each in ".-_") else "_" for each in name)


def _recorded() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer"}
    properties: dict[str, Any] = {
        **dict.fromkeys(("position", "version", "schema_version"), number),
        **dict.fromkeys(("stream", "type", "event_id", "occurred_at", "recorded_at"), text),
        **dict.fromkeys(("correlation_id", "causation_id"), text),
        "actor": {"type": ["string", "null"]},
        "tenant": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": text},
        "metadata": {"type": "object", "additionalProperties": text},
    }
    return {"type": "object", "required": [*properties, "data"], "properties": properties}
