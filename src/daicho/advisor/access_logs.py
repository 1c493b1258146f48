"""Look-to-Book from access logs: common and combined (NCSA), HAProxy's HTTP log, and JSON lines.

A log is written by whoever sends requests: nothing in it is believed further than it is needed. Lines that cannot be
understood are counted and left out, however odd or long they are.
"""

import gzip
import re
import sys
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias, cast

import msgspec

from daicho.advisor.paths import Paths
from daicho.advisor.usage import Tally, Usage
from daicho.core.errors import BadAnswers

__all__ = ["FORMATS", "Request", "parse", "read_logs"]

Format: TypeAlias = Literal["auto", "common", "haproxy", "json"]
FORMATS: tuple[Format, ...] = ("auto", "common", "haproxy", "json")
_LONGEST = 65_536
"""Bytes of a line; what is longer is unreadable."""


class Request(NamedTuple):
    method: str
    target: str
    status: int
    at: float | None
    """Seconds since 1970. None: the line does not say."""


# every repetition is bounded or has one way to match, so that no line takes long
_QUOTED = r'"(?P<request>(?:[^"\\]|\\.)*)"'
_COMMON = re.compile(rf"\S+ \S+ [^\[]*\[(?P<time>[^\]]{{10,40}})\] {_QUOTED} (?P<status>\d{{3}})(?: |\Z)")
_HAPROXY = re.compile(
    r"(?<!\S)\S{1,80}:\d{1,5} \[(?P<time>[^\]]{10,40})\] \S{1,200} \S{1,200} [\d/+-]{5,80} (?P<status>-?\d{1,3}) "
    rf"\+?\d{{1,15}} .{{0,8000}}?{_QUOTED}\Z"
)
_ASKED = re.compile(r"(?P<method>[A-Z]{1,20}) (?P<target>\S+)(?: HTTP/[\d.]{1,5})?\Z")
_MONTHS = {name: n for n, name in enumerate(("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec").split(), 1)}  # noqa: SIM905
_METHOD = ("method", "request_method", "http_method", "verb")
_TARGET = ("path", "uri", "request_uri", "url", "request_path", "target")
_STATUS = ("status", "status_code", "http_status", "response_status", "code")
_TIME = ("time", "timestamp", "@timestamp", "ts", "time_iso8601", "time_local", "start_time", "date", "msec")


def read_logs(files: Sequence[Path], paths: Paths, form: Format = "auto") -> Usage:
    """Files, `.gz` too, or `-` for standard input, counted as one. Raises BadAnswers, NothingMeasured."""
    tally = Tally()
    for path in files:
        try:
            with _opened(path) as file:
                for line in _lines(file):
                    _count(tally, line, paths, form)
        except (OSError, EOFError, zlib.error) as error:
            raise BadAnswers(f"{path} cannot be read", why=str(error), do="name an access log") from error
    return tally.usage(", ".join(map(str, files)))


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO, None, None]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with cast("BinaryIO", BufferedReader(gzip.open(path))) if path.suffix == ".gz" else path.open("rb") as file:
        yield file


def _lines(file: BinaryIO) -> Iterator[str | None]:
    """Lines; None for one that is too long, of which no more is kept than that."""
    while line := file.readline(_LONGEST + 1):
        if len(line) > _LONGEST and not line.endswith(b"\n"):
            while (rest := file.readline(_LONGEST)) and not rest.endswith(b"\n"):
                pass
            yield None
        else:
            yield line.decode("utf-8", "replace").strip()


def _count(tally: Tally, line: str | None, paths: Paths, form: Format) -> None:
    if line == "":
        return
    found = None if line is None else parse(line, form)
    if found is None:
        tally.unreadable += 1
    elif not 200 <= found.status < 400:
        tally.refused += 1
    elif about := paths.of(found.method, found.target):
        entity, kind, key = about
        tally.count(entity, writes=kind == "write", key=key, at=found.at)
    else:
        tally.ignored += 1


def parse(line: str, form: Format = "auto") -> Request | None:
    """One line. None: it is none of that format. A connection on which nothing was asked has the status 0."""
    if form == "json" or (form == "auto" and line.startswith("{")):
        return _of_json(line)
    match = _HAPROXY.search(line) if form != "common" else None
    if match is None and form != "haproxy":
        match = _COMMON.match(line)
    if match is None:
        return None
    asked, status, at = _ASKED.match(match["request"]), int(match["status"]), _time(match["time"])
    if asked is not None:
        return Request(asked["method"], asked["target"], status, at)
    # nothing was asked, or nothing sensible: an error unless the server liked it, which then is no format of ours
    return None if 200 <= status < 400 else Request("", "", 0, at)


def _time(text: str) -> float | None:
    """`10/Oct/2000:13:55:36 -0700`, or HAProxy's `06/Feb/2009:12:14:14.655`, which is taken as UTC."""
    try:
        date, _, zone = text.partition(" ")
        day, month, rest = date.split("/")
        year, hour, minute, second = rest.split(":")
        zoned = _zone(zone) if zone else UTC
        whole, _, part = second.partition(".")
        micro = int((part + "000000")[:6])
        when = datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(whole), micro, zoned)
        return when.timestamp()
    except (ValueError, KeyError, OverflowError):
        return None


@lru_cache(64)
def _zone(text: str) -> timezone:
    """`+0900`. Raises ValueError."""
    hours, minutes = int(text[1:3]), int(text[3:5])
    return timezone((-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))


def _of_json(line: str) -> Request | None:
    try:
        found: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    fields = cast("dict[str, Any]", found)
    method, target = _first(fields, _METHOD), _first(fields, _TARGET)
    request = fields.get("request")
    if isinstance(request, str) and (method is None or target is None):
        words = request.split(" ")
        if len(words) < 2:
            return Request("", "", 0, None)
        method, target = words[0], words[1]
    elif isinstance(request, dict):  # as Caddy writes it
        inner = cast("dict[str, Any]", request)
        method, target = _first(inner, _METHOD), _first(inner, _TARGET)
    try:
        status = int(_first(fields, _STATUS))
    except (TypeError, ValueError, OverflowError):
        return None
    if not isinstance(method, str) or not isinstance(target, str):
        return None
    return Request(method.upper(), target, status, _json_time(_first(fields, _TIME)))


def _first(fields: dict[str, Any], names: Iterable[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _json_time(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _plausible(float(value) / 1000 if value > 1e11 else float(value))
    if not isinstance(value, str):
        return None
    for read in (_iso, _time, _number):
        if (found := read(value)) is not None:
            return _plausible(found)
    return None


def _iso(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plausible(seconds: float) -> float | None:
    return seconds if 0 < seconds < 1e11 else None
