"""Queries over HTTP: parameters and bodies, validators, freshness."""

import json
from typing import Any

import httpx
import pytest

from daicho import App
from daicho.http import HttpSettings
from tests.http_app import client_of, lending


async def stock(client: httpx.AsyncClient, *names: str) -> str:
    """Registers tools, and returns the position that a query has to have seen."""
    for name in names:
        made = await client.post("/tools", json={"tool": name})
    return str(made.headers["daicho-position"])


async def names(client: httpx.AsyncClient, parameters: Any, **headers: str) -> list[str]:
    answer = await client.get("/tools", params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    return [row["tool"] for row in answer.json()]


async def test_a_query_sees_what_the_token_of_a_command_says() -> None:
    async with client_of(lending()) as client:
        position = await stock(client, "saw", "axe")
        fresh = {"Min-Position": position}
        for path in ("/tools", "/queries/FindTools"):
            answer = await client.get(path, headers=fresh)
            assert answer.json() == [{"tool": "axe", "state": "here"}, {"tool": "saw", "state": "here"}]
        by_body = await client.request("QUERY", "/queries/FindTools", json={"names": ["saw"]}, headers=fresh)
        assert by_body.json() == [{"tool": "saw", "state": "here"}]
        assert (await client.get("/tools/saw", headers=fresh)).json() == {"tool": "saw", "state": "here"}
        missing = await client.get("/tools/nothing")
        assert (missing.status_code, missing.json()["code"]) == (404, "D705")
        nobody = await client.get("/queries/OneTool", params={"tool": "nothing"})
        assert (nobody.status_code, nobody.json()) == (200, None)


async def test_parameters_become_the_types_of_the_fields() -> None:
    async with client_of(lending()) as client:
        position = await stock(client, "saw", "axe", "awl")
        fresh = {"Min-Position": position}
        assert await names(client, {"limit": "2"}, **fresh) == ["awl", "axe"]
        assert await names(client, [("names", "saw"), ("names", "awl")]) == ["awl", "saw"]
        assert await names(client, {"names": "saw"}) == ["saw"]
        assert await names(client, {"state": "lent"}) == []
        assert await names(client, {"heavier_than": "1.5"}) == ["awl", "axe", "saw"]


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ("limit=many", "/limit"),
        ("limit=0", "/limit"),
        ("limit=1e3", "/limit"),
        ("limit=1&limit=2", "/limit"),
        ("heavier_than=NaN", "/heavier_than"),
        ("heavier_than=Infinity", "/heavier_than"),
        ("color=red", "/color"),
        ("state=a&state=b", "/state"),
    ],
)
async def test_a_parameter_that_does_not_fit_is_pointed_at(parameters: str, pointer: str) -> None:
    async with client_of(lending()) as client:
        answer = await client.get(f"/tools?{parameters}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_missing_parameter_is_pointed_at() -> None:
    async with client_of(lending()) as client:
        answer = await client.get("/queries/OneTool")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/tool")


async def test_an_answer_that_the_client_has_is_not_sent_again() -> None:
    async with client_of(lending()) as client:
        fresh = {"Min-Position": await stock(client, "saw")}
        first = await client.get("/tools", headers=fresh)
        etag = first.headers["etag"]
        for tag in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await client.get("/tools", headers={"If-None-Match": tag})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        await client.put("/tools/saw/loan", json={"to": "ann"})
        changed = await client.get("/tools", headers={"If-None-Match": etag, "Min-Position": "2"})
        assert (changed.status_code, changed.json()[0]["state"]) == (200, "lent")


async def test_head_is_get_without_the_body() -> None:
    async with client_of(lending()) as client:
        got, head = await client.get("/tools"), await client.head("/tools")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == got.headers["etag"]
        assert head.headers["content-length"] == str(len(got.content))


async def test_an_answer_that_is_not_fresh_in_time_is_503_and_a_position_of_another_store_is_400() -> None:
    app = lending()
    async with client_of(app, HttpSettings(stale_after=0.01)) as client:
        position = await stock(client, "saw")
        await app.settle()
        await app.processors.pause("tools")
        await client.post("/tools", json={"tool": "axe"})
        late = await client.get("/tools", headers={"Min-Position": str(int(position) + 1)})
        assert (late.status_code, late.json()["code"], late.json()["lag"]) == (503, "D301", 1)
        assert late.headers["retry-after"] == "1"
        foreign = await client.get("/tools", headers={"Min-Position": "1000"})
        assert (foreign.status_code, foreign.json()["name"]) == (400, "Min-Position")


@pytest.mark.parametrize("position", ["-1", "1.5", "x", "9" * 30, "١"])
async def test_a_position_is_a_number(position: str) -> None:
    async with client_of(lending()) as client:
        answer = await client.get("/tools", headers={"Min-Position": position.encode()})
        assert (answer.status_code, answer.json()["name"]) == (400, "Min-Position")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*;q=0.1", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/json;q=x", 406),
    ],
)
async def test_what_the_client_accepts_counts(accept: str, status: int) -> None:
    async with client_of(lending()) as client:
        assert (await client.get("/tools", headers={"Accept": accept})).status_code == status


