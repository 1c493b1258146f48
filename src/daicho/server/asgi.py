"""The ASGI application of a process: what its role lets it do, behind the guard, with probes beside it."""

import logging
from typing import cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from daicho.app import App
from daicho.core.errors import DaichoError, NoSuchResource
from daicho.http import HttpSettings, create
from daicho.http.problems import Problems
from daicho.http.security import Security, guard
from daicho.server.consoles import Consoles
from daicho.server.draining import Draining, StreamsEnd
from daicho.server.metrics import Measured, Metrics
from daicho.server.probes import Probes
from daicho.server.protocol import DRAINING, HEADERS_WITHIN
from daicho.server.securing import security_of
from daicho.server.settings import Role, ServerSettings

__all__ = ["Application", "application"]

_log = logging.getLogger("daicho.server")
_READS = frozenset({"GET", "HEAD", "QUERY"})
_FOR_ALL = (
    *("/livez", "/readyz", "/startupz", "/metrics", "/look-to-book"),
    *("/status/", "/openapi.json", "/asyncapi.json", "/docs"),
)


def application(
    app: App,
    settings: ServerSettings | None = None,
    *,
    http: HttpSettings | None = None,
    security: Security | None = None,
) -> "Application":
    """The whole of what `daicho run` serves, for another ASGI server or a test. `security` replaces what the settings
    say of credentials and rates. Raises ConfigurationError."""
    return Application(app, settings or ServerSettings(), http or HttpSettings(), security)


class Application:
    """Starts the App as its role wants it, and stops it: with the lifespan, which must be on."""

    def __init__(
        self, app: App, settings: ServerSettings, http: HttpSettings, security: Security | None = None
    ) -> None:
        self._app, self._settings = app, settings
        self.draining = Draining()
        self.metrics = Metrics(app)
        probes = Probes(app, self.metrics, self.draining, late=settings.late).routes()
        security = security or security_of(settings)
        self._consoles = Consoles(app, settings, security)
        middleware = [
            *guard(security),
            Middleware(OfRole, role=settings.role),
            Middleware(StreamsEnd, draining=self.draining),
        ]
        inner: ASGIApp
        if settings.role in ("projector", "console"):
            inner = Starlette(routes=probes, middleware=[Middleware(Problems, settings=http), *middleware])
        else:
            inner = create(app, settings=http, middleware=middleware, routes=probes)
        self._inner = Measured(inner, self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self._consoles.takes(scope):
            await self._consoles(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = cast("dict[str, object]", scope.get("state", {}))
        state[DRAINING], state[HEADERS_WITHIN] = self.draining, self._settings.headers_within
        await receive()
        role = self._settings.role
        try:
            await self._app.start(processors=role in ("all", "projector"), register=role in ("command", "console"))
            await self._consoles.start()
        except DaichoError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await self._consoles.stop()
            await self._app.stop()
        except DaichoError as error:
            await send({"type": "lifespan.shutdown.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


class OfRole:
    """A process for commands answers no queries, and one for queries takes no commands."""

    def __init__(self, app: ASGIApp, role: Role) -> None:
        self.app, self._role = app, role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(_FOR_ALL):
            is_read = scope["method"] in _READS
            if scope["method"] != "OPTIONS" and self._role == ("command" if is_read else "query"):
                raise NoSuchResource(
                    f"this process takes no {'queries' if is_read else 'commands'}",
                    why=f"it runs as `daicho run {self._role}`",
                    do=f"ask one that runs as `daicho run {'query' if is_read else 'command'}`",
                )
        await self.app(scope, receive, send)
