"""One address: which methods it takes, and what each does."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from daicho.core.errors import TwoHandlers, WrongMethod

__all__ = ["Endpoint", "Resource", "resources"]

_NAME = re.compile(r"\{\w+\}")

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Resource:
    """An ASGI application for one address. HEAD is GET without the body; OPTIONS tells the methods."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self.endpoints = dict(endpoints)
        if "GET" in self.endpoints:
            self.endpoints.setdefault("HEAD", self.endpoints["GET"])
        self.allowed = sorted({*self.endpoints, "OPTIONS"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        endpoint = self.endpoints.get(method)
        if endpoint is None:
            if method != "OPTIONS":
                raise WrongMethod(
                    f"{method} is not taken here", do=f"use {' or '.join(self.allowed)}", allowed=self.allowed
                )
            headers = {"Allow": ", ".join(self.allowed)}
            if "QUERY" in self.endpoints:
                headers["Accept-Query"] = "application/json"
            await Response(status_code=204, headers=headers)(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, _without_body(send) if method == "HEAD" else send)


def _without_body(send: Send) -> Send:
    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        await send(message)

    return headers_only


def resources(endpoints: Iterable[tuple[str, str, Endpoint]]) -> list[Route]:
    """Routes from `(method, path, endpoint)`; of two paths, the one that names more steps outright is tried first.

    Raises TwoHandlers if two want the same method of the same path, or one path with other names in it, of which only
    the first would ever be tried.
    """
    paths: dict[str, dict[str, Endpoint]] = {}
    shapes: dict[str, str] = {}
    for method, path, endpoint in endpoints:
        other = shapes.setdefault(_NAME.sub("{}", path), path)
        if other != path:
            raise TwoHandlers(
                f"{path} and {other} are one address", do="write the same names in braces, or give one another path"
            )
        methods = paths.setdefault(path, {})
        if method in methods:
            raise TwoHandlers(f"{method} {path} is routed twice", do="give one of them another path")
        methods[method] = endpoint
    ordered = sorted(paths, key=lambda path: [step.startswith("{") for step in path.split("/")])
    return [Route(path, Resource(paths[path])) for path in ordered]
