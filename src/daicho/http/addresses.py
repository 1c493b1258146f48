"""Which addresses an App has: one for every message, and those of its Routes."""

import re
from collections.abc import Iterator
from typing import cast

from daicho.app import App
from daicho.core.errors import WiringError
from daicho.core.handlers import Route
from daicho.core.messages import Command, Query
from daicho.http.commands import Commands
from daicho.http.dcb import Boundaries
from daicho.http.events import Events
from daicho.http.queries import Queries
from daicho.http.resource import Endpoint
from daicho.http.settings import HttpSettings
from daicho.http.streams import Streams
from daicho.http.tables import Tables

__all__ = ["endpoints", "location_of", "parameters_of"]

_PARAMETER = re.compile(r"\{(\w+)\}")
_OURS = frozenset({"commands", "queries", "status", "console"})
"""First steps below which every address is Daicho's."""
_PAGES = frozenset(
    ("/livez", "/readyz", "/startupz", "/metrics", "/look-to-book", "/openapi.json", "/asyncapi.json", "/docs")
) | {"/events", "/read", "/append"}
_WRITING = ("POST", "PUT", "PATCH", "DELETE")


def parameters_of(route: Route) -> tuple[str, ...]:
    """The fields that its path has. Raises WiringError for one that the message does not have."""
    names = tuple(_PARAMETER.findall(route.path))
    fields = route.message.__struct_fields__
    for name in names:
        if name not in fields:
            raise WiringError(
                f"{route.method} {route.path}: {route.message.__name__} has no field {name!r}",
                do=f"name one of {', '.join(fields)}",
            )
    if not route.path.startswith("/") or "{" in _PARAMETER.sub("", route.path):
        raise WiringError(f"{route.method} {route.path}: this is no path", do="write `/orders/{order_id}`")
    is_query = issubclass(route.message, Query)
    if route.method not in (("GET", "QUERY") if is_query else _WRITING):
        raise WiringError(
            f"{route.method} {route.path}: a {'query' if is_query else 'command'} does not go by {route.method}",
            do="use GET or QUERY for queries, and POST, PUT, PATCH or DELETE for commands",
        )
    return names


def endpoints(app: App, settings: HttpSettings, streams: Streams) -> Iterator[tuple[str, str, Endpoint]]:
    """`(method, path, endpoint)` of everything that the App answers. Raises WiringError for a Route or Crud path that
    would hide another address, or be hidden."""
    _check_paths(app)
    commands, queries = Commands(app, settings), Queries(app, settings, streams)
    boundaries = Boundaries(app, settings)
    for route in app.model.routes:
        names = frozenset(parameters_of(route))
        if issubclass(route.message, Command):
            location = location_of(route, app.model.routes)
            endpoint = commands.endpoint(route.message, names, if_match=route.if_match, location=location)
            yield route.method, route.path, endpoint
        else:
            query = cast("type[Query[object]]", route.message)
            yield route.method, route.path, queries.endpoint(query, names)
    yield "POST", "/commands/{name}", commands.by_name
    for method in ("GET", "QUERY"):
        yield method, "/queries/{name}", queries.by_name
    yield from Tables(app, settings).endpoints()
    yield "GET", "/status/{command_id}", commands.status
    yield "GET", "/events", Events(app, settings, streams)
    yield "GET", "/read", boundaries.read
    yield "QUERY", "/read", boundaries.read
    yield "POST", "/append", boundaries.append


def _check_paths(app: App) -> None:
    cruds = [str(crud.path) for crud in app.model.cruds if crud.path is not None]
    for path in [*(route.path for route in app.model.routes), *cruds]:
        if path in _PAGES or f"{path}/".split("/", 2)[1] in _OURS:
            raise WiringError(
                f"{path} is an address of Daicho's own",
                why="one of the two would never be reached",
                do="give the Route or Crud another path",
            )
    for path in cruds:
        above = path.rpartition("/")[0]
        if above in cruds:
            raise WiringError(
                f"the rows at {path} hide the row {path.removeprefix(above)[1:]!r} of those at {above}",
                do="give one of the two another path",
            )


def location_of(route: Route, routes: list[Route]) -> str | None:
    """Where what a `POST /orders` makes is to be found: at the `GET /orders/{order_id}` of the same App, if the command
    has such a field; at the address itself, if it is a PUT of it."""
    for other in routes:
        rest = _PARAMETER.fullmatch(other.path.removeprefix(f"{route.path}/"))
        if other.method == "GET" and rest and rest[1] in route.message.__struct_fields__:
            return other.path
    return None
