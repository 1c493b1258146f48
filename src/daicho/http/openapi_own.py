"""The addresses of `/openapi.json` that every App has beside those of its messages."""

from typing import Any

import daicho.http.openapi_parts as parts
from daicho.http.schemas import Schemas, ref
from daicho.http.streams import MEDIA_TYPE as EVENTS

__all__ = ["own_paths"]


def own_paths(schemas: Schemas) -> dict[str, Any]:
    """What every App has beside its messages."""
    event = parts.answer("Events, in order.", ref("EventPage"), ["ETag", "Link", "Cache-Control", "Daicho-Position"])
    event["content"][EVENTS] = {"schema": {"type": "string"}}
    position = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    text = {"type": "string"}
    found = parts.answer("Events, and how far was looked.", ref("EventsRead"), ["Daicho-Position"])
    names = [cls.__message_name__ for cls in schemas.events]
    filters = {
        "after": position,
        "category": text,
        "stream": text,
        "correlation": text,
        "type": {"type": "array", "items": {"type": "string", "examples": names[:3]}},
        "shape": text,
    }
    reading = {"query": text, "after": position, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}}
    appended = parts.answer("All were appended.", ref("Appended"), ["Daicho-Position", "Idempotency-Replayed"])
    body = {"required": True, "content": {"application/json": {"schema": ref("Append")}}}
    known = parts.answer("What became of it.", ref("Status"), ["ETag", "Daicho-Position", "Retry-After"])
    return {
        "/status/{command_id}": {
            "get": {
                "operationId": "status",
                "summary": "What became of a command",
                "tags": ["commands"],
                "parameters": [{"name": "command_id", "in": "path", "required": True, "schema": text}],
                "responses": {"200": known, **parts.problems(*parts.EVERY)},
            }
        },
        "/events": {
            "get": {
                "operationId": "events",
                "security": parts.scoped("events:read"),
                "summary": "The log, page by page or as a stream",
                "tags": ["events"],
                "parameters": [*parts.in_query(filters), *parts.parameters("Last-Event-ID")],
                "responses": {
                    "200": event,
                    "304": {"description": "You have it already.", "headers": parts.headers(["ETag"])},
                    **parts.problems(*parts.EVERY),
                },
            }
        },
        "/read": {
            "get": {
                "operationId": "read",
                "security": parts.scoped("events:read"),
                "summary": "Events that a query selects (dynamic consistency boundary)",
                "description": '`query` is JSON: `{"items": [{"types": [...], "tags": [...]}]}`; without it, all.',
                "tags": ["events"],
                "parameters": parts.in_query(reading),
                "responses": {"200": found, **parts.problems(*parts.EVERY)},
            }
        },
        "/append": {
            "post": {
                "operationId": "append",
                "security": parts.scoped("events:append"),
                "summary": "Append events if a condition holds (dynamic consistency boundary)",
                "tags": ["events"],
                "parameters": parts.parameters("Idempotency-Key", "X-Correlation-Id"),
                "requestBody": body,
                "responses": {"201": appended, **parts.problems(*parts.EVERY, 409)},
            }
        },
    }
