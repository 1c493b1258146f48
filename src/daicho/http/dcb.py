"""`GET /read` and `POST /append`: the register itself, as the specification of dynamic consistency boundaries
(dcb.events) has it. Whoever may append goes past every decider, so it takes a scope of its own."""

from hashlib import blake2b
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from daicho.app import App
from daicho.core.codec import encoder_for
from daicho.core.conditions import ABSENT, ANY, AppendCondition, Criteria, Criterion, Expected
from daicho.core.errors import (
    BadHeader,
    InvalidMessage,
    KeyReused,
    NotAuthorised,
    NotFound,
)
from daicho.core.ids import event_id, keyed_command_id
from daicho.core.messages import Event
from daicho.core.streams import category_of, check_category, id_of, stream_name
from daicho.core.times import to_text
from daicho.http.bodies import check_json, read_json
from daicho.http.events import SCOPE as READ
from daicho.http.events import parameter, told
from daicho.http.headers import correlation_of, key_of, position_of
from daicho.http.messages import Reading, unfit
from daicho.http.principal import Principal, demand, may
from daicho.http.security.permission import PII
from daicho.http.settings import HttpSettings
from daicho.ports.event_store import AppendRequest, CommandOutcome, NewEvent, Selection, StreamWrite
from daicho.write.encoding import tags_of

__all__ = ["APPEND", "AppendBody", "Boundaries", "EventBody", "QueryBody", "ReadBody"]

APPEND = "events:append"
T = TypeVar("T")
_NAME = "POST /append"
_MOST = 1000
_encode = encoder_for("json")


