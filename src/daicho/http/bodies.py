"""Bodies of requests: bounded, in time, and JSON that means one thing only."""

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any, cast

from starlette.requests import Request

from daicho.core.errors import NotJson, TooLarge, TooSlow, UnknownMedia
from daicho.http.settings import HttpSettings

__all__ = ["MEDIA_TYPES", "check_json", "read_body", "read_json"]

MEDIA_TYPES = ("application/json",)
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;\s*charset=\"?utf-8\"?\s*)?\Z", re.IGNORECASE)


async def read_json(request: Request, settings: HttpSettings) -> bytes:
    """The body, which is one JSON value in UTF-8. An empty body without a media type is `{}`.

    Raises UnknownMedia, TooLarge (before more is read), TooSlow and NotJson.
    """
    headers = request.headers
    media_type, encoding = headers.get("content-type"), headers.get("content-encoding", "identity")
    if encoding.lower() != "identity" or (media_type is not None and not _JSON.match(media_type)):
        raise UnknownMedia(
            f"a body of {media_type or 'no media type'} in the encoding {encoding} is not understood",
            do="send JSON as it is, with `Content-Type: application/json`",
            accepted=list(MEDIA_TYPES),
        )
    body = await read_body(request, settings)
    if media_type is None:
        if not body:
            return b"{}"
        raise UnknownMedia(
            "the body has no media type", do="send `Content-Type: application/json`", accepted=list(MEDIA_TYPES)
        )
    check_json(body, settings.deepest_body)
    return body


async def read_body(request: Request, settings: HttpSettings) -> bytes:
    """Raises TooLarge as soon as it is known to be, TooSlow, and NotJson if the client went away in the middle."""
    limit = settings.largest_body
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.slowest_body):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise NotJson("the body ended before it was complete", do="send all of it", path="$")
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise TooSlow(
            f"the body did not arrive within {settings.slowest_body:g} seconds", do="send it in one go"
        ) from None


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit:,} bytes", do="send less at once", limit=limit)


def check_json(body: bytes, deepest: int, what: str = "the body") -> None:
    """Raises NotJson unless all readers would understand the same: UTF-8, no name twice in an object, no NaN, not
    nested beyond `deepest`."""
    try:
        text = body.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise _refused(what, f"it is not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise _refused(what, "it is nested too deeply" if isinstance(error, RecursionError) else str(error)) from error
    if body.count(b"[") + body.count(b"{") > deepest and _is_deeper(value, deepest):
        raise _refused(what, f"it is nested more than {deepest} deep")


def _refused(what: str, why: str) -> NotJson:
    return NotJson(f"{what} is not JSON that can be taken: {why}", do="send one JSON object in UTF-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set[str]()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add gives None
        raise ValueError(f"an object names {twice[:100]!r} twice")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _is_deeper(value: object, deepest: int) -> bool:
    layer = [value]
    for _ in range(deepest):
        layer = [inner for outer in layer for inner in _inside(outer) if isinstance(inner, (dict, list))]
    return bool(layer)


def _inside(outer: object) -> Iterable[object]:
    if isinstance(outer, dict):
        return cast("dict[str, object]", outer).values()
    return cast("list[object]", outer) if isinstance(outer, list) else ()
