"""The console beside the HTTP interface. It is loaded when somebody first looks, or at once if it was asked for."""

import asyncio
import importlib
import importlib.util
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from daicho.app import App
from daicho.core.errors import MissingExtra
from daicho.http.security import Security
from daicho.server.settings import ServerSettings

__all__ = ["PATH", "Consoles", "can_console"]

PATH = "/console"


def can_console() -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec("nicegui") is not None


class Consoles:
    """At most one console, at `PATH`."""

    def __init__(self, app: App, settings: ServerSettings, security: Security) -> None:
        """Raises MissingExtra if the console was asked for and is not installed."""
        self._app, self._settings, self._security = app, settings, security
        self._is_wanted = settings.console == "on" or settings.role == "console"
        if self._is_wanted and not can_console():
            raise MissingExtra("the console needs an extra", do='pip install "daicho[console]"', extra="console")
        self._is_there = settings.has_console and can_console()
        self._console: ASGIApp | None = None
        self._loading = asyncio.Lock()
        self._stack = AsyncExitStack()

    def takes(self, scope: Scope) -> bool:
        if not self._is_there or scope["type"] not in ("http", "websocket"):
            return False
        path: str = scope["path"]
        return path == PATH or path.startswith(f"{PATH}/")

    async def start(self) -> None:
        if self._is_there:
            self._app.journal.open(time.time())
        if self._is_wanted:
            await self._loaded()

    async def stop(self) -> None:
        await self._stack.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root: str = scope.get("root_path", "") + PATH
        if scope["path"] == PATH and scope["type"] == "http":
            headers = [(b"location", f"{root}/".encode("latin-1", "replace")), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 307, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        console = self._console or await self._loaded()
        await console({**scope, "root_path": root}, receive, send)

    async def _loaded(self) -> ASGIApp:
        async with self._loading:
            if self._console is None:
                module: Any = importlib.import_module("daicho.console")
                lock = self._settings.schema_lock
                given = module.ConsoleSettings(
                    authenticators=self._security.authenticators,
                    payloads=self._settings.console_payloads,
                    **({"lock": Path(lock)} if lock else {}),
                )
                console: ASGIApp = module.Console(self._app, given)
                await self._stack.enter_async_context(module.started())
                self._console = console
            return self._console