class QueryItem(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Events of any of the types that carry all of the tags."""

    types: list[str] = []
    tags: list[str] = []


class QueryBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Events that any of the items selects."""

    items: list[QueryItem]


class ReadBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    query: QueryBody | None = None
    """None: all events."""
    after: int = 0
    limit: int = _MOST


class EventBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    type: str
    data: msgspec.Raw
    tags: list[str] = []
    """Beside those that its class asks for."""
    stream: str | None = None
    """None: a stream that these events make."""


class ConditionBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    fail_if_events_match: QueryBody
    after: int = 0
    """The `position` of the answer that the decision was made on."""


class AppendBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    events: list[EventBody]
    condition: ConditionBody | None = None


class Boundaries:
    """The two endpoints."""

    def __init__(self, app: App, settings: HttpSettings) -> None:
        self._app, self._settings = app, settings
        self._readings: dict[str, Reading[Event]] = {}

    async def read(self, request: Request) -> Response:
        """Events by position, and how far was looked: the `after` of a condition."""
        principal = demand(request.scope, READ)
        asked = await self._asked(request)
        if asked.limit < 1 or asked.limit > _MOST:
            raise InvalidMessage(f"limit={asked.limit}", do=f"ask for 1 to {_MOST}", path="$.limit")
        storage = self._app.storage
        head = await storage.head()
        found = await storage.read(
            Selection(
                criteria=self._criteria(asked.query, "$.query") if asked.query else None,
                tenant=principal.tenant,
                after=asked.after,
                up_to=head,
            ),
            limit=asked.limit,
        )
        is_full = len(found) == asked.limit
        position = found[-1].position if is_full else max(head, asked.after)
        body = {
            "events": [told(event, self._app, masked=not may(request.scope, PII)) for event in found],
            "position": position,
            "more": is_full,
        }
        headers = {"Cache-Control": "no-store", "Daicho-Position": str(position)}
        return Response(_encode(body), 200, headers, "application/json")

    async def _asked(self, request: Request) -> ReadBody:
        if request.method == "QUERY":
            return _decoded(await read_json(request, self._settings), ReadBody, "read")
        for name in request.query_params:
            if name not in ReadBody.__struct_fields__:
                raise BadHeader(
                    f"there is no parameter {name[:100]!r}", do="use query, after and limit", name=name[:100]
                )
        query, limit = parameter(request, "query"), parameter(request, "limit")
        body: QueryBody | None = None
        if query is not None:
            check_json(query.encode(), self._settings.deepest_body, "the parameter query")
            body = _decoded(query.encode(), QueryBody, "query")
        return ReadBody(
            body,
            position_of(parameter(request, "after"), "after"),
            _MOST if limit is None else position_of(limit, "limit"),
        )

    def _criteria(self, query: QueryBody, path: str) -> Criteria:
        if not query.items:
            raise InvalidMessage(
                "a query has at least one item", do="leave the query out to select all events", path=f"{path}.items"
            )
        registry, classes = self._app.registry, self._app.registry.classes
        items: list[Criterion] = []
        for n, item in enumerate(query.items):
            if not item.types and not item.tags:
                raise InvalidMessage(f"item {n} selects everything", do="name types or tags", path=f"{path}.items[{n}]")
            names = [
                each
                for name in item.types
                for each in (registry.names_of([classes[name]]) if name in classes else (name,))
            ]
            items.append(Criterion(tuple(names), tuple(sorted(set(item.tags)))))
        return Criteria(*items)

    async def append(self, request: Request) -> Response:
        """All of the events or none, unless an event that the condition names stands behind its position."""
        principal = demand(request.scope, APPEND)
        body = await read_json(request, self._settings)
        asked = _decoded(body, AppendBody, "append")
        if not asked.events:
            raise InvalidMessage("there is no event to append", do="send at least one", path="$.events")
        condition = self._condition(asked.condition, principal)
        key = key_of(request.headers)
        app = self._app
        command_id = app.clock.new_id() if key is None else keyed_command_id(_NAME, principal.tenant, key)
        fingerprint = blake2b(body, digest_size=8).hexdigest()
        earlier = await app.status(command_id) if key is not None else None
        if earlier is not None and earlier.fingerprint != fingerprint:
            raise KeyReused(f"the key {key!r} was used before for other events", do="use a new key", key=key)
        correlation_id, metadata = correlation_of(request.headers)
        if key is not None or correlation_id is None:
            correlation_id = command_id  # ids of events follow from both, and must be the same again
        new = self._new(asked, principal, command_id, correlation_id, {**metadata, "command": _NAME})
        outcome = None
        if key is not None:
            now = to_text(app.clock.now())
            outcome = CommandOutcome(
                command_id=command_id,
                name=_NAME,
                state="done",
                key=key,
                fingerprint=fingerprint,
                actor=principal.actor,
                tenant=principal.tenant,
                correlation_id=correlation_id,
                received_at=now,
                finished_at=now,
            )
        writes = [
            StreamWrite(stream=stream, events=tuple(events), expected=await self._expected(stream, principal.tenant))
            for stream, events in new.items()
        ]
        (answer,) = await app.storage.append(
            [AppendRequest(writes=tuple(writes), condition=condition, outcome=outcome)]
        )
        if isinstance(answer, Exception):
            raise answer
        headers = {"Cache-Control": "no-store", "Daicho-Position": str(answer.positions[-1])}
        if answer.duplicate:
            headers["Idempotency-Replayed"] = "true"
        told_ = {"positions": answer.positions, "position": answer.positions[-1]}
        return Response(_encode(told_), 201, headers, "application/json")

    async def _expected(self, stream: str, tenant: str | None) -> Expected:
        """A tenant appends to its own streams, and begins new ones; others' do not exist for it."""
        if tenant is None:
            return ANY
        first = await self._app.storage.read(Selection(stream=stream, up_to_version=1, beyond_head=True), limit=1)
        if not first:
            return ABSENT
        if first[0].tenant != tenant:
            raise NotFound(f"there is no {stream}", do="check the id")
        return ANY

    def _condition(self, condition: ConditionBody | None, principal: Principal) -> AppendCondition | None:
        if condition is None:
            return None
        if principal.tenant is not None:
            raise NotAuthorised(
                "a condition cannot be checked for one tenant", why="it looks at the events of all", do="send commands"
            )
        if condition.after < 0:
            raise InvalidMessage("`after` is negative", do="send the position of an answer", path="$.condition.after")
        criteria = self._criteria(condition.fail_if_events_match, "$.condition.failIfEventsMatch")
        return AppendCondition(criteria, condition.after)

    def _new(
        self, asked: AppendBody, principal: Principal, command_id: str, correlation_id: str, metadata: dict[str, str]
    ) -> dict[str, list[NewEvent]]:
        """By stream, in the order of the request within each."""
        app, packed = self._app, _encode(metadata)
        occurred_at = to_text(app.clock.now())
        found: dict[str, list[NewEvent]] = {}
        for n, body in enumerate(asked.events):
            event = self._event(body, f"$.events[{n}]")
            stream = _checked(body.stream, f"$.events[{n}].stream") if body.stream is not None else f"dcb-{command_id}"
            _check_tags(body.tags, f"$.events[{n}].tags")
            found.setdefault(stream, []).append(
                NewEvent(
                    event_id=event_id(correlation_id, command_id, n),
                    type=body.type,
                    schema_version=type(event).__schema_version__,
                    data=app.registry.encode(event),
                    occurred_at=occurred_at,
                    correlation_id=correlation_id,
                    causation_id=command_id,
                    actor=principal.actor,
                    tenant=principal.tenant,
                    tags=tuple(dict.fromkeys((*tags_of(event), *body.tags))),
                    metadata=packed,
                )
            )
        return found

    def _event(self, body: EventBody, path: str) -> Event:
        cls = self._app.registry.classes.get(body.type)
        if cls is None:
            raise InvalidMessage(
                f"{body.type[:100]!r} is no event of this service",
                do="use a type of /asyncapi.json",
                path=f"{path}.type",
            )
        reading = self._readings.get(body.type)
        if reading is None:
            reading = self._readings[body.type] = Reading(cls)
        try:
            return reading.from_body(bytes(body.data))
        except InvalidMessage as error:
            error.data["path"] = f"{path}.data{str(error.data['path']).removeprefix('$')}"
            raise


def _decoded(body: bytes, cls: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=cls)
    except msgspec.ValidationError as error:
        raise unfit(what, error) from error
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"{what} is not valid: {error}", do="send text in Unicode", path="$") from error


def _checked(stream: str, path: str) -> str:
    try:
        return stream_name(check_category(category_of(stream)), id_of(stream))
    except InvalidMessage as error:
        error.data["path"] = path
        raise


def _check_tags(tags: list[str], path: str) -> None:
    for n, tag in enumerate(tags):
        if not tag or len(tag) > 255 or not tag.isprintable():
            raise InvalidMessage(f"tag {n} cannot be kept", do="use 1 to 255 printable characters", path=f"{path}[{n}]")
