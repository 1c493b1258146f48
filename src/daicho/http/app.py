"""The ASGI application for an App."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from daicho.app import App
from daicho.core.errors import NoSuchResource
from daicho.http.addresses import endpoints
from daicho.http.pages import Documents
from daicho.http.problems import Problems, nameless, problem
from daicho.http.resource import Endpoint, resources
from daicho.http.settings import HttpSettings
from daicho.http.streams import Streams

__all__ = ["create", "lifespan_of"]


def create(
    app: App,
    *,
    settings: HttpSettings | None = None,
    middleware: Sequence[Middleware] = (),
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """An ASGI application that can be served, or mounted under any path of another one.

    It starts the App with its lifespan and stops it, unless the App runs already. A mounted application is not told
    of the lifespan: enter the App in that of the outer one (`lifespan_of`). `middleware` stands around everything, the
    first outermost; what one of them raises is told as a problem document, through those outside it. `routes` stand
    before the generated ones.

    Streams go on for as long as the client likes: to let a server end, call `.state.streams.close()` on what this
    returns (`Streams.close`) before it waits for open connections.
    """
    settings = settings or HttpSettings()

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            missing = NoSuchResource(
                f"there is nothing at {request.url.path[:200]}", do="look at /openapi.json for what there is"
            )
            return problem(missing, settings)
        return nameless(error.status_code, headers=error.headers, detail=error.detail)

    # within each layer, so that what adds headers to answers adds them to refusals as well
    told = Middleware(Problems, settings=settings)
    streams, documents = Streams(), Documents(app, settings)
    described: list[tuple[str, str, Endpoint]] = [
        ("GET", "/openapi.json", documents.openapi),
        ("GET", "/asyncapi.json", documents.asyncapi),
        ("GET", "/docs", documents.page),
    ]
    asgi = Starlette(
        routes=[*routes, *resources([*endpoints(app, settings, streams), *described])],
        middleware=[told, *(layer for each in middleware for layer in (each, told))],
        exception_handlers={HTTPException: refused},
        lifespan=lifespan_of(app),
    )
    asgi.router.redirect_slashes = False  # one address a thing
    asgi.state.streams = streams
    return asgi


def lifespan_of(app: App) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """For an application that mounts this one: `FastAPI(lifespan=lifespan_of(app))`."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        if app.is_running:
            yield
            return
        async with app:
            yield

    return lifespan
