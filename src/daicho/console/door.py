"""The console as an ASGI application: who comes in, what browsers are told, and NiceGUI behind it."""

import secrets
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daicho.app import App
from daicho.console.access import ConsoleSettings
from daicho.console.hosting import drop_clients, owner_of, pages, started
from daicho.console.login import login_page, refused_page
from daicho.console.sessions import Sessions
from daicho.core.errors import DaichoError

__all__ = ["COOKIE", "Console"]

COOKIE = "daicho_console"
_LARGEST_FORM = 8 * 1024
_ASSETS = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}
_YEAR = b"public, max-age=31536000, immutable"
_HERE = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


class Console:
    """Serve it alone, or mount it under any path. The App must be running; with its lifespan (`async with
    console.running():`) the console's own helpers run as well.

    Nobody gets in without a session, and sessions begin with a credential of the server's. Where the server has no
    credentials at all, whoever is on this very machine is its admin: then the request must come from this machine, to
    a name of this machine, and through no proxy.
    """

    def __init__(self, app: App, settings: ConsoleSettings | None = None) -> None:
        self.app = app
        if not app.journal.is_open:
            app.journal.open(time.time())
        self.settings = settings or ConsoleSettings()
        self.sessions = Sessions(self.settings)
        self._pages: ASGIApp = pages()

    def running(self) -> AbstractAsyncContextManager[None]:
        """What the console needs while it is served; for the lifespan of whoever mounts it."""
        return started()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        root: str = scope.get("root_path", "")
        path: str = scope["path"].removeprefix(root) or "/"
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        told = _Told(send, scope["scheme"] in ("https", "wss"))
        if reason := self._stranger(scope, headers):
            await self._refuse(scope, told, 403, reason)
        elif scope["type"] == "websocket" or path.startswith("/_nicegui_ws/"):
            await self._socket(scope, receive, send, headers)
        elif path.startswith("/_nicegui/") or path == "/favicon.ico":
            await self._pages(scope, receive, told.kept)
        elif path.startswith("/_daicho/"):
            await self._asset(path.removeprefix("/_daicho/"), told)
        elif path == "/login":
            await self._login(scope, receive, told, root, headers)
        elif path == "/logout":
            await self._logout(scope, told, root, headers)
        elif scope["method"] not in ("GET", "HEAD"):
            await told.answer(405, "this address is for reading", [(b"allow", b"GET")])
        else:
            await self._page(scope, receive, told, root, headers)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Served alone: the App is started with it, unless it runs already."""
        await receive()
        own = not self.app.is_running
        try:
            if own:
                await self.app.start()
        except DaichoError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        async with self.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        if own:
            await self.app.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def _stranger(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Why this request may have nothing to do with whoever it pretends to be from; None if all is well."""
        if self.sessions.is_local:
            if not _is_here(scope):
                return "without keys, the console opens on this machine alone"
            if "forwarded" in headers or "x-forwarded-for" in headers:
                return "without keys, the console opens to no proxy"
            if _name_of(headers.get("host", "")) not in _HERE:
                return "without keys, the console opens under a name of this machine alone, such as 127.0.0.1"
        is_change = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        origin = headers.get("origin")
        is_socket = "/_nicegui_ws/" in scope["path"]
        if (is_change or is_socket) and origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return "the request comes from a page of another origin"
        if is_change and origin is None and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "the request comes from a page of another site"
        return None

    async def _page(self, scope: Scope, receive: Receive, told: "_Told", root: str, headers: dict[str, str]) -> None:
        session = self.sessions.find(_cookie(headers))
        if session is None:
            query = scope["query_string"].decode("latin-1")
            where = quote(f"{scope['path']}{'?' if query else ''}{query}", safe="")
            await told.answer(303, "", [(b"location", f"{root}/login?next={where}".encode("latin-1"))])
            return
        try:
            viewer = await self.sessions.viewer(session)
        except DaichoError as error:
            await self._refuse(scope, told, 403, error.what)
            return
        state = {**scope.get("state", {}), "daicho.console": self, "daicho.viewer": viewer, "daicho.session": session}
        await self._pages({**scope, "state": state}, receive, told.page)

    async def _socket(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        """What a page says to us. It must be one of this session's own pages."""
        session = self.sessions.find(_cookie(headers))
        client = parse_qs(scope["query_string"].decode("latin-1")).get("client_id", [""])[0]
        if session is None or (owner := owner_of(client)) is None or owner != session.id:
            await self._refuse(scope, _Told(send, is_secure=False), 403, "this page belongs to no session")
            return
        await self._pages(scope, receive, send)

    async def _asset(self, name: str, told: "_Told") -> None:
        if name not in _ASSETS:
            await told.answer(404, "there is no such file")
            return
        body = (files("daicho.console") / "static" / name).read_bytes()
        more = [(b"content-type", _ASSETS[name].encode()), (b"cache-control", b"no-cache")]
        await told.answer(200, body, more)

    # -- coming and going -----------------------------------------------------------------------------------------

    async def _login(self, scope: Scope, receive: Receive, told: "_Told", root: str, headers: dict[str, str]) -> None:
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        where = _within(asked.get("next", [""])[0], root)
        language = "ja" if headers.get("accept-language", "").startswith("ja") else "en"
        if self.sessions.is_local:
            await told.answer(303, "", [(b"location", f"{root}/".encode("latin-1"))])
        elif scope["method"] in ("GET", "HEAD"):
            await told.html(200, login_page(root, where, language))
        elif scope["method"] != "POST":
            await told.answer(405, "GET or POST")
        else:
            form = await _form(receive)
            where = _within(form.get("next", ""), root)
            try:
                address = (scope.get("client") or ("",))[0]
                cookie = await self.sessions.begin(form.get("key", "").strip(), address)
            except DaichoError as error:
                await told.html(403, login_page(root, where, language, error))
                return
            await told.answer(
                303, "", [(b"location", where.encode("latin-1", "replace")), self._set(cookie, told, root)]
            )

    async def _logout(self, scope: Scope, told: "_Told", root: str, headers: dict[str, str]) -> None:
        session = self.sessions.find(_cookie(headers))
        if scope["method"] != "POST":
            await told.answer(405, "POST", [(b"allow", b"POST")])
            return
        if session is not None and not self.sessions.is_local:
            self.sessions.end(session)
            drop_clients(session.id)
        await told.answer(303, "", [(b"location", f"{root}/login".encode("latin-1")), self._set("", told, root)])

    def _set(self, cookie: str, told: "_Told", root: str) -> tuple[bytes, bytes]:
        secure = "; Secure" if told.is_secure else ""
        age = int(self.settings.longest) if cookie else 0
        text = f"{COOKIE}={cookie}; Path={root or '/'}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
        return b"set-cookie", text.encode("latin-1")

    async def _refuse(self, scope: Scope, told: "_Told", status: int, reason: str) -> None:
        if scope["type"] == "websocket":
            await told.send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            await told.html(status, refused_page(reason))


class _Told:
    """What browsers are told with each answer. Scripts run only from here, or with the nonce of this very answer; so
    text that got into a page as markup runs nothing. NiceGUI compiles its templates in the browser, which takes
    `unsafe-eval`, and styles elements one by one, which takes `unsafe-inline` for styles."""

    def __init__(self, send: Send, is_secure: bool) -> None:
        self.send, self.is_secure = send, is_secure
        self._start: Message | None = None
        self._body = b""
        self._nonce = secrets.token_urlsafe(16)

    async def answer(
        self, status: int, body: str | bytes, headers: Iterable[tuple[bytes, bytes]] = (), *, policy: str | None = None
    ) -> None:
        content = body.encode() if isinstance(body, str) else body
        given = list(headers)
        if not any(name == b"content-type" for name, _ in given):
            given.append((b"content-type", b"text/plain; charset=utf-8"))
        given.append((b"content-length", str(len(content)).encode()))
        given += self._headers(policy or "default-src 'none'; frame-ancestors 'none'")
        await self.send({"type": "http.response.start", "status": status, "headers": given})
        await self.send({"type": "http.response.body", "body": content})

    async def html(self, status: int, text: str) -> None:
        policy = (
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        more = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await self.answer(status, text, more, policy=policy)

    async def kept(self, message: Message) -> None:
        """A file that NiceGUI serves: its address names its version, so it may be kept."""
        if message["type"] == "http.response.start":
            headers = [(n, v) for n, v in message["headers"] if n.lower() != b"cache-control"]
            if message["status"] == 200:
                headers.append((b"cache-control", _YEAR))
            message = {**message, "headers": [*headers, *self._headers("default-src 'none'")]}
        await self.send(message)

    async def page(self, message: Message) -> None:
        """A page that NiceGUI made. Its own scripts get the nonce; all that comes from data is escaped in it."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        assert self._start is not None
        body = self._body.replace(b"<script", f'<script nonce="{self._nonce}"'.encode())
        headers = [(n, v) for n, v in self._start["headers"] if n.lower() not in (b"content-length", b"cache-control")]
        headers += [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        policy = (
            f"default-src 'none'; script-src 'self' 'nonce-{self._nonce}' 'unsafe-eval'; style-src 'self' "
            "'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
            "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
        )
        headers += self._headers(policy)
        await self.send({**self._start, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _headers(self, policy: str) -> list[tuple[bytes, bytes]]:
        found = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"x-frame-options", b"DENY"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"content-security-policy", policy.encode()),
        ]
        if self.is_secure:
            found.append((b"strict-transport-security", b"max-age=31536000"))
        return found


async def _form(receive: Receive) -> dict[str, str]:
    """The fields of a small form; of a larger one, nothing."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return {}
        body += message.get("body", b"")
        if len(body) > _LARGEST_FORM:
            return {}
        if not message.get("more_body"):
            break
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _cookie(headers: dict[str, str]) -> str | None:
    try:
        found: Any = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _within(where: str, root: str) -> str:
    """An address of the console itself, or its first page: nobody is sent elsewhere from here."""
    parts = urlsplit(where)
    is_ours = where == root or where.startswith(f"{root}/")
    if (
        not is_ours
        or where.startswith("//")
        or "\\" in where
        or parts.scheme
        or parts.netloc
        or not where.isprintable()
    ):
        return f"{root}/"
    return quote(where, safe="/?&=%:,.-_~+")


def _name_of(host: str) -> str:
    return host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host


def _is_here(scope: Scope) -> bool:
    client = scope.get("client")
    if client is None or not client[0]:
        return True
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return True
