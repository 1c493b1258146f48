"""Headers of requests that say more than one word: preferences, versions, keys, positions, correlation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from starlette.datastructures import Headers

from daicho.core.conditions import ABSENT, EXISTS, Expected
from daicho.core.errors import BadHeader, ConcurrencyError
from daicho.core.ids import is_uuid
from daicho.http.settings import HttpSettings

__all__ = ["Preferences", "accepts", "correlation_of", "etag_of", "expected_of", "key_of", "position_of"]

_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ETAGS = re.compile(rf"\s*{_ETAG.pattern}\s*(?:,\s*{_ETAG.pattern}\s*)*\Z")
_TRACE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_LONGEST_KEY = 255
_GREATEST = 2**63 - 1


@dataclass(frozen=True)
class Preferences:
    """`Prefer` (RFC 7240), as far as it is understood. Nobody has to honour it, so nothing in it is an error."""

    respond_async: bool = False
    wait: float | None = None
    """Seconds."""

    @classmethod
    def of(cls, headers: Headers, settings: HttpSettings) -> "Preferences":
        given: dict[str, str] = {}
        for preference in ",".join(headers.getlist("prefer")).split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            given.setdefault(name.strip().lower(), value.strip().strip('"'))
        wait = given.get("wait", "")
        seconds = (
            min(float(wait), settings.longest_wait) if wait.isascii() and wait.isdecimal() and len(wait) < 9 else None
        )
        return cls("respond-async" in given, seconds)


def key_of(headers: Headers) -> str | None:
    """`Idempotency-Key`: a text in quotation marks, or the same without. Raises BadHeader."""
    given = headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if len(given) > 1 or len(key) > _LONGEST_KEY or not _KEY.match(key):
        raise BadHeader(
            "Idempotency-Key is not one text",
            why=f"it has 1 to {_LONGEST_KEY} printable ASCII characters",
            do="send a UUID in quotation marks",
            name="Idempotency-Key",
        )
    return key


def etag_of(stream: str, version: int) -> str:
    """A strong validator: the stream and its version, `"order-o-1@17"`."""
    return f'"{quote(stream, safe="")}@{version}"'


def expected_of(headers: Headers, stream: str) -> Expected | None:
    """The version that `If-Match` or `If-None-Match: *` asks for; None without either.

    Raises BadHeader, and ConcurrencyError for tags that no version of the stream can have.
    """
    match, none = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and none is not None:
        raise BadHeader("If-Match and If-None-Match do not go together", do="send one of them", name="If-None-Match")
    if none is not None:
        if none.strip() != "*":
            raise BadHeader(
                "a command takes If-None-Match only as `*`", do="send `If-None-Match: *`", name="If-None-Match"
            )
        return ABSENT
    if match is None:
        return None
    if match.strip() == "*":
        return EXISTS
    if len(match) > 10_000 or not _ETAGS.match(match):
        raise BadHeader("If-Match is no list of entity tags", do="send the ETag of an answer", name="If-Match")
    versions = [
        version for weak, tag in _ETAG.findall(match) if not weak and (version := _version(tag, stream)) is not None
    ]
    if len(versions) > 1:
        raise BadHeader("If-Match names several versions", do="send the one you have seen", name="If-Match")
    if not versions:
        raise ConcurrencyError(f"If-Match {match[:200]} is no version of {stream}", expected=None, actual=None)
    return versions[0]


def _version(tag: str, stream: str) -> int | None:
    name, _, number = tag.rpartition("@")
    if not (number.isascii() and number.isdecimal() and len(number) < 16) or (name and unquote(name) != stream):
        return None
    return int(number)


def has_condition(headers: Headers) -> bool:
    return "if-match" in headers or "if-none-match" in headers


def position_of(text: str | None, name: str) -> int:
    """A position in a header or parameter; 0 without one. Raises BadHeader."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _GREATEST):
        raise BadHeader(f"{name} is no position", do="send a number that Daicho answered", name=name)
    return int(text)


def correlation_of(headers: Headers) -> tuple[str | None, Mapping[str, str]]:
    """The correlation id that the caller gave, and what of the trace is kept with the events.

    `X-Correlation-Id` is a UUID, else BadHeader. A `traceparent` (W3C Trace Context) that is not valid is ignored, as
    that standard wants it; without an id, its trace id becomes the correlation id.
    """
    correlation_id, trace = headers.get("x-correlation-id"), headers.get("traceparent")
    if correlation_id is not None:
        correlation_id = correlation_id.lower()
        if not is_uuid(correlation_id):
            raise BadHeader("X-Correlation-Id is no UUID", do="send a UUID, or leave it out", name="X-Correlation-Id")
    found = _TRACE.match(trace) if trace is not None else None
    if (
        found is None
        or found[1] == "ff"
        or not int(found[2], 16)
        or not int(found[3], 16)
        or (found[1] == "00" and found[5])
    ):
        return correlation_id, {}
    h = found[2]
    of_trace = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
    return correlation_id or of_trace, {"traceparent": found[0][:55]}


def accepts(headers: Headers, *offered: str) -> str | None:
    """Which of the offered media types the caller wants most, by quality and then by order; None: none of them."""
    accept = ",".join(headers.getlist("accept")) or "*/*"
    ranges: list[tuple[str, float]] = []
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            ranges.append((kind, min(max(float(quality), 0.0), 1.0)))
        except ValueError:
            continue
    best, best_quality = None, 0.0
    for kind in offered:
        for wanted in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
            found = [quality for name, quality in ranges if name == wanted]
            if found:
                if found[0] > best_quality:
                    best, best_quality = kind, found[0]
                break
    return best
