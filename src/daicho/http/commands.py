"""`POST /commands/{Name}`, and what becomes of a command: an answer at once, or an address to ask at."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from daicho.app import App
from daicho.core.codec import encoder_for, to_builtins
from daicho.core.conditions import ABSENT, Expected
from daicho.core.errors import (
    BadHeader,
    ConcurrencyError,
    NoSuchResource,
    OutcomeTimeout,
    Rejected,
    UnknownMessage,
    VersionRequired,
)
from daicho.core.ids import is_uuid
from daicho.core.messages import Command, Event, Receipt
from daicho.core.streams import Position
from daicho.http.bodies import read_json
from daicho.http.headers import Preferences, correlation_of, etag_of, expected_of, has_condition, key_of
from daicho.http.messages import Reading
from daicho.http.principal import may, principal_of
from daicho.http.problems import nameless, problem
from daicho.http.resource import Endpoint
from daicho.http.security.permission import PII, mask, permit
from daicho.http.settings import HttpSettings
from daicho.ports.event_store import CommandOutcome, Selection

__all__ = ["Commands"]

_MOST_EVENTS = 1000
_encode = encoder_for("json")


class Commands:
    """The endpoints of all commands of an App."""

    def __init__(self, app: App, settings: HttpSettings) -> None:
        self._app, self._settings = app, settings
        self._remote = {command.__message_name__ for command in app.model.remote}
        self._by_name: dict[str, Endpoint] = {
            command.__message_name__: self.endpoint(command) for command in [*app.model.behaviours, *app.model.remote]
        }

    async def by_name(self, request: Request) -> Response:
        """The endpoint of `/commands/{name}`."""
        name: str = request.path_params["name"]
        endpoint = self._by_name.get(name)
        if endpoint is None:
            message = self._app.model.message(name)
            raise UnknownMessage(f"{message.__name__} is a query", do=f"ask at /queries/{name}", message=name)
        return await endpoint(request)

    def endpoint(
        self,
        command: type[Command],
        parameters: frozenset[str] = frozenset(),
        *,
        if_match: bool = False,
        location: str | None = None,
    ) -> Endpoint:
        """What a POST of the command does. `parameters`: fields that the path has. `location`: where what it makes is
        to be found, with `{field}`s in it."""
        reading = Reading(command)
        required = if_match or self._settings.require_match

        async def handle(request: Request) -> Response:
            permit(principal_of(request.scope), command)
            given = {name: request.path_params[name] for name in parameters}
            message = reading.from_body(await read_json(request, self._settings), given)
            return await self._handle(request, message, required, location)

        return handle

    async def _handle(self, request: Request, command: Command, required: bool, location: str | None) -> Response:
        app, headers, principal = self._app, request.headers, principal_of(request.scope)
        if required and not has_condition(headers):
            raise VersionRequired(
                f"{type(command).__message_name__} is only taken for a version that you have seen",
                do="send If-Match with the ETag of the last answer, or `If-None-Match: *` for something new",
            )
        correlation_id, metadata = correlation_of(headers)
        key, preferences = key_of(headers), Preferences.of(headers, self._settings)
        if type(command) in app.model.remote:
            return await self._elsewhere(request, command, key, preferences, metadata)
        stream = app.model.behaviours[type(command)].stream_of(command)
        try:
            expected = expected_of(headers, stream)
            if preferences.respond_async:
                return await self._later(request, command, key, expected, preferences, metadata, location)
            receipt = await app.send(
                command,
                actor=principal.actor,
                tenant=principal.tenant,
                key=key,
                expected=expected,
                metadata=metadata,
                correlation_id=correlation_id,
            )
        except ConcurrencyError as error:
            if not has_condition(headers):
                raise
            return problem(error, self._settings, status=412)
        return _answer(request, receipt, command, location)

    async def _later(
        self,
        request: Request,
        command: Command,
        key: str | None,
        expected: Expected | None,
        preferences: Preferences,
        metadata: Mapping[str, str],
        location: str | None,
    ) -> Response:
        if expected is not None and not isinstance(expected, int):
            if expected is not ABSENT:
                raise BadHeader(
                    "`If-Match: *` cannot be kept for later", do="name a version, or leave out respond-async",
                    name="If-Match",
                )  # fmt: skip
            expected = 0
        principal = principal_of(request.scope)
        command_id = await self._app.post(
            command, actor=principal.actor, tenant=principal.tenant, key=key, expected=expected, metadata=metadata
        )
        outcome = await self._finished(command_id, preferences)
        if outcome is None:
            return _pending(request, command_id, command)
        if outcome.state == "done":
            applied = {"Preference-Applied": f"respond-async, wait={preferences.wait:g}"}
            return _answer(request, await self._receipt(outcome), command, location, applied)
        if outcome.state == "failed" and expected is not None:
            stream = self._app.model.behaviours[type(command)].stream_of(command)
            version = await self._app.storage.stream_version(stream)
            if version != expected:
                what = f"{stream} is at version {version}, not {expected}"
                raise ConcurrencyError(what, expected=expected, actual=version)
        return self._unhappy(outcome)

    async def _elsewhere(
        self,
        request: Request,
        command: Command,
        key: str | None,
        preferences: Preferences,
        metadata: Mapping[str, str],
    ) -> Response:
        """A command that another service handles: always for later."""
        if has_condition(request.headers):
            raise BadHeader(
                "another service handles this, and knows the versions", do="leave out the condition", name="If-Match"
            )
        principal = principal_of(request.scope)
        command_id = await self._app.post(
            command, actor=principal.actor, tenant=principal.tenant, key=key, metadata=metadata
        )
        outcome = await self._finished(command_id, preferences)
        if outcome is None:
            return _pending(request, command_id, command)
        if outcome.state != "done":
            return self._unhappy(outcome)
        told = _told(await self._receipt(outcome))
        return Response(_encode(told), 200, {"Cache-Control": "no-store"}, "application/json")

    async def _finished(self, command_id: str, preferences: Preferences) -> CommandOutcome | None:
        """What became of it, after at most as long as the client waits; None if that is not known yet."""
        if not preferences.wait:
            return None
        try:
            return await self._app.outcome(command_id, within=preferences.wait)
        except OutcomeTimeout:
            return None

    @staticmethod
    def _unhappy(outcome: CommandOutcome) -> Response:
        if outcome.state == "rejected":
            raise Rejected(outcome.reason or "rejected")
        return nameless(500, detail="the command failed; the log of the service says why")

    async def status(self, request: Request) -> Response:
        """The endpoint of `/status/{command_id}`: what became of a command of the caller's tenant."""
        command_id: str = request.path_params["command_id"]
        outcome = await self._app.status(command_id) if is_uuid(command_id) else None
        if outcome is None or outcome.tenant != principal_of(request.scope).tenant:
            raise NoSuchResource(
                f"no command {command_id[:100]!r} is known",
                why="only those that were posted, came with a key, or were refused are remembered",
                do="ask with the id that the answer named",
            )
        told: dict[str, Any] = {"command_id": command_id, "name": outcome.name, "state": outcome.state}
        headers = {"Cache-Control": "no-store"}
        if outcome.state == "pending":
            headers["Retry-After"] = "1"
        elif outcome.state == "rejected":
            told["reason"] = outcome.reason
        elif outcome.state == "done":
            receipt = await self._receipt(outcome)
            is_own = outcome.actor == principal_of(request.scope).actor
            told["receipt"] = _told(receipt, masked=not is_own and not may(request.scope, PII))
            if outcome.name not in self._remote:
                headers |= _places(receipt)  # else the places are those of another register
        return Response(_encode(told), 200, headers, "application/json")

    async def _receipt(self, outcome: CommandOutcome) -> Receipt:
        """As it was when the command had been handled; if another service did, with the places in its register."""
        correlation_id = outcome.correlation_id or outcome.command_id
        selection = Selection(correlation_id=correlation_id, causation_id=outcome.command_id, beyond_head=True)
        is_here = outcome.name not in self._remote
        stored = await self._app.storage.read(selection, limit=_MOST_EVENTS) if is_here else []
        events = [self._app.history.recorded(event).event for event in stored]
        last = stored[-1] if stored else None
        return Receipt(
            command_id=outcome.command_id,
            stream=last.stream if last else outcome.stream or "",
            version=last.version if last else outcome.version,
            position=Position(last.position if last else outcome.position),
            events=tuple(events),
            correlation_id=correlation_id,
        )


