"""Requests that mean no good, on a real server: each gets its documented refusal, and nothing is written."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daicho import App
from daicho.http import HttpSettings, create
from tests.http_app import lending, served

LARGEST = 2000
SETTINGS = HttpSettings(largest_body=LARGEST, deepest_body=20, slowest_body=0.3, stale_after=0.0)
JSON = "application/json"
SQL = "x'; DROP TABLE events; --"


@dataclass(frozen=True)
class Bad:
    what: str
    status: int
    code: str | None
    request: bytes

    @property
    def id(self) -> str:
        return self.what.replace(" ", "-")


def bad(
    what: str,
    status: int,
    code: str | None,
    body: Any = None,
    *,
    method: str = "POST",
    path: str = "/commands/Register",
    kind: str | None = JSON,
    **headers: str,
) -> Bad:
    """`body`: bytes as they are, anything else as JSON. Underscores in names of headers stand for dashes."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Host": "x", "Connection": "close", **({"Content-Type": kind} if kind and data else {})}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    if data and "Transfer-Encoding" not in given:
        given.setdefault("Content-Length", str(len(data)))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return Bad(what, status, code, head.encode("latin-1") + b"\r\n" + data)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


OK = {"tool": "saw"}
TABLE = [
    bad("announced too large", 413, "D703", b"{", Content_Length=str(LARGEST + 1)),
    bad("announced absurdly large", 413, "D703", b"{", Content_Length="9" * 18),
    bad("too large without saying so", 413, "D703", chunked(b" " * (LARGEST + 1)), Transfer_Encoding="chunked"),
    bad("lists in lists", 400, "D701", b"[" * 900 + b"]" * 900),
    bad("objects in objects", 400, "D701", b'{"a":' * 300 + b"1" + b"}" * 300),
    bad("a little too deep", 400, "D701", {"tool": "x", "parts": json.loads("[" * 20 + "]" * 20)}),
    bad("cut off", 400, "D701", b'{"tool": "sa'),
    bad("no body", 400, "D701", None, Content_Type=JSON, Content_Length="0"),
    bad("no body and no type", 422, "D111", None),
    bad("two bodies", 400, "D701", b'{"tool":"a"}{"tool":"b"}'),
    bad("a name twice", 400, "D701", b'{"tool":"a","tool":"b"}'),
    bad("a name twice inside", 400, "D701", b'{"tool":"a","parts":[{"name":"b","name":"c"}]}'),
    bad("not a number", 400, "D701", b'{"tool":"a","weight":NaN}'),
    bad("infinity", 400, "D701", b'{"tool":"a","weight":-Infinity}'),
    bad("more than a float holds", 422, "D111", b'{"tool":"a","weight":1e999}'),
    bad("a number of 1900 digits", 422, "D111", b'{"tool":"a","weight":"' + b"9" * 1900 + b'"}'),
    bad("a decimal that is no number", 422, "D111", {"tool": "a", "parts": [{"name": "b", "price": "NaN"}]}),
    bad("a decimal without end", 422, "D111", {"tool": "a", "parts": [{"name": "b", "price": "-Infinity"}]}),
    bad("half a character", 422, "D111", b'{"tool":"\\ud800"}'),
    bad("no UTF-8", 400, "D701", b'{"tool":"\xff\xfe"}'),
    bad("too long UTF-8", 400, "D701", b'{"tool":"\xc0\xaf"}'),
    bad("UTF-16", 400, "D701", '{"tool":"a"}'.encode("utf-16")),
    bad("a byte order mark", 400, "D701", b'\xef\xbb\xbf{"tool":"a"}'),
    bad("a form", 415, "D702", b"tool=a", kind="application/x-www-form-urlencoded"),
    bad("plain text", 415, "D702", OK, kind="text/plain"),
    bad("no media type", 415, "D702", OK, kind=None),
    bad("another alphabet", 415, "D702", OK, kind="application/json; charset=latin-1"),
    bad("packed", 415, "D702", OK, Content_Encoding="gzip"),
    bad("an unknown field", 422, "D111", {**OK, "is_admin": True}),
    bad("an inner field of Python", 422, "D111", {**OK, "__class__": "x"}),
    bad("a missing field", 422, "D111", {"weight": 1}),
    bad("a wrong type", 422, "D111", {"tool": 7}),
    bad("null", 422, "D111", {"tool": None}),
    bad("a list", 422, "D111", [OK]),
    bad("a text", 422, "D111", "tool"),
    bad("out of bounds", 422, "D111", {"tool": "a", "weight": -1}),
    bad("too long", 422, "D111", {"tool": "a" * 41}),
    bad("an empty id", 422, "D111", {"tool": ""}),
    bad("NUL in an id", 422, "D111", {"tool": "a\0b"}),
    bad("a line break in an id", 422, "D111", {"tool": "a\r\nX-Admin: 1"}),
    bad("SQL for a number", 422, "D111", method="GET", path="/tools?limit=1;DROP%20TABLE%20events"),
    bad("SQL for a decimal", 422, "D111", method="GET", path="/tools?heavier_than=1%20OR%201=1"),
    bad("SQL for a name", 422, "D111", method="GET", path="/tools?state%27%20OR%201=1=x"),
    bad("SQL for a position", 400, "D704", method="GET", path="/tools", Min_Position="1 OR 1=1"),
    bad("SQL for a position of the log", 400, "D704", method="GET", path="/events?after=0%20OR%201=1"),
    bad("SQL for a query", 400, "D701", method="GET", path="/read?query=%27;DROP%20TABLE%20events"),
    bad("SQL for a command id", 404, "D705", method="GET", path="/status/'%20OR%201=1"),
    bad("SQL for a command", 404, "D112", OK, path="/commands/x';DROP%20TABLE%20events"),
    bad("SQL for a version", 400, "D704", {"to": "a"}, method="PUT", path="/tools/saw/loan", If_Match="1 OR 1=1"),
    bad("a query as a command", 404, "D112", OK, path="/commands/FindTools"),
    bad("a way out", 404, "D705", method="GET", path="/../../etc/passwd"),
    bad("a hidden way out", 404, "D705", method="GET", path="/queries/..%2f..%2fetc%2fpasswd"),
    bad("a wrong method", 405, "D706", OK, method="DELETE", path="/tools"),
    bad("an unknown method", 405, "D706", method="PROPFIND", path="/tools"),
    bad("another media type wanted", 406, "D708", method="GET", path="/tools", Accept="text/html"),
    bad("a key that is a book", 400, "D704", OK, Idempotency_Key="k" * 256),
    bad("a correlation that is no id", 400, "D704", OK, X_Correlation_Id="../../x"),
    bad(
        "an event id that is none",
        400,
        "D704",
        method="GET",
        path="/events",
        Last_Event_ID="x",
        Accept="text/event-stream",
    ),
    bad("an event of no class", 422, "D111", {"events": [{"type": "os.system", "data": {}}]}, path="/append"),
    bad(
        "an event past its class",
        422,
        "D111",
        {"events": [{"type": "tool.retired", "data": {"tool": 1}}]},
        path="/append",
    ),
    bad("a body drop by drop", 408, "D709", b'{"tool"', Content_Length="100"),
    bad("two lengths", 400, None, chunked(b"{}"), Transfer_Encoding="chunked", Content_Length="5"),
    bad("no HTTP", 400, None, method="\0\0\0\0"),
]


