"""`GET /queries/{Name}` and `QUERY /queries/{Name}`: an answer, or, as a stream of events, each one that differs."""

from collections.abc import AsyncGenerator
from hashlib import blake2b
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from daicho.app import App
from daicho.core.codec import encode_json
from daicho.core.errors import BadHeader, NoSuchResource, NotAcceptable, StaleAnswer, UnknownMessage
from daicho.core.messages import Query
from daicho.http.bodies import read_json
from daicho.http.caching import caching
from daicho.http.headers import Preferences, accepts, position_of
from daicho.http.messages import Reading
from daicho.http.principal import principal_of
from daicho.http.resource import Endpoint
from daicho.http.security.permission import permit
from daicho.http.settings import HttpSettings
from daicho.http.streams import MEDIA_TYPE as EVENTS
from daicho.http.streams import EventStream, Item, Streams

__all__ = ["Queries", "check_reached", "is_known"]


class Queries:
    """The endpoints of all queries of an App."""

    def __init__(self, app: App, settings: HttpSettings, streams: Streams) -> None:
        self._app, self._settings, self._streams = app, settings, streams
        self._by_name: dict[str, Endpoint] = {
            query.__message_name__: self.endpoint(query) for query in app.model.queries
        }

    async def by_name(self, request: Request) -> Response:
        """The endpoint of `/queries/{name}`."""
        name: str = request.path_params["name"]
        endpoint = self._by_name.get(name)
        if endpoint is None:
            message = self._app.model.message(name)
            raise UnknownMessage(f"{message.__name__} is a command", do=f"send it to /commands/{name}", message=name)
        return await endpoint(request)

    def endpoint(self, query: type[Query[Any]], parameters: frozenset[str] = frozenset()) -> Endpoint:
        """What a GET or QUERY of it does. `parameters`: fields that the path has."""
        reading = Reading(query)

        async def handle(request: Request) -> Response:
            permit(principal_of(request.scope), query)
            given = {name: request.path_params[name] for name in parameters}
            if request.method == "QUERY":
                message = reading.from_body(await read_json(request, self._settings), given)
            else:
                message = reading.from_parameters(request.query_params.multi_items(), given)
            return await self._handle(request, message, of_one=bool(parameters))

        return handle

    async def _handle(self, request: Request, query: Query[Any], *, of_one: bool) -> Response:
        """`of_one`: the path names a thing, so no answer means that there is no such thing."""
        headers, settings = request.headers, self._settings
        wait = Preferences.of(headers, settings).wait
        after = position_of(headers.get("min-position"), "Min-Position")
        within = settings.stale_after if wait is None else wait
        wanted = accepts(headers, "application/json", EVENTS)
        if wanted is None:
            raise NotAcceptable("the answer is JSON", do=f"accept application/json, or {EVENTS} for a live one")
        if wanted == EVENTS and request.method != "HEAD":
            seen = max(after, position_of(headers.get("last-event-id"), "Last-Event-ID"))
            return await self._live(query, seen, within, principal_of(request.scope).tenant)
        app, principal = self._app, principal_of(request.scope)
        try:
            answered = await app.answered(query, after=after, within=within, tenant=principal.tenant)
        except StaleAnswer:
            await check_reached(app, after, "Min-Position")
            raise
        if of_one and answered.answer is None:
            raise NoSuchResource(f"there is nothing at {request.url.path[:200]}", do="check the address")
        body = encode_json(answered.answer)
        etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        cache = app.model.queries[type(query)].cache
        told = {"ETag": etag, **caching(cache, answered, principal, isolated=app.tenancy is not None)}
        if is_known(headers.get("if-none-match"), etag):
            return Response(None, 304, told)
        return Response(body, 200, told, "application/json")

    async def _live(self, query: Query[Any], after: int, within: float, tenant: str | None) -> Response:
        """The answer, and each one that differs. What is wrong from the beginning is raised, not streamed."""
        answers = self._answers(query, after, within, tenant)
        try:
            first = await anext(answers)
        except StaleAnswer:
            await check_reached(self._app, after, "Last-Event-ID")
            raise
        return EventStream(answers, self._streams, self._settings, {"Vary": "Accept"}, first)

    async def _answers(self, query: Query[Any], after: int, within: float, tenant: str | None) -> AsyncGenerator[Item]:
        async for change in self._app.watch(query, after=after, within=within, tenant=tenant):
            yield Item(encode_json(change.answer), change.position, "answer")


async def check_reached(app: App, position: int, name: str, within: float = 0.0) -> None:
    """Raises BadHeader for a position that this store does not reach within so many seconds."""
    feed = app.history.feed
    if position and feed is not None and not await feed.grown(position - 1, within):
        raise BadHeader(
            f"position {position} has not been reached",
            why="it is of another store, or of a part of the log that a fail-over lost",
            do="begin again, without a position",
            name=name,
        )


def is_known(given: str | None, etag: str) -> bool:
    """Whether `If-None-Match` has the tag; weakly compared (RFC 9110, section 13.1.2)."""
    if given is None:
        return False
    return given.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in given.split(",")}
