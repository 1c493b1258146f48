"""Streams over HTTP, on a real server: they go on where they were, and they end."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from daicho import App
from daicho.http import HttpSettings, create
from daicho.http.streams import Streams
from tests.http_app import lending, served
from tests.unit.test_http_commands import As

pytestmark = pytest.mark.slow
EVENTS = {"Accept": "text/event-stream"}


@asynccontextmanager
async def server(
    app: App, settings: HttpSettings | None = None, **options: Any
) -> AsyncGenerator[tuple[httpx.AsyncClient, Starlette]]:
    asgi = create(app, settings=settings, **options)
    async with app, served(asgi) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client, asgi


@asynccontextmanager
async def items(
    client: httpx.AsyncClient, path: str, after: int | None = None, **headers: str
) -> AsyncGenerator[AsyncIterator[tuple[str, str, Any]]]:
    """`(id, event, data)` of each message as it comes; comments as `("", ":", None)`."""
    seen = {} if after is None else {"Last-Event-ID": str(after)}
    async with client.stream("GET", path, headers={**EVENTS, **seen, **headers}) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield messages(response)


async def messages(response: httpx.Response) -> AsyncIterator[tuple[str, str, Any]]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(":")
        if line == ":":
            yield "", ":", None
        elif line:
            fields[name] = value.strip()
        elif "data" in fields:
            yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])
            fields = {}


async def put(client: httpx.AsyncClient, *names: str) -> int:
    for name in names:
        made = await client.post("/tools", json={"tool": name})
        assert made.status_code == 201, made.text
    return int(made.headers["daicho-position"])


async def test_a_live_query_goes_on_after_a_cut() -> None:
    async with server(lending()) as (client, _):
        await put(client, "saw")
        async with items(client, "/tools") as live:
            id_, event, answer = await anext(live)
            while answer == []:  # the view may still have been on its way
                id_, event, answer = await anext(live)
            assert (event, [row["tool"] for row in answer]) == ("answer", ["saw"])
            position = await put(client, "axe")
            id_, _, answer = await anext(live)
            assert ([row["tool"] for row in answer], int(id_)) == (["axe", "saw"], position)
        seen = await put(client, "awl")
        async with items(client, "/tools", after=seen) as live:
            id_, _, answer = await anext(live)
            assert [row["tool"] for row in answer] == ["awl", "axe", "saw"]
            assert int(id_) >= seen


async def test_the_log_goes_on_after_any_number_of_cuts_without_a_gap_or_a_repeat() -> None:
    async with server(lending()) as (client, _):
        names = [f"t-{n}" for n in range(30)]
        writing = asyncio.ensure_future(put(client, *names))
        found: list[tuple[int, str]] = []
        cut_after = [1, 2, 3, 5, 8, 11]
        for many in cut_after:
            async with items(client, "/events", after=found[-1][0] if found else None) as live:
                for _ in range(many):
                    id_, event, data = await anext(live)
                    assert event == data["type"] == "tool.registered"
                    found.append((int(id_), data["data"]["tool"]))
        await writing
        assert [name for _, name in found] == names
        assert [position for position, _ in found] == list(range(1, 31))


async def test_a_stream_can_be_of_some_events_only_and_begin_anywhere() -> None:
    async with server(lending()) as (client, _):
        await put(client, "a", "b")
        await client.put("/tools/a/loan", json={"to": "ann"})
        async with items(client, "/events?stream=tool-a") as live:
            assert [(await anext(live))[0] for _ in range(2)] == ["1", "3"]
        async with items(client, "/events?type=tool.lent") as live:
            assert (await anext(live))[2]["data"] == {"tool": "a", "to": "ann", "days": 14}
        async with items(client, "/events?after=1") as live:
            assert (await anext(live))[0] == "2"


async def test_each_tenant_sees_its_own_events_and_only_those_with_the_scope_see_any() -> None:
    async with server(lending(), middleware=[Middleware(As)]) as (client, _):
        for name, tenant in (("a", "north"), ("b", "south"), ("c", "north")):
            await client.post("/tools", json={"tool": name}, headers={"x-test-as": f"ann@{tenant}"})
        async with items(client, "/events", **{"x-test-as": "ann@north@events:read"}) as live:
            assert [(await anext(live))[2]["data"]["tool"] for _ in range(2)] == ["a", "c"]
        page = await client.get("/events", headers={"x-test-as": "bob@south@events:read"})
        assert [event["data"]["tool"] for event in page.json()["events"]] == ["b"]
        assert (await client.get("/events", headers={"x-test-as": "bob@south"})).status_code == 403


async def test_a_quiet_stream_is_kept_alive_by_comments() -> None:
    async with server(lending(), HttpSettings(heartbeat=0.02)) as (client, _), items(client, "/events") as live:
        assert await anext(live) == await anext(live) == ("", ":", None)
        await put(client, "saw")
        while (item := await anext(live))[1] == ":":
            pass
        assert item[0] == "1"


async def until_none(streams: Streams) -> None:
    async with asyncio.timeout(10):
        while streams.count:  # noqa: ASYNC110 - that the server has noticed shows nowhere else
            await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async with server(lending(), HttpSettings(slowest_reader=0.2)) as (client, asgi):
        parts = [{"name": "x" * 500_000}]
        for n in range(12):
            assert (await client.post("/tools", json={"tool": f"t{n}", "parts": parts})).status_code == 201
        port = client.base_url.port or 0
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(lazy, ("127.0.0.1", port))
            await loop.sock_sendall(lazy, b"GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
            assert (await loop.sock_recv(lazy, 12)) == b"HTTP/1.1 200"
            assert asgi.state.streams.count == 1
            await until_none(asgi.state.streams)


async def test_a_client_that_leaves_takes_its_stream_with_it() -> None:
    async with server(lending()) as (client, asgi):
        async with items(client, "/tools") as live:
            await anext(live)
            assert asgi.state.streams.count == 1
        await until_none(asgi.state.streams)


async def test_streams_end_cleanly_when_they_are_closed() -> None:
    async with (
        server(lending()) as (client, asgi),
        items(client, "/tools") as live,
        items(client, "/events") as log,
    ):
        await anext(live)
        asgi.state.streams.close()
        assert [item async for item in live] == []
        assert [item async for item in log] == []


async def test_a_stream_ends_with_its_app() -> None:
    app = lending()
    async with server(app) as (client, _):
        async with items(client, "/events") as log:
            await app.stop()
            assert [item async for item in log] == []
        await app.start()


async def test_what_is_wrong_from_the_beginning_is_a_problem_and_not_a_stream() -> None:
    async with server(lending(), HttpSettings(stale_after=0.0)) as (client, _):
        for path, status in (
            ("/tools?limit=0", 422),
            ("/queries/Faulty", 500),
            ("/events?color=red", 400),
            ("/events?after=99", 400),
        ):
            answer = await client.get(path, headers=EVENTS)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path


async def test_the_head_of_a_stream_is_that_of_the_answer() -> None:
    async with server(lending()) as (client, asgi):
        for path in ("/tools", "/events"):
            head = await client.head(path, headers=EVENTS)
            assert (head.status_code, head.headers["content-type"]) == (200, "application/json")
        assert asgi.state.streams.count == 0


async def test_a_fault_in_the_middle_is_told_as_the_last_message() -> None:
    app = lending()
    async with server(app) as (client, _):
        await put(client, "saw")
        async with items(client, "/tools/saw") as live:
            await anext(live)
            broken = app._now.read.queries._handlers  # type: ignore[attr-defined]
            with contextlib.ExitStack() as mended:
                for query, handler in list(broken.items()):
                    mended.callback(broken.__setitem__, query, handler)
                    broken[query] = _fault
                await client.put("/tools/saw/loan", json={"to": "ann"})
                last = [item async for item in live]
        assert [(event, data["status"]) for _, event, data in last] == [("problem", 500)]


async def _fault(*_: Any) -> Any:
    raise ZeroDivisionError