async def test_the_log_is_pages_that_never_change_once_they_are_full() -> None:
    async with client_of(lending(), HttpSettings(page=2)) as client:
        await stock(client, "a", "b", "c")
        first = await client.get("/events")
        assert [e["position"] for e in first.json()["events"]] == [1, 2]
        assert first.json()["complete"] is True
        links = first.links
        assert first.headers["cache-control"] == "no-cache"
        lasting = await client.get(links["self"]["url"])
        assert lasting.headers["cache-control"] == "public, max-age=31536000, immutable"
        second = await client.get(links["next"]["url"])
        assert [e["data"]["tool"] for e in second.json()["events"]] == ["c"]
        assert (second.headers["cache-control"], second.json()["complete"]) == ("no-cache", False)
        assert "next" not in second.links
        assert (await client.get(second.links["prev"]["url"])).content == lasting.content
        await stock(client, "d", "e")
        assert (await client.get(links["self"]["url"])).content == lasting.content
        again = await client.get(links["self"]["url"], headers={"If-None-Match": lasting.headers["etag"]})
        assert again.status_code == 304
        other = await client.get("/events", params={"after": 0, "shape": "0" * 16})
        assert other.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("parameters", "positions"),
    [
        ({"stream": "tool-a"}, [1, 3]),
        ({"stream": "tool-a", "after": "1"}, [3]),
        ({"category": "tool", "after": "2"}, [3]),
        ({"category": "other"}, []),
        ({"type": "tool.lent"}, [3]),
        ({"type": ["tool.lent", "tool.registered"]}, [1, 2, 3]),
        ({"type": "unknown"}, []),
    ],
)
async def test_events_are_selected(parameters: dict[str, Any], positions: list[int], url: str) -> None:
    async with client_of(lending(url)) as client:
        await stock(client, "a", "b")
        await client.put("/tools/a/loan", json={"to": "ann"})
        answer = await client.get("/events", params=parameters)
        assert [event["position"] for event in answer.json()["events"]] == positions


@pytest.mark.parametrize("parameters", ["after=x", "after=-1", "after=1&after=2", "color=red", "after=99"])
async def test_a_wrong_parameter_of_the_log_is_refused(parameters: str) -> None:
    async with client_of(lending(), HttpSettings(stale_after=0)) as client:
        answer = await client.get(f"/events?{parameters}")
        assert (answer.status_code, answer.json()["code"]) == (400, "D704")


async def test_callers_from_elsewhere_see_no_events_unless_somebody_authenticates_them() -> None:
    app = lending()
    async with client_of(app) as here:
        transport: Any = here._transport
        away = httpx.ASGITransport(transport.app, client=("203.0.113.9", 4711))
        async with httpx.AsyncClient(transport=away, base_url="http://x") as client:
            append = {"events": [{"type": "tool.registered", "data": {"tool": "x", "weight": 1}}]}
            refused = [
                await client.get("/events"),
                await client.get("/read"),
                await client.post("/append", json=append),
            ]
            assert [(r.status_code, r.json()["code"]) for r in refused] == [(403, "D114")] * 3
            assert (await client.post("/tools", json={"tool": "saw"})).status_code == 201


REGISTERED = {"type": "tool.registered", "data": {"tool": "saw", "weight": 2.5}}


