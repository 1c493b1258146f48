"""NiceGUI, which there is one of in a process: its pages are registered once, and find their Console by the request."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any
from urllib.parse import unquote

from nicegui import Client, app, ui
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from daicho.console.screen import Place, Screen
from daicho.console.screens import SCREENS
from daicho.console.shell import frame, not_allowed
from daicho.console.words import LANGUAGES

__all__ = ["drop_clients", "owner_of", "pages", "started"]

_registered: list[str] = []
_LAST = re.compile(r"\{(\w+)\}([^{}]*)$")
"""The last part in braces: it may hold slashes."""
_in_use = 0


def pages() -> ASGIApp:
    """All pages of all consoles of this process."""
    if not _registered:
        app.config.add_run_config(
            reload=False,
            title="Daicho",
            viewport="width=device-width, initial-scale=1",
            favicon=None,
            dark=None,
            language=None,
            binding_refresh_interval=None,
            reconnect_timeout=5.0,
            message_history_length=200,
            tailwind=False,
            unocss=None,
            prod_js=True,
            show_welcome_message=False,
            markdown=False,
        )
        for screen in SCREENS:
            ui.page(_LAST.sub(r"{\1:path}\2", screen.path), response_timeout=15.0)(_builder(screen))
            _registered.append(screen.path)
    return app


@asynccontextmanager
async def started() -> AsyncGenerator[None]:
    """NiceGUI's own helpers, in this event loop."""
    global _in_use
    _in_use += 1
    if _in_use > 1:  # another console of this process has them running
        try:
            yield
        finally:
            _in_use -= 1
        return
    try:
        async with app.router.lifespan_context(app):
            yield
    finally:
        _in_use -= 1


def owner_of(client_id: str) -> str | None:
    """The session whose page it is."""
    client = Client.instances.get(client_id)
    return _session_of(client) if client is not None else None


def drop_clients(session_id: str) -> None:
    """Ends the pages of a session that is over."""
    for client in [each for each in Client.instances.values() if _session_of(each) == session_id]:
        client.delete()


def _session_of(client: Client) -> str | None:
    session = client.request.scope.get("state", {}).get("daicho.session")
    return None if session is None else session.id


def _builder(screen: Screen) -> Callable[[Request], Awaitable[Response | None]]:
    async def page(request: Request) -> Response | None:
        place = _place(request, screen)
        with frame(place):
            if not place.may(screen.needs):
                not_allowed(place)
                return None
            built: Any = screen.build(place)
            target = await built if isawaitable(built) else built
        return None if target is None else RedirectResponse(target)

    return page


def _place(request: Request, screen: Screen) -> Place:
    state = request.scope["state"]
    query, cookies = dict(request.query_params), request.cookies
    language = query.pop("lang", "") or cookies.get("daicho_lang", "")
    if language not in LANGUAGES:
        language = "ja" if request.headers.get("accept-language", "").lower().startswith("ja") else "en"
    theme = query.pop("theme", "") or cookies.get("daicho_theme", "")
    console = state["daicho.console"]
    return Place(
        app=console.app,
        console=console,
        viewer=state["daicho.viewer"],
        session=state["daicho.session"],
        sessions=console.sessions,
        screen=screen,
        screens=SCREENS,
        root=request.scope.get("root_path", ""),
        params={name: str(value) for name, value in request.path_params.items()},
        query=query,
        language=language,
        theme=theme if theme in ("light", "dark") else "auto",
        zone_name=unquote(cookies.get("daicho_zone", "")) or "UTC",
    )