def status_address(request: Request, command_id: str) -> str:
    root: str = request.scope.get("root_path", "")
    return f"{root}/status/{command_id}"


def _pending(request: Request, command_id: str, command: Command) -> Response:
    return Response(
        _encode({"command_id": command_id, "name": type(command).__message_name__, "state": "pending"}),
        202,
        {
            "Location": status_address(request, command_id),
            "Retry-After": "1",
            "Preference-Applied": "respond-async",
            "Cache-Control": "no-store",
        },
        "application/json",
    )


def _answer(
    request: Request,
    receipt: Receipt,
    command: Command,
    location: str | None,
    more: Mapping[str, str] | None = None,
) -> Response:
    """201 if the command made the stream, else 200."""
    made = bool(receipt.events) and receipt.version == len(receipt.events)
    headers = {"Cache-Control": "no-store", **_places(receipt), **(more or {})}
    if receipt.duplicate:
        headers["Idempotency-Replayed"] = "true"
    if made and location:
        fields = {name: quote(str(getattr(command, name)), safe="") for name in command.__struct_fields__}
        headers["Location"] = request.scope.get("root_path", "") + location.format_map(fields)
    return Response(_encode(_told(receipt)), 201 if made else 200, headers, "application/json")


def _places(receipt: Receipt) -> dict[str, str]:
    headers = {"Daicho-Position": str(int(receipt.position)), "X-Correlation-Id": receipt.correlation_id}
    if receipt.stream:
        headers["ETag"] = etag_of(receipt.stream, receipt.version)
    return headers


def _told(receipt: Receipt, *, masked: bool = False) -> dict[str, Any]:
    return {
        "command_id": receipt.command_id,
        "stream": receipt.stream,
        "version": receipt.version,
        "position": int(receipt.position),
        "correlation_id": receipt.correlation_id,
        "events": [_event(event, masked) for event in receipt.events],
    }


def _event(event: Event, masked: bool) -> dict[str, Any]:
    data = to_builtins(event)
    return {"type": type(event).__message_name__, "data": mask(data, (), type(event))[0] if masked else data}
