"""`Crud` parts that have a path: `GET /products`, and `GET`, `PUT` and `DELETE /products/{key}`."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import daicho.http.openapi_parts as parts
from daicho.app import App
from daicho.core.codec import encode_json
from daicho.core.errors import InvalidMessage, NoSuchResource, WiringError
from daicho.core.projection import Crud
from daicho.http.bodies import read_json
from daicho.http.messages import Reading, unfit
from daicho.http.principal import principal_of
from daicho.http.queries import is_known
from daicho.http.resource import Endpoint
from daicho.http.schemas import Schemas
from daicho.http.security.permission import permit_scopes
from daicho.http.settings import HttpSettings

__all__ = ["Tables", "table_paths"]

_MOST = 1000
_USUAL = 100


class Tables:
    """The endpoints of all tables of an App that have a path. Raises WiringError where tenants are kept apart: a table
    is of all of them."""

    def __init__(self, app: App, settings: HttpSettings) -> None:
        self._app, self._settings = app, settings
        self._cruds = [crud for crud in app.model.cruds if crud.path is not None]
        if self._cruds and app.tenancy is not None:
            raise WiringError(
                f"{self._cruds[0].name!r} has a path, and tenants are kept apart",
                why="whoever may call could change the rows of all of them",
                do="leave out `path=`, and write commands and queries that say whose rows they are about",
            )

    def endpoints(self) -> Iterator[tuple[str, str, Endpoint]]:
        for crud in self._cruds:
            one = f"{crud.path}/{{key}}"
            yield "GET", str(crud.path), self._list(crud)
            yield "GET", one, self._get(crud)
            yield "PUT", one, self._put(crud)
            yield "DELETE", one, self._delete(crud)

    def _list(self, crud: Crud[Any]) -> Endpoint:
        types = {field.encode_name: field.type for field in msgspec.structs.fields(crud.row_type)}

        async def handle(request: Request) -> Response:
            permit_scopes(principal_of(request.scope), crud.read, crud.name)
            given = dict(request.query_params.multi_items())
            limit = _number(crud, given.pop("limit", str(_USUAL)))
            equals = {name: _value(crud, types, name, text) for name, text in given.items()}
            rows = await self._app.views[crud].find(order_by=crud.key, limit=limit, **equals)
            return _answered(request, rows)

        return handle

    def _get(self, crud: Crud[Any]) -> Endpoint:
        async def handle(request: Request) -> Response:
            permit_scopes(principal_of(request.scope), crud.read, crud.name)
            row = await self._app.views[crud].get(request.path_params["key"])
            if row is None:
                raise NoSuchResource(f"there is nothing at {request.url.path[:200]}", do="check the address")
            return _answered(request, row)

        return handle

    def _put(self, crud: Crud[Any]) -> Endpoint:
        reading: Reading[Any] = Reading(crud.row_type)

        async def handle(request: Request) -> Response:
            permit_scopes(principal_of(request.scope), crud.write, crud.name)
            body = await read_json(request, self._settings)
            row = reading.from_body(body, {crud.key: request.path_params["key"]})
            _all_known(crud, msgspec.json.decode(body, type=dict[str, msgspec.Raw]), reading.fields)
            await self._app.crud(crud).put(row)
            return Response(encode_json(row), 200, media_type="application/json")

        return handle

    def _delete(self, crud: Crud[Any]) -> Endpoint:
        async def handle(request: Request) -> Response:
            permit_scopes(principal_of(request.scope), crud.write, crud.name)
            await self._app.crud(crud).delete(request.path_params["key"])
            return Response(None, 204)

        return handle


def _answered(request: Request, content: Any) -> Response:
    body = encode_json(content)
    etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    told = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept"}
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(None, 304, told)
    return Response(body, 200, told, "application/json")


def _all_known(crud: Crud[Any], given: Iterable[str], fields: frozenset[str]) -> None:
    """Rows of a view may have had more fields once; what a caller sends may not."""
    for name in given:
        if name not in fields:
            raise InvalidMessage(
                f"{crud.name} has no field {name[:100]!r}", do="leave it out", path=f"$.{name}"
            )  # fmt: skip


def _number(crud: Crud[Any], text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _MOST):
        raise InvalidMessage(f"{crud.name}: limit is a number up to {_MOST}", do="send 1 or more", path="$.limit")
    return int(text)


def _value(crud: Crud[Any], types: dict[str, Any], name: str, text: str) -> Any:
    if name not in types:
        raise InvalidMessage(f"{crud.name} has no field {name[:100]!r}", do="name one that it has", path=f"$.{name}")
    try:
        return msgspec.convert(text, types[name], strict=False)
    except msgspec.ValidationError as error:
        raise unfit(f"{crud.name}: {name}", error) from error


def table_paths(app: App, schemas: Schemas) -> dict[str, Any]:
    """What `/openapi.json` says of them."""
    found: dict[str, Any] = {}
    for crud in app.model.cruds:
        if crud.path is None:
            continue
        row = schemas.rows[crud.row_type]
        key = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
        properties: dict[str, Any] = schemas.whole(crud.row_type)["properties"]
        body = {
            "required": True,
            "content": {"application/json": {"schema": schemas.without(crud.row_type, [crud.key])}},
        }
        filters = {name: schema for name, schema in properties.items() if schemas.is_plain(schema)}
        limit = {"limit": {"type": "integer", "minimum": 1, "maximum": _MOST}}
        many = parts.answer("Rows, by key.", {"type": "array", "items": row}, ["ETag", "Cache-Control"])
        one = parts.answer("The row.", row, ["ETag", "Cache-Control"])
        same = {"304": {"description": "You have it already.", "headers": parts.headers(["ETag"])}}
        problems = parts.problems(*parts.EVERY)

        def operation(name: str, summary: str, scopes: Any, crud: Crud[Any] = crud) -> dict[str, Any]:
            wanted = {"security": [{"bearer": list(scopes)}, {"key": list(scopes)}]} if scopes else {}
            return {"operationId": f"{name}.{crud.name}", "summary": summary, "tags": [crud.name], **wanted}

        found[crud.path] = {
            "get": {
                **operation("list", f"Rows of {crud.name}", crud.read),
                "parameters": parts.in_query({**filters, **limit}),
                "responses": {"200": many, **same, **problems},
            }
        }
        found[f"{crud.path}/{{key}}"] = {
            "get": {
                **operation("get", f"One row of {crud.name}", crud.read),
                "parameters": [key],
                "responses": {"200": one, **same, **problems},
            },
            "put": {
                **operation("put", f"Put a row of {crud.name} in place of what is there", crud.write),
                "parameters": [key],
                "requestBody": body,
                "responses": {"200": parts.answer("The row.", row, []), **problems},
            },
            "delete": {
                **operation("delete", f"Delete a row of {crud.name}", crud.write),
                "parameters": [key],
                "responses": {"204": {"description": "It is not there any more."}, **problems},
            },
        }
    return found
