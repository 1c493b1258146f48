"""`GET /events`: the log as pages that never change once they are full, or as a stream that goes on."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from daicho.app import App
from daicho.core.codec import decode_builtins, encoder_for, to_builtins
from daicho.core.errors import BadHeader, HistoryError, NotAcceptable, NotRunning
from daicho.core.messages import replace
from daicho.core.stored import StoredEvent
from daicho.http.headers import accepts, etag_of, position_of
from daicho.http.principal import Principal, demand, may, principal_of
from daicho.http.queries import check_reached, is_known
from daicho.http.security.permission import PII, mask
from daicho.http.settings import HttpSettings
from daicho.http.streams import MEDIA_TYPE as EVENTS
from daicho.http.streams import EventStream, Item, Streams
from daicho.ports.event_store import Selection

__all__ = ["SCOPE", "Events", "parameter", "told"]

SCOPE = "events:read"
_encode = encoder_for("json")
_FILTERS = ("category", "stream", "correlation", "type")
_PARAMETERS = frozenset({*_FILTERS, "after", "shape"})
_FOR_EVER = "max-age=31536000, immutable"
_PAGE = 500
"""Events that a stream reads at once."""


class Events:
    """The feed of an App. It shows whole events, so it is for callers with the scope `events:read`; if nothing
    authenticates, for callers on this machine. Of tenants, each sees its own."""

    def __init__(self, app: App, settings: HttpSettings, streams: Streams) -> None:
        self._app, self._settings, self._streams = app, settings, streams
        self.shape = app.registry.code_of(app.registry.classes.values())
        """Changes when events are shown in another shape: pages of another shape are other pages."""

    async def __call__(self, request: Request) -> Response:
        principal = demand(request.scope, SCOPE)
        selection = self._selection(request, principal)
        wanted = accepts(request.headers, "application/json", EVENTS)
        if wanted is None:
            raise NotAcceptable("events are JSON", do=f"accept application/json, or {EVENTS} for those to come")
        if wanted == EVENTS and request.method != "HEAD":
            seen = request.headers.get("last-event-id")
            after = position_of(seen, "Last-Event-ID") if seen else selection.after
            await check_reached(self._app, after, "Last-Event-ID", self._settings.stale_after)
            items = self._items(replace(selection, after=after), masked=not may(request.scope, PII))
            return EventStream(items, self._streams, self._settings, {"Vary": "Accept"})
        await check_reached(self._app, selection.after, "after", self._settings.stale_after)
        return await self._page(request, selection)

    def _selection(self, request: Request, principal: Principal) -> Selection:
        given = request.query_params
        types = tuple(given.getlist("type"))
        for name in given:
            if name not in _PARAMETERS:
                raise BadHeader(
                    f"there is no parameter {name[:100]!r}", do=f"use {', '.join(_FILTERS)}", name=name[:100]
                )
        classes = self._app.registry.classes
        names = {each for name in types for each in self._stored_names(classes, name)}
        return Selection(
            category=parameter(request, "category"),
            stream=parameter(request, "stream"),
            correlation_id=parameter(request, "correlation"),
            types=tuple(sorted(names)) if types else None,
            tenant=principal.tenant,
            after=position_of(parameter(request, "after"), "after"),
        )

    def _stored_names(self, classes: Mapping[str, Any], name: str) -> Sequence[str]:
        """Also those that the event had before it was renamed."""
        return self._app.registry.names_of([classes[name]]) if name in classes else (name,)

    async def _page(self, request: Request, selection: Selection) -> Response:
        """Full pages are final: no event ever appears before the head."""
        storage, size = self._app.storage, self._settings.page
        head = await storage.head()
        found = await storage.read(replace(selection, up_to=head), limit=size)
        is_full = len(found) == size
        last = found[-1].position if found else selection.after
        links = [f'<{self._address(request, selection.after)}>; rel="self"']
        if is_full:
            links.append(f'<{self._address(request, last)}>; rel="next"')
        if selection.after:
            before = await storage.read(
                replace(selection, after=0, up_to=selection.after, newest_first=True), limit=size + 1
            )
            start = before[size].position if len(before) > size else 0
            links.append(f'<{self._address(request, start)}>; rel="prev"')
        body = _encode(
            {
                "events": [told(event, self._app, masked=not may(request.scope, PII)) for event in found],
                "after": selection.after,
                "position": last if is_full else max(head, last),
                "complete": is_full,
            }
        )
        headers = {
            "ETag": f'"{blake2b(body, digest_size=12).hexdigest()}"',
            "Link": ", ".join(links),
            "Vary": "Accept, Authorization",
            "Daicho-Position": str(last if is_full else max(head, last)),
        }
        whose = "public" if principal_of(request.scope) == Principal() else "private"
        is_final = is_full and request.query_params.get("shape") == self.shape
        headers["Cache-Control"] = f"{whose}, {_FOR_EVER}" if is_final else "no-cache"
        if selection.stream and found:
            headers["Daicho-Stream-Version"] = etag_of(selection.stream, found[-1].version)
        if is_known(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(None, 304, headers)
        return Response(body, 200, headers, "application/json")

    def _address(self, request: Request, after: int) -> str:
        root: str = request.scope.get("root_path", "")
        kept = [(name, value) for name, value in request.query_params.multi_items() if name in _FILTERS]
        return f"{root}/events?{urlencode([*kept, ('after', after), ('shape', self.shape)])}"

    async def _items(self, selection: Selection, *, masked: bool) -> AsyncGenerator[Item]:
        """Every event behind `selection.after`, then each new one."""
        storage, feed, stream = self._app.storage, self._app.history.feed, selection.stream
        assert feed is not None  # the App is running
        position, by_position = selection.after, replace(selection, stream=None)
        while True:
            head = max(feed.head, position)
            while True:
                page = await storage.read(replace(by_position, after=position, up_to=head), limit=_PAGE)
                for event in page:
                    if stream is None or event.stream == stream:
                        yield Item(_encode(told(event, self._app, masked=masked)), event.position, event.type)
                if len(page) < _PAGE:
                    break
                position = page[-1].position
            position = head
            if not await feed.grown(position):
                raise NotRunning("the App was left", do="come back with the id of the last event")


def told(event: StoredEvent, app: App, *, masked: bool) -> dict[str, Any]:
    """An event as outsiders see it: in the present shape of its class, or as it is stored if nobody knows that.
    `masked`: without its personal fields, and without tags made of them."""
    data: Any
    tags = event.tags
    try:
        decoded = app.registry.decode(event.type, event.schema_version, event.data, event.position)
        data, kind = to_builtins(decoded), type(decoded)
    except HistoryError:
        data, kind = decode_builtins(event.data), None
    if masked:
        data, tags = mask(data, tags, kind)
    return {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "tenant": event.tenant,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "tags": tags,
        "metadata": msgspec.Raw(event.metadata),
        "data": data,
    }


def parameter(request: Request, name: str) -> str | None:
    """One parameter of the address. Raises BadHeader if it is given twice."""
    given = request.query_params.getlist(name)
    if len(given) > 1:
        raise BadHeader(f"{name} is given {len(given)} times", do="give it once", name=name)
    return given[0] if given else None
