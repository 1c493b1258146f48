"""The parts of `/openapi.json` that every App has: headers, parameters, problems, and schemas of envelopes."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from daicho.core.errors import DaichoError
from daicho.http.problems import MEDIA_TYPE, status_of, title_of, type_of
from daicho.http.schemas import ref
from daicho.http.settings import HttpSettings

__all__ = [
    "EVERY",
    "all_headers",
    "all_parameters",
    "answer",
    "headers",
    "in_query",
    "parameters",
    "problem",
    "problems",
    "scoped",
    "shared",
]

_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ETag": ("Validator of what is answered; of a command, the stream and its version.", {"type": "string"}),
    "Location": ("Where it is to be found.", {"type": "string", "format": "uri-reference"}),
    "Retry-After": ("Seconds.", {"type": "integer", "minimum": 0}),
    "Daicho-Position": ("Send it as `Min-Position` with a query that must have seen this.", {"type": "integer"}),
    "X-Correlation-Id": ("Of the flow that the command began.", {"type": "string", "format": "uuid"}),
    "Idempotency-Replayed": ("The command had been handled before; this is that answer.", {"const": "true"}),
    "Preference-Applied": ("What of `Prefer` was honoured.", {"type": "string"}),
    "Link": ("The pages before and behind, and this one's lasting address.", {"type": "string"}),
    "Cache-Control": ("Who may keep it, and for how long.", {"type": "string"}),
}
_REQUEST: dict[str, tuple[str, dict[str, Any]]] = {
    "Idempotency-Key": (
        "Makes it safe to send the command again.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    ),
    "If-Match": ("The ETag of the version that you have seen.", {"type": "string", "pattern": r'^(\*|"[!#-~]*")$'}),
    "If-None-Match": ("`*`: only if there is nothing yet.", {"type": "string", "enum": ["*"]}),
    "Prefer": ("`respond-async`, `wait=5`", {"type": "string"}),
    "X-Correlation-Id": ("The flow that this belongs to.", {"type": "string", "format": "uuid"}),
    "Min-Position": ("The answer has seen this position.", {"type": "integer", "minimum": 0}),
    "Last-Event-ID": ("Go on behind this position.", {"type": "integer", "minimum": 0}),
}
EVERY = (400, 401, 403, 404, 406, 408, 413, 415, 422, 429, 500, 503)
"""What any request may be answered with."""


def shared(settings: HttpSettings) -> dict[str, Any]:
    text, number, uuid = {"type": "string"}, {"type": "integer"}, {"type": "string", "format": "uuid"}
    known = {type_of(cls, settings): title_of(cls) for cls in sorted(tree(DaichoError), key=lambda cls: cls.code)}
    query = _object({"items": {"type": "array", "minItems": 1, "items": ref("DcbItem")}}, ["items"], closed=True)
    event = {
        **dict.fromkeys(("stream", "type", "event_id", "occurred_at", "recorded_at"), text),
        **dict.fromkeys(("correlation_id", "causation_id"), text),
        **dict.fromkeys(("position", "version", "schema_version"), number),
        "actor": {"type": ["string", "null"]},
        "tenant": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": text},
        "metadata": {"type": "object", "additionalProperties": text},
        "data": {"type": "object"},
    }
    receipt = {
        "command_id": uuid,
        "stream": text,
        "version": number,
        "position": number,
        "correlation_id": text,
        "events": {"type": "array"},
    }
    problem = {
        "type": {"type": "string", "description": "\n".join(f"- `{uri}`: {title}" for uri, title in known.items())},
        "title": text,
        "status": number,
        "detail": text,
        "code": text,
        "retryable": {"type": "boolean"},
        "errors": {
            "type": "array",
            "items": _object({"pointer": {"type": "string", "format": "json-pointer"}, "detail": text}, ["pointer"]),
        },
    }
    sent = {
        "type": text,
        "data": {"type": "object"},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 255}},
        "stream": {"type": ["string", "null"]},
    }
    events = {"type": "array", "items": ref("RecordedEvent")}
    condition = {"failIfEventsMatch": ref("DcbQuery"), "after": {"type": "integer", "minimum": 0}}
    return {
        "Problem": _object(problem, ["type", "title", "status"]),
        "Receipt": _object(receipt, list(receipt)),
        "Pending": _object({"command_id": uuid, "name": text, "state": {"const": "pending"}}, ["command_id", "state"]),
        "Status": _object(
            {
                "command_id": uuid,
                "name": text,
                "state": {"enum": ["pending", "done", "rejected", "failed"]},
                "reason": {"type": ["string", "null"]},
                "receipt": ref("Receipt"),
            },
            ["command_id", "name", "state"],
        ),
        "RecordedEvent": _object(event, list(event)),
        "EventPage": _object(
            {"events": events, "after": number, "position": number, "complete": {"type": "boolean"}},
            ["events", "after", "position", "complete"],
        ),
        "EventsRead": _object(
            {"events": events, "position": number, "more": {"type": "boolean"}}, ["events", "position", "more"]
        ),
        "DcbItem": _object(
            {"types": {"type": "array", "items": text}, "tags": {"type": "array", "items": text}}, [], closed=True
        ),
        "DcbQuery": query,
        "Append": _object(
            {
                "events": {"type": "array", "minItems": 1, "items": _object(sent, ["type", "data"], closed=True)},
                "condition": {"anyOf": [_object(condition, ["failIfEventsMatch"], closed=True), {"type": "null"}]},
            },
            ["events"],
            closed=True,
        ),
        "Appended": _object({"positions": {"type": "array", "items": number}, "position": number}, ["positions"]),
    }


def tree(error: type[DaichoError]) -> Iterable[type[DaichoError]]:
    yield error
    for below in error.__subclasses__():
        yield from tree(below)


def _object(properties: Mapping[str, Any], required: Sequence[str], *, closed: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": dict(properties), "required": list(required)}
    return {**found, "additionalProperties": False} if closed else found


def in_query(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in parameters.items()]


def parameters(*names: str) -> list[dict[str, Any]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def all_headers() -> dict[str, Any]:
    return {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()}


def all_parameters() -> dict[str, Any]:
    return {
        name: {"name": name, "in": "header", "description": text, "schema": schema}
        for name, (text, schema) in _REQUEST.items()
    }


def scoped(scope: str) -> list[dict[str, Any]]:
    """Who has the scope, and callers on the same machine if nothing authenticates."""
    return [{}, {"bearer": [scope]}, {"key": [scope]}]


def headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def answer(description: str, schema: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": headers(names),
        "content": {"application/json": {"schema": dict(schema)}},
    }


def problems(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def problem(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
    }
    codes = [f"`{cls.code}`" for cls in sorted(tree(DaichoError), key=lambda cls: cls.code) if status_of(cls) == status]
    if codes:
        found["description"] += f": {', '.join(codes)}"
    if status in (429, 503):
        found["headers"] = headers(["Retry-After"])
    return found
