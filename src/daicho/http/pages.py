"""The documents about the App itself, and `/docs`: the same for people, in one page without scripts."""

import json
from collections.abc import Callable
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from daicho.app import App
from daicho.http.asyncapi import asyncapi
from daicho.http.openapi import openapi
from daicho.http.problems import encode
from daicho.http.settings import HttpSettings

__all__ = ["Documents"]

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;background:#f5f5f5;padding:.75rem;border-radius:4px}
details{border-top:1px solid #ddd;padding:.4rem 0}summary{cursor:pointer}
b{display:inline-block;min-width:4.5rem;font:600 13px ui-monospace,monospace}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#242424}details{border-color:#444}}
"""


class Documents:
    """Made when they are first asked for: they do not change while the App runs."""

    def __init__(self, app: App, settings: HttpSettings) -> None:
        self._app, self._settings = app, settings
        self._made: dict[tuple[str, str], bytes] = {}

    async def openapi(self, request: Request) -> Response:
        return self._json(request, "openapi", lambda root: openapi(self._app, self._settings, root=root))

    async def asyncapi(self, request: Request) -> Response:
        return self._json(request, "asyncapi", lambda root: asyncapi(self._app, root=root))

    async def page(self, request: Request) -> Response:
        """What there is, for people."""
        root: str = request.scope.get("root_path", "")
        return HTMLResponse(_page(openapi(self._app, self._settings, root=root), root))

    def _json(self, request: Request, name: str, make: Callable[[str], dict[str, Any]]) -> Response:
        root: str = request.scope.get("root_path", "")
        body = self._made.get((name, root))
        if body is None:
            body = encode(make(root))
            if len(self._made) < 8:  # a proxy in front may say what it likes about the root
                self._made[name, root] = body
        return Response(body, 200, {"Cache-Control": "no-cache"}, "application/json")


def _page(document: dict[str, Any], root: str) -> str:
    title = escape(document["info"]["title"])
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>{title}</h1>",
        f"<p><a href='{escape(root)}/openapi.json'>OpenAPI</a> · "
        f"<a href='{escape(root)}/asyncapi.json'>AsyncAPI</a></p>",
    ]
    for path, methods in document["paths"].items():
        parts += [_operation(method, path, operation) for method, operation in methods.items()]
    parts.append("<h2>Schemas</h2>")
    parts += [
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>{_pre(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    ]
    return "".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    verb = method.removeprefix("x-").upper()
    statuses = ", ".join(operation["responses"])
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    parameters = [each for each in operation["parameters"] if "$ref" not in each]
    return "".join(
        [
            f"<details><summary><b>{verb}</b><code>{escape(path)}</code> {escape(operation['summary'])}</summary>",
            f"<p>{escape(operation.get('description', ''))}</p>",
            _pre(parameters) if parameters else "",
            _pre(body) if body else "",
            f"<p>Answers: {statuses}</p></details>",
        ]
    )


def _pre(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