@asynccontextmanager
async def server(tmp_path: Path) -> AsyncGenerator[tuple[App, int]]:
    app = lending(f"sqlite:///{tmp_path / 'app.db'}?durability=relaxed")
    async with app, served(create(app, settings=SETTINGS)) as port:
        yield app, port


async def answer_to(port: int, request: Bad) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.request)
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body
    finally:
        writer.close()


async def contents(app: App) -> list[str]:
    return [event.event_id async for event in app.events()]


@pytest.mark.slow
async def test_each_gets_its_documented_refusal_and_nothing_is_written(tmp_path: Path) -> None:
    assert len(TABLE) >= 60
    assert len({row.id for row in TABLE}) == len(TABLE)
    async with server(tmp_path) as (app, port):
        before = await contents(app)
        wrong: list[str] = []
        for row in TABLE:
            status, headers, body = await answer_to(port, row)
            code = json.loads(body)["code"] if headers.get("content-type") == "application/problem+json" else None
            if (status, code) != (row.status, row.code):
                wrong.append(f"{row.what}: {status} {code} {body[:200]!r}, not {row.status} {row.code}")
        assert wrong == []
        assert await contents(app) == before == []
        assert (await answer_to(port, bad("good", 201, "", OK)))[0] == 201


@pytest.mark.slow
async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async with server(tmp_path) as (app, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bad("half", 0, None, b'{"tool":"saw"', Content_Length="40").request)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await answer_to(port, bad("good", 201, "", {"tool": "axe"})))[0] == 201
        assert [event.stream async for event in app.events()] == ["tool-axe"]


@pytest.mark.slow
async def test_sql_in_a_text_is_text(tmp_path: Path) -> None:
    async with server(tmp_path) as (app, port):
        made = bad("made", 201, "", {"tool": SQL, "parts": [{"name": SQL}]})
        assert (await answer_to(port, made))[0] == 201
        lent = bad("lent", 200, "", {"tool": SQL, "to": SQL}, path="/commands/Lend", Idempotency_Key=SQL, Prefer=SQL)
        assert (await answer_to(port, lent))[0] == 200
        await app.settle()
        asked = bad("asked", 200, "", {"state": SQL, "names": [SQL]}, method="QUERY", path="/queries/FindTools")
        assert (await answer_to(port, asked))[::2] == (200, b"[]")
        asked = bad("asked", 200, "", {"names": [SQL]}, method="QUERY", path="/queries/FindTools")
        assert json.loads((await answer_to(port, asked))[2]) == [{"tool": SQL, "state": "lent"}]
        log = bad("log", 200, "", method="GET", path="/events?stream=x%27%20OR%201=1&category=%27--&type=%27")
        assert json.loads((await answer_to(port, log))[2])["events"] == []
        assert [event.stream async for event in app.events()] == [f"tool-{SQL}"] * 2
