"""`/openapi.json`: what the App takes and answers, as OpenAPI 3.1."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import daicho.http.openapi_parts as parts
from daicho.app import App
from daicho.core.access import scopes_of
from daicho.core.handlers import Route
from daicho.core.messages import Command, Message, Query
from daicho.http.addresses import location_of, parameters_of
from daicho.http.openapi_own import own_paths
from daicho.http.schemas import Schemas, ref
from daicho.http.settings import HttpSettings
from daicho.http.streams import MEDIA_TYPE as EVENTS
from daicho.http.tables import table_paths

__all__ = ["openapi"]


def openapi(app: App, settings: HttpSettings, *, root: str = "", version: str = "1") -> dict[str, Any]:
    """The document. `root`: where the application is mounted."""
    schemas = Schemas(app)
    paths: dict[str, dict[str, Any]] = {}
    for route in app.model.routes:
        operation = _route(route, app, schemas, settings)
        method = route.method.lower() if route.method != "QUERY" else "x-query"
        paths.setdefault(route.path, {})[method] = operation
    for command in schemas.commands:
        operation = _command(command, app, schemas, settings)
        paths[f"/commands/{command.__message_name__}"] = {"post": operation}
    for query in schemas.queries:
        paths[f"/queries/{query.__message_name__}"] = _query_paths(query, schemas)
    paths |= table_paths(app, schemas)
    paths |= own_paths(schemas)
    return {
        "openapi": "3.1.1",
        "info": {"title": app.name, "version": version},
        "servers": [{"url": root or "/"}],
        "security": [{}, {"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.components, **parts.shared(settings)},
            "headers": parts.all_headers(),
            "parameters": parts.all_parameters(),
            "responses": {str(status): parts.problem(status) for status in (*parts.EVERY, 409, 412, 428)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _route(route: Route, app: App, schemas: Schemas, settings: HttpSettings) -> dict[str, Any]:
    names, message = parameters_of(route), route.message
    operation_id = f"{route.method.lower()}{route.path}".replace("/", "_").replace("{", "").replace("}", "")
    if issubclass(message, Command):
        operation = _command(message, app, schemas, settings, names, route)
    else:
        query: Any = message
        operation = _query(query, schemas, names)
    return {**operation, "operationId": operation_id}


def _command(
    command: type[Command],
    app: App,
    schemas: Schemas,
    settings: HttpSettings,
    names: Sequence[str] = (),
    route: Route | None = None,
) -> dict[str, Any]:
    properties = schemas.whole(command)["properties"]
    body = schemas.without(command, names) if names else schemas.of(command)
    needed = bool(body.get("required")) if names else bool(schemas.whole(command).get("required"))
    required = settings.require_match or (route is not None and route.if_match)
    sent = ["ETag", "Daicho-Position", "X-Correlation-Id", "Idempotency-Replayed", "Preference-Applied"]
    made = ["Location", *sent] if route is not None and location_of(route, app.model.routes) else sent
    behaviour = app.model.behaviours.get(command)
    receipt = _receipt(behaviour.effects[command] if behaviour else (), schemas)
    return {
        "operationId": command.__message_name__,
        "summary": f"Send {command.__message_name__}",
        **_described(schemas.whole(command)),
        "tags": [behaviour.category if behaviour else "other services"],
        **_security(command),
        "parameters": [
            *_in_path(names, properties),
            *parts.parameters("Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "X-Correlation-Id"),
        ],
        "requestBody": {"required": needed, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": parts.answer("The command was handled.", receipt, sent),
            "201": parts.answer("The command was handled, and began a stream.", receipt, made),
            "202": parts.answer(
                "The command is durable and will be handled.",
                ref("Pending"),
                ["Location", "Retry-After", "Preference-Applied"],
            ),
            **parts.problems(*parts.EVERY, 409, 412, *([428] if required else [])),
        },
    }


def _query_paths(query: type[Query[Any]], schemas: Schemas) -> dict[str, Any]:
    operation = _query(query, schemas)
    body = {"required": True, "content": {"application/json": {"schema": schemas.of(query)}}}
    by_body = {**operation, "operationId": f"{operation['operationId']}.query", "requestBody": body}
    by_body["parameters"] = parts.parameters("Min-Position", "Prefer", "Last-Event-ID")
    properties, required = schemas.whole(query)["properties"], schemas.whole(query).get("required", ())
    if all(schemas.is_plain(properties[name]) for name in required):
        return {"get": operation, "x-query": by_body}
    return {"x-query": by_body}


def _query(query: type[Query[Any]], schemas: Schemas, names: Sequence[str] = ()) -> dict[str, Any]:
    whole = schemas.whole(query)
    properties, required = whole["properties"], whole.get("required", ())
    answer = schemas.answers[query]
    told = parts.answer("The answer.", answer, ["ETag", "Cache-Control", "Daicho-Position"])
    told["content"][EVENTS] = {"schema": {"type": "string"}}
    return {
        "operationId": query.__message_name__,
        "summary": f"Ask {query.__message_name__}",
        "description": "With `Accept: text/event-stream`: the answer, and each one that differs, as they come. "
        + whole.get("description", ""),
        "tags": ["queries"],
        **_security(query),
        "parameters": [
            *_in_path(names, properties),
            *(
                {"name": name, "in": "query", "required": name in required, "schema": schema}
                for name, schema in properties.items()
                if name not in names and schemas.is_plain(schema)
            ),
            *parts.parameters("Min-Position", "Prefer"),
        ],
        "responses": {
            "200": told,
            "304": {"description": "You have it already.", "headers": parts.headers(["ETag"])},
            **parts.problems(*parts.EVERY, 409),
        },
    }


def _receipt(events: Iterable[type[Any]], schemas: Schemas) -> dict[str, Any]:
    """The shape of a receipt with events of these kinds."""
    kinds = [
        {
            "type": "object",
            "required": ["type", "data"],
            "properties": {"type": {"const": event.__message_name__}, "data": schemas.of(event)},
        }
        for event in sorted(events, key=lambda event: event.__message_name__)
    ]
    return {
        "allOf": [ref("Receipt")],
        "properties": {"events": {"type": "array", "items": {"anyOf": kinds} if kinds else False}},
    }


def _security(message: type[Message]) -> dict[str, Any]:
    """The scopes that `@requires` names; nothing if it names none."""
    scopes = sorted(scopes_of(message))
    return {"security": [{"bearer": scopes}, {"key": scopes}]} if scopes else {}


def _described(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"]} if "description" in schema else {}


def _in_path(names: Sequence[str], properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": properties[name]} for name in names]
