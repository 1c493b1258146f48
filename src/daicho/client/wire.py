"""From messages to requests, and from answers to receipts, answers and errors. No input or output."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from daicho.core import errors
from daicho.core.codec import encode_json
from daicho.core.conditions import ABSENT, Expected
from daicho.core.errors import DaichoError, InvalidMessage, ServerFailed
from daicho.core.handlers import answer_of
from daicho.core.messages import Command, Event, Query, Receipt
from daicho.core.streams import Position

__all__ = [
    "Outcome",
    "Request",
    "accepted",
    "answer_to",
    "asking",
    "decoded",
    "failure",
    "receipt_of",
    "sending",
]

R = TypeVar("R")
JSON = "application/json"
EVENTS = "text/event-stream"
RETRIED = frozenset({429, 503})
"""What will be over soon: asked again after `Retry-After`."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Unnamed(Event):
    """An event of a type that the client knows no class for."""

    type: str
    data: dict[str, Any]


class _EventTold(msgspec.Struct):
    type: str
    data: msgspec.Raw


class _ReceiptTold(msgspec.Struct):
    command_id: str
    stream: str
    version: int
    position: int
    correlation_id: str
    events: list[_EventTold] = []


class _Accepted(msgspec.Struct):
    command_id: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a posted command: `pending`, `done`, `rejected` or `failed`."""

    command_id: str
    state: str
    reason: str | None = None


def sending(command: Command, key: str, expected: Expected | None, *, later: bool) -> Request:
    """Raises InvalidMessage for an expectation that HTTP has no word for."""
    headers = {"Content-Type": JSON, "Accept": JSON, "Idempotency-Key": f'"{key}"'}
    if later:
        headers["Prefer"] = "respond-async"
    if expected is ABSENT or (isinstance(expected, int) and expected == 0):
        headers["If-None-Match"] = "*"
    elif isinstance(expected, int):
        headers["If-Match"] = f'"{expected}"'
    elif expected is not None and expected.value == "exists":
        headers["If-Match"] = "*"
    elif expected is not None and expected.value != "any":
        raise InvalidMessage(f"{expected} cannot be expected over HTTP", do="expect ABSENT, EXISTS or a version")
    return Request("POST", f"/commands/{type(command).__message_name__}", headers, encode_json(command))


def asking(query: Query[Any], after: int, within: float, *, live: bool = False, seen: str | None = None) -> Request:
    headers = {"Content-Type": JSON, "Accept": EVENTS if live else JSON, "Prefer": f"wait={math.ceil(within)}"}
    if after:
        headers["Min-Position"] = str(after)
        headers["Cache-Control"] = "no-cache"
    if seen:
        headers["Last-Event-ID"] = seen
    return Request("QUERY", f"/queries/{type(query).__message_name__}", headers, encode_json(query))


def receipt_of(body: bytes, headers: Mapping[str, str], events: Mapping[str, type[Event]]) -> Receipt:
    told = decoded(body, _ReceiptTold)
    return Receipt(
        command_id=told.command_id,
        stream=told.stream,
        version=told.version,
        position=Position(told.position),
        events=tuple(_event(each, events) for each in told.events),
        correlation_id=told.correlation_id,
        duplicate=headers.get("idempotency-replayed") == "true",
    )


def accepted(body: bytes) -> str:
    found: _Accepted = decoded(body, _Accepted)
    return found.command_id


def _event(told: _EventTold, events: Mapping[str, type[Event]]) -> Event:
    cls = events.get(told.type)
    if cls is None:
        return Unnamed(type=told.type, data=msgspec.json.decode(told.data, type=dict[str, Any]))
    return cast("Event", decoded(bytes(told.data), cls))


def answer_to(query: Query[R], body: bytes) -> R:
    """Decoded as the query promises."""
    kind = answer_of(type(query))
    return cast("R", decoded(body, Any if kind is None else kind))


def decoded(body: bytes, kind: Any) -> Any:
    """Raises ServerFailed for what does not fit."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ServerFailed(
            "the answer cannot be understood",
            why=str(error),
            do="see that client and server have the same messages, and that nothing in between answers for the server",
        ) from error


def failure(status: int, body: bytes, retry_after: float | None = None) -> DaichoError:
    """The error that a problem document stands for; its class is found by its code."""
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        told = {}
    cls = _BY_CODE.get(str(told.get("code")))
    what = str(told.get("detail") or told.get("title") or f"the server answered {status}")
    why, do = str(told.get("why", "")), str(told.get("do", ""))
    if cls is None or (status >= 500 and cls not in _TOLD_AS_THEY_ARE):
        return ServerFailed(what, why=why or f"status {status}", do=do or "look at the server's log", status=status)
    return _made(cls, what, why, do, told, retry_after)


def _made(
    cls: type[DaichoError], what: str, why: str, do: str, told: dict[str, Any], retry_after: float | None
) -> DaichoError:
    if cls is errors.ConcurrencyError:
        return errors.ConcurrencyError(what, expected=told.get("expected_version"), actual=told.get("actual_version"))
    if cls is errors.StaleAnswer:
        return errors.StaleAnswer(what, answer=None, lag=int(told.get("lag") or 0))
    if cls is errors.TooManyRequests:
        return errors.TooManyRequests(what, retry_after=retry_after or 1)
    if cls is errors.Overloaded:
        return errors.Overloaded(what, retry_after=retry_after or 1)
    data: dict[str, Any] = dict(told.get("data") or {})
    places: Any = told.get("errors") or ()
    if places:
        data["path"] = "$" + str(places[0].get("pointer", "")).replace("/", ".")
        data["errors"] = places
    if issubclass(cls, errors.Rejected):
        cls = errors.Rejected  # `Taken` and `Full` are told in its words: what they hold is the server's
    return cls(what, why=why, do=do, **data)


_BY_CODE: Mapping[str, type[DaichoError]] = {
    error.code: error for error in (getattr(errors, name) for name in errors.__all__)
}
_TOLD_AS_THEY_ARE = frozenset(
    {errors.StaleAnswer, errors.Rebuilding, errors.Overloaded, errors.StoreUnavailable, errors.StoreBusy}
)
