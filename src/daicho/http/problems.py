"""Errors as problem documents (RFC 9457). The one table from errors to status codes."""

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daicho.core import errors
from daicho.core.codec import encoder_for, to_builtins
from daicho.core.errors import DaichoError
from daicho.http.settings import HttpSettings

__all__ = [
    "MEDIA_TYPE",
    "STATUS",
    "Problems",
    "document",
    "encode",
    "nameless",
    "nameless_document",
    "pointer",
    "problem",
    "status_of",
    "title_of",
    "type_of",
]

MEDIA_TYPE = "application/problem+json"
encode = encoder_for("json")
_log = logging.getLogger("daicho.http")

STATUS: dict[type[DaichoError], int] = {
    errors.Rejected: 409,
    errors.MessageError: 422,
    errors.UnknownMessage: 404,
    errors.NotAuthorised: 403,
    errors.EventTooLarge: 413,
    errors.ConcurrencyError: 409,
    errors.DuplicateEventId: 409,
    errors.StoreBusy: 503,
    errors.StoreClosed: 503,
    errors.StoreFull: 503,
    errors.StoreReadOnly: 503,
    errors.StoreUnavailable: 503,
    errors.NoReplica: 503,
    errors.NoSuchTable: 503,
    errors.OutcomeUnknown: 503,
    errors.StaleAnswer: 503,
    errors.Rebuilding: 503,
    errors.OrphanedPosition: 410,
    errors.OrphanedView: 503,
    errors.CannotPromote: 409,
    errors.NoSuchField: 422,
    errors.NotSearchable: 422,
    errors.NoPast: 422,
    errors.HistoryPruned: 422,
    errors.NotRunning: 503,
    errors.NotFound: 404,
    errors.RequestError: 400,
    errors.UnknownMedia: 415,
    errors.TooLarge: 413,
    errors.NoSuchResource: 404,
    errors.WrongMethod: 405,
    errors.VersionRequired: 428,
    errors.NotAcceptable: 406,
    errors.TooSlow: 408,
    errors.NotAuthenticated: 401,
    errors.TooManyRequests: 429,
    errors.Overloaded: 503,
}
"""The nearest class in an error's family tree counts; what is under none of them is a 500."""

RETRY_AFTER = 1
"""Seconds, for what will most likely be over soon."""
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|\.([^.\[\]]+)")


def status_of(error: type[BaseException]) -> int:
    return next((STATUS[cls] for cls in error.__mro__ if cls in STATUS), 500)


def type_of(error: type[DaichoError], settings: HttpSettings) -> str:
    """Stable: clients compare it."""
    return f"{settings.problem_types}{error.code}"


def pointer(path: str) -> str:
    """`$.lines[0].sku` as a JSON pointer (RFC 6901): `/lines/0/sku`."""
    steps = (number or name for number, name in _STEP.findall(path.removeprefix("$")))
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def document(error: DaichoError, status: int, settings: HttpSettings) -> dict[str, Any]:
    """The members of the problem document."""
    cls = type(error)
    told: dict[str, Any] = {
        "type": type_of(cls, settings),
        "title": title_of(cls),
        "status": status,
        "detail": error.what,
        "code": error.code,
        "retryable": status in (429, 503) or isinstance(error, errors.ConcurrencyError),
    }
    if error.why:
        told["why"] = error.why
    if error.do and status < 500:
        told["do"] = error.do
    if isinstance(error, errors.MessageError) and "path" in error.data:
        told["errors"] = [{"pointer": pointer(str(error.data["path"])), "detail": error.what}]
    if isinstance(error, errors.ConcurrencyError):
        told["expected_version"] = expected if isinstance(expected := error.expected, int) else None
        told["actual_version"] = error.actual
    elif isinstance(error, errors.Rejected):
        told["data"] = {key: plain for key, value in error.data.items() if (plain := _plain(value)) is not None}
        told["data"].pop("duplicate", None)
    elif isinstance(error, errors.StaleAnswer):
        told["lag"] = error.lag
    elif isinstance(error, (errors.RequestError, errors.UnknownMessage)):
        told |= {key: plain for key, value in error.data.items() if (plain := _plain(value)) is not None}
    return told


def title_of(cls: type[DaichoError]) -> str:
    """What the error says of itself, in one sentence."""
    return " ".join((cls.__doc__ or cls.__name__).partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def problem(
    error: DaichoError, settings: HttpSettings, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that an error becomes."""
    status = status_of(type(error)) if status is None else status
    more = dict(headers or {})
    if status in (429, 503):
        more.setdefault("Retry-After", str(error.data.get("retry_after", RETRY_AFTER)))
    if isinstance(error, errors.NotAuthenticated):
        more.setdefault("WWW-Authenticate", 'Bearer realm="daicho"')
    if isinstance(error, errors.WrongMethod):
        more.setdefault("Allow", ", ".join(error.data["allowed"]))
    if isinstance(error, errors.UnknownMedia):
        more.setdefault("Accept-Post", ", ".join(error.data["accepted"]))
    if isinstance(error, errors.Rejected) and error.data.get("duplicate"):
        more.setdefault("Idempotency-Replayed", "true")
    more.setdefault("Cache-Control", "no-store")
    return Response(encode(document(error, status, settings)), status, more, MEDIA_TYPE)


def nameless_document(status: int, detail: str = "") -> dict[str, Any]:
    """The members of a problem that is told by its status alone."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return {**told, "detail": detail} if detail else told


def nameless(status: int, *, headers: Mapping[str, str] | None = None, detail: str = "") -> Response:
    """A problem that is told by its status alone (`type` is `about:blank`)."""
    more = {"Cache-Control": "no-store", **(headers or {})}
    return Response(encode(nameless_document(status, detail)), status, more, MEDIA_TYPE)


class Problems:
    """ASGI middleware: whatever is raised inside becomes a problem document. What nobody foresaw is logged
    with its traceback and told as a 500 that gives nothing away."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception as error:
            if begun:
                raise
            await self._told(error, scope)(scope, receive, send)

    def _told(self, error: Exception, scope: Scope) -> Response:
        if isinstance(error, DaichoError):
            if status_of(type(error)) == 500:
                _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            return problem(error, self.settings)
        if isinstance(error, HTTPException):
            return nameless(error.status_code, headers=error.headers, detail=error.detail)
        _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
        return nameless(500)


def _plain(value: object) -> Any:
    """As JSON, or None for what is not for outsiders."""
    if isinstance(value, (list, tuple)) and not all(
        isinstance(v, (str, int, float)) for v in cast("Sequence[Any]", value)
    ):
        return None
    try:
        return to_builtins(value)
    except TypeError:
        return None