def about(*tags: str) -> dict[str, Any]:
    return {"items": [{"tags": list(tags)}]}


async def read(client: httpx.AsyncClient, query: Any = None, **more: Any) -> dict[str, Any]:
    parameters = {**({} if query is None else {"query": json.dumps(query)}), **more}
    answer = await client.get("/read", params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_parameter_that_is_no_json_is_called_a_parameter() -> None:
    async with client_of(lending()) as client:
        answer = await client.get("/read", params={"query": "x"})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("the parameter query is not JSON")


async def test_events_are_appended_if_nothing_that_the_condition_names_has_happened(url: str) -> None:
    app = lending(url)
    async with client_of(app) as client:
        assert await read(client, about("tool:saw")) == {"events": [], "position": 0, "more": False}
        condition = {"failIfEventsMatch": about("tool:saw"), "after": 0}
        one = {"events": [REGISTERED], "condition": condition}
        first = await client.post("/append", json=one)
        assert (first.status_code, first.json()) == (201, {"positions": [1], "position": 1})
        lost = await client.post("/append", json=one)
        assert (lost.status_code, lost.json()["code"]) == (409, "D201")
        found = await read(client, about("tool:saw"))
        assert [(e["type"], e["data"]["weight"], e["tags"]) for e in found["events"]] == [
            ("tool.registered", 2.5, ["tool:saw"])
        ]
        condition["after"] = found["position"]
        lent = {"type": "tool.lent", "data": {"tool": "saw", "to": "ann", "days": 3}, "tags": ["more"]}
        assert (await client.post("/append", json={"events": [lent], "condition": condition})).status_code == 201
        assert [e["position"] for e in (await read(client, about("to:ann", "more")))["events"]] == [2]
        assert [e["position"] for e in (await read(client, after=1))["events"]] == [2]
        assert (await read(client, limit=1))["more"] is True
        types = {"items": [{"types": ["tool.lent"]}, {"types": ["tool.registered"], "tags": ["tool:axe"]}]}
        assert [e["position"] for e in (await read(client, types))["events"]] == [2]
        by_body = await client.request("QUERY", "/read", json={"query": about("to:ann")})
        assert len(by_body.json()["events"]) == 1
        await app.settle()
        assert (await client.get("/tools/saw")).json() == {"tool": "saw", "state": "lent"}


async def test_an_append_with_a_key_counts_once() -> None:
    app = lending()
    async with client_of(app) as client:
        key = {"Idempotency-Key": "k"}
        first = await client.post("/append", json={"events": [REGISTERED]}, headers=key)
        again = await client.post("/append", json={"events": [REGISTERED]}, headers=key)
        assert (first.json(), again.status_code) == (again.json(), 201)
        assert again.headers["idempotency-replayed"] == "true"
        other = await client.post("/append", json={"events": [REGISTERED, REGISTERED]}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "D113")
        assert await _count(app) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"events": []}, "/events"),
        ({}, "/events"),
        ({"events": [{**REGISTERED, "type": "tool.unknown"}]}, "/events/0/type"),
        ({"events": [REGISTERED, {**REGISTERED, "data": {"tool": 1, "weight": 1}}]}, "/events/1/data/tool"),
        ({"events": [{**REGISTERED, "data": {"tool": "x"}}]}, "/events/0/data/weight"),
        ({"events": [{**REGISTERED, "stream": "no category"}]}, "/events/0/stream"),
        ({"events": [{**REGISTERED, "tags": [""]}]}, "/events/0/tags/0"),
        (
            {"events": [REGISTERED], "condition": {"failIfEventsMatch": {"items": []}}},
            "/condition/failIfEventsMatch/items",
        ),
        (
            {"events": [REGISTERED], "condition": {"failIfEventsMatch": {"items": [{}]}}},
            "/condition/failIfEventsMatch/items/0",
        ),
        ({"events": [REGISTERED], "condition": {"failIfEventsMatch": about("x"), "after": -1}}, "/condition/after"),
    ],
)
async def test_a_wrong_append_is_pointed_at_and_writes_nothing(body: Any, pointer: str) -> None:
    app = lending()
    async with client_of(app) as client:
        answer = await client.post("/append", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
        assert await _count(app) == 0


async def _count(app: App) -> int:
    return len([event async for event in app.events()])
