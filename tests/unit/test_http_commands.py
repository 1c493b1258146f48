"""Commands over HTTP: status codes, headers, and what is written."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from daicho import Aggregate, App, Command, Event, Personal, Route, TwoHandlers, WiringError, apply, handle
from daicho.http import HttpSettings, Principal, create, set_principal
from tests.http_app import FindTools, Lend, Register, Tool, client_of, find, lending, tools
from tests.trade import Receive as ReceiveStock
from tests.trade import inventory, orders

SAW: dict[str, Any] = {"tool": "saw"}
UUID = "0190b7c1-5a5e-7c53-9d0c-0d9c9d3f6b11"


async def count(app: App) -> int:
    return len([event async for event in app.events()])


async def test_a_command_is_answered_with_its_receipt_and_where_it_stands() -> None:
    async with client_of(lending()) as client:
        made = await client.post("/tools", json={"tool": "saw", "weight": 1.5})
        assert made.status_code == 201
        receipt = made.json()
        assert (receipt["stream"], receipt["version"], receipt["position"]) == ("tool-saw", 1, 1)
        assert receipt["events"] == [{"type": "tool.registered", "data": {"tool": "saw", "weight": 1.5, "parts": []}}]
        assert made.headers["etag"] == '"tool-saw@1"'
        assert made.headers["daicho-position"] == "1"
        assert made.headers["location"] == "/tools/saw"
        assert made.headers["cache-control"] == "no-store"
        lent = await client.put("/tools/saw/loan", json={"to": "ann"})
        assert (lent.status_code, lent.headers["etag"]) == (200, '"tool-saw@2"')
        assert "location" not in lent.headers


async def test_every_command_has_an_address_of_its_own() -> None:
    async with client_of(lending()) as client:
        assert (await client.post("/commands/Register", json=SAW)).status_code == 201
        wrong = await client.post("/commands/FindTools", json={})
        assert (wrong.status_code, wrong.json()["code"]) == (404, "D112")
        unknown = await client.post("/commands/Registr", json=SAW)
        assert (unknown.status_code, unknown.json()["similar"][0]) == (404, "Register")


async def test_the_business_and_a_concurrent_change_are_told_apart() -> None:
    async with client_of(lending()) as client:
        await client.post("/tools", json=SAW)
        again = await client.post("/tools", json=SAW)
        assert (again.status_code, again.json()["type"]) == (409, "urn:daicho:problem:D100")
        assert (again.json()["detail"], again.json()["data"]) == ("saw is there already", {"state": "here"})
        stale = await client.put("/tools/saw/loan", json={"to": "ann"}, headers={"If-Match": '"tool-saw@7"'})
        assert (stale.status_code, stale.json()["type"]) == (412, "urn:daicho:problem:D201")
        assert (stale.json()["expected_version"], stale.json()["actual_version"]) == (7, 1)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-Match", '"tool-saw@1"', 200),
        ("If-Match", '"1"', 200),
        ("If-Match", "*", 200),
        ("If-Match", '"tool-axe@1", "tool-saw@1"', 200),
        ("If-Match", 'W/"tool-saw@1"', 412),
        ("If-Match", '"tool-axe@1"', 412),
        ("If-Match", '"tool-saw@2"', 412),
        ("If-Match", '"tool-saw@999999999999999999999"', 412),
        ("If-Match", '"0190b7c15a5e"', 412),
        ("If-Match", '"tool-saw@1", "tool-saw@2"', 400),
        ("If-Match", "tool-saw@1", 400),
        ("If-None-Match", "*", 412),
        ("If-None-Match", '"tool-saw@1"', 400),
    ],
)
async def test_a_version_is_a_strong_validator(header: str, value: str, status: int) -> None:
    app = lending()
    async with client_of(app) as client:
        await client.post("/tools", json=SAW)
        answer = await client.put("/tools/saw/loan", json={"to": "ann"}, headers={header: value})
        assert answer.status_code == status, answer.text
        assert await count(app) == (2 if status == 200 else 1)


async def test_something_new_can_be_asked_for() -> None:
    async with client_of(lending()) as client:
        assert (await client.post("/tools", json=SAW, headers={"If-None-Match": "*"})).status_code == 201
        assert (await client.post("/tools", json=SAW, headers={"If-None-Match": "*"})).status_code == 412


async def test_where_a_version_is_required_a_command_without_one_is_refused() -> None:
    app = lending()
    async with client_of(app) as client:
        made = await client.post("/tools", json=SAW)
        refused = await client.delete("/tools/saw")
        assert (refused.status_code, refused.json()["code"]) == (428, "D707")
        assert await count(app) == 1
        assert (await client.delete("/tools/saw", headers={"If-Match": made.headers["etag"]})).status_code == 200
    async with client_of(lending(), HttpSettings(require_match=True)) as client:
        assert (await client.post("/tools", json=SAW)).status_code == 428


async def test_the_same_key_counts_once_and_answers_the_same() -> None:
    app = lending()
    async with client_of(app) as client:
        first = await client.post("/tools", json=SAW, headers={"Idempotency-Key": '"k-1"'})
        again = await client.post("/tools", json=SAW, headers={"Idempotency-Key": "k-1"})
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert first.headers["etag"] == again.headers["etag"]
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        other = await client.post("/tools", json={"tool": "axe"}, headers={"Idempotency-Key": "k-1"})
        assert (other.status_code, other.json()["code"]) == (422, "D113")
        assert await count(app) == 1


async def test_a_refusal_is_remembered_under_its_key_as_well() -> None:
    async with client_of(lending()) as client:
        await client.post("/tools", json=SAW)
        first = await client.post("/tools", json=SAW, headers={"Idempotency-Key": "k"})
        again = await client.post("/tools", json=SAW, headers={"Idempotency-Key": "k"})
        assert (first.status_code, again.status_code) == (409, 409)
        assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("key", ["", " ", "a" * 256, "tab\tbed"])
async def test_a_key_that_is_no_key_is_refused(key: str) -> None:
    async with client_of(lending()) as client:
        answer = await client.post("/tools", json=SAW, headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["name"]) == (400, "Idempotency-Key")


async def test_a_command_can_be_left_for_later_and_asked_about() -> None:
    app = lending()
    async with client_of(app) as client:
        taken = await client.post("/tools", json=SAW, headers={"Prefer": "respond-async"})
        assert (taken.status_code, taken.headers["preference-applied"]) == (202, "respond-async")
        assert taken.headers["retry-after"] == "1"
        await app.settle()
        status = await client.get(taken.headers["location"])
        assert (status.status_code, status.json()["state"]) == (200, "done")
        assert status.json()["receipt"]["events"][0]["type"] == "tool.registered"
        assert status.headers["etag"] == '"tool-saw@1"'
        refused = await client.post("/tools", json=SAW, headers={"Prefer": "respond-async"})
        await app.settle()
        status = await client.get(refused.headers["location"])
        assert (status.json()["state"], status.json()["reason"]) == ("rejected", "saw is there already")


async def test_a_client_that_waits_a_while_gets_the_outcome_itself() -> None:
    async with client_of(lending()) as client:
        prefer = {"Prefer": "respond-async, wait=10"}
        made = await client.post("/tools", json=SAW, headers=prefer)
        assert (made.status_code, made.json()["stream"]) == (201, "tool-saw")
        again = await client.post("/tools", json=SAW, headers=prefer)
        assert (again.status_code, again.json()["code"]) == (409, "D100")
        stale = await client.put("/tools/saw/loan", json={"to": "ann"}, headers={**prefer, "If-Match": '"5"'})
        assert (stale.status_code, stale.json()["actual_version"]) == (412, 1)


async def test_the_status_of_nothing_is_404() -> None:
    async with client_of(lending()) as client:
        for command_id in (UUID, "x", "..", "%00"):
            assert (await client.get(f"/status/{command_id}")).status_code == 404


class As:
    """Authenticates everybody as whoever the header says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            names = dict(scope["headers"]).get(b"x-test-as", b"").decode().split("@")
            set_principal(scope, Principal(actor=names[0], tenant=names[1], scopes=frozenset(names[2:])))
        await self.app(scope, receive, send)


async def test_actor_and_tenant_are_those_of_the_credentials_and_nothing_in_the_request_changes_that() -> None:
    app = lending()
    async with client_of(app, middleware=[Middleware(As)]) as client:
        ann, bob = {"x-test-as": "ann@north"}, {"x-test-as": "bob@south"}
        forged = {"tool": "saw", "actor": "root"}
        assert (await client.post("/tools", json=forged, headers=ann)).json()["errors"][0]["pointer"] == "/actor"
        for more in ({"X-Actor": "root", "X-Tenant": "south"}, {"actor": "root"}):
            await client.post("/tools", json={"tool": f"saw{len(more)}"}, headers={**ann, **more})
        assert {(e.actor, e.tenant) async for e in app.events()} == {("ann", "north")}
        taken = await client.post("/tools", json={"tool": "axe"}, headers={**ann, "Prefer": "respond-async"})
        await app.settle()
        assert (await client.get(taken.headers["location"], headers=ann)).status_code == 200
        assert (await client.get(taken.headers["location"], headers=bob)).status_code == 404
        key = {"Idempotency-Key": "k"}
        assert (await client.post("/tools", json={"tool": "a"}, headers={**ann, **key})).status_code == 201
        assert (await client.post("/tools", json={"tool": "b"}, headers={**bob, **key})).status_code == 201


async def test_a_tenant_appends_to_streams_that_it_began_and_to_no_others() -> None:
    app = lending()
    registered = {"type": "tool.registered", "data": {"tool": "saw", "weight": 2.5}, "stream": "tool-saw"}
    async with client_of(app, middleware=[Middleware(As)]) as client:
        ann, bob = {"x-test-as": "ann@north@events:append"}, {"x-test-as": "bob@south@events:append"}
        body = {"events": [registered]}
        assert (await client.post("/append", json=body, headers=ann)).status_code == 201
        assert (await client.post("/append", json=body, headers=ann)).status_code == 201
        refused = await client.post("/append", json=body, headers=bob)
        assert (refused.status_code, refused.json()["code"]) == (404, "D500")
        assert [e.tenant async for e in app.events(stream="tool-saw")] == ["north", "north"]


async def test_events_carry_the_correlation_and_the_trace_of_the_request() -> None:
    app = lending()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with client_of(app) as client:
        await client.post("/tools", json={"tool": "a"}, headers={"X-Correlation-Id": UUID.upper()})
        await client.post("/tools", json={"tool": "b"}, headers={"traceparent": trace})
        await client.post("/tools", json={"tool": "c"}, headers={"traceparent": trace[:-1]})
        wrong = await client.post("/tools", json={"tool": "d"}, headers={"X-Correlation-Id": "1"})
        assert wrong.status_code == 400
        a, b, c = [event async for event in app.events()]
        assert a.correlation_id == UUID
        assert b.correlation_id == "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
        assert b.metadata["traceparent"] == trace
        assert "traceparent" not in c.metadata


async def test_what_nobody_foresaw_is_a_500_that_gives_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(lending()) as client:
        for answer in (await client.post("/commands/Burn", json=SAW), await client.get("/queries/Faulty")):
            assert (answer.status_code, answer.json()["type"]) == (500, "about:blank")
            assert answer.headers["content-type"] == "application/problem+json"
            assert "secret" not in answer.text
    assert [record.exc_info is not None for record in caplog.records if record.name == "daicho.http"] == [True, True]


async def test_methods_are_told() -> None:
    async with client_of(lending()) as client:
        wrong = await client.patch("/tools", json=SAW)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        assert (await client.get("/commands/Register")).headers["allow"] == "OPTIONS, POST"
        options = await client.options("/queries/FindTools")
        assert (options.status_code, options.headers["accept-query"]) == (204, "application/json")
        missing = await client.get("/nothing/here")
        assert (missing.status_code, missing.json()["code"]) == (404, "D705")
        assert (await client.get("/tools/")).status_code == 404


async def test_it_can_be_mounted_anywhere_and_starts_the_app_if_nobody_has() -> None:
    app = lending()
    inner = create(app)
    transport = httpx.ASGITransport(_under("/api/v1", inner))
    async with inner.router.lifespan_context(inner), httpx.AsyncClient(transport=transport, base_url="http://x") as c:
        assert app.is_running
        assert (await c.post("/api/v1/tools", json=SAW)).headers["location"] == "/api/v1/tools/saw"
        taken = await c.post("/api/v1/tools", json={"tool": "b"}, headers={"Prefer": "respond-async"})
        await app.settle()
        assert (await c.get(taken.headers["location"])).json()["state"] == "done"
        assert (await c.get("/api/v1/openapi.json")).json()["servers"] == [{"url": "/api/v1"}]
        async with inner.router.lifespan_context(inner):
            pass
        assert app.is_running
    assert not app.is_running


async def test_an_app_that_does_not_run_is_503() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create(lending())), base_url="http://x") as client:
        answer = await client.post("/tools", json=SAW)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "D406", "1")


def _under(path: str, inner: ASGIApp) -> ASGIApp:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "root_path": path}, receive, send)

    return outer


def _app(*routes: Route) -> App:
    return App(Tool, tools, find, *routes, store="memory:")


@pytest.mark.parametrize(
    ("route", "what"),
    [
        (Route("POST", "/x/{nothing}", Register), "no field 'nothing'"),
        (Route("GET", "/x", Register), "does not go by GET"),
        (Route("POST", "/x", FindTools), "does not go by POST"),
        (Route("POST", "x", Register), "no path"),
        (Route("POST", "/x/{tool", Lend), "no path"),
    ],
)
def test_a_route_that_cannot_work_is_found_at_the_start(route: Route, what: str) -> None:
    with pytest.raises(WiringError, match=what):
        create(_app(route))


def test_two_routes_of_the_same_method_and_path_are_refused() -> None:
    with pytest.raises(TwoHandlers):
        create(_app(Route("POST", "/x", Register), Route("POST", "/x", Lend)))


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/metrics", "/openapi.json", "/commands/x", "/queries/x", "/read", "/console"],
)
def test_a_route_in_the_place_of_an_address_of_our_own_is_refused(path: str) -> None:
    with pytest.raises(WiringError, match=f"{path} is an address of Daicho's own"):
        create(_app(Route("POST", path, Register)))


def test_one_path_with_two_names_in_it_is_refused_for_only_one_would_be_reached() -> None:
    with pytest.raises(TwoHandlers, match="are one address"):
        create(_app(Route("PUT", "/t/{tool}", Register), Route("DELETE", "/t/{to}", Lend)))


async def test_many_at_once_with_one_key_do_it_once() -> None:
    app = lending()
    async with client_of(app) as client:
        key = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*[client.post("/tools", json=SAW, headers=key) for _ in range(20)])
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert await count(app) == 1


async def test_a_command_of_another_service_is_taken_for_later_and_answered_when_that_service_has() -> None:
    bus = "memory:http-commands"
    async with inventory("memory:", bus) as depot, client_of(orders("memory:", bus)) as client:
        await depot.send(ReceiveStock(sku="tea", quantity=5))
        reserve = {"sku": "tea", "order": "o-1", "quantity": 2}
        taken = await client.post("/commands/stock.reserve", json=reserve)
        assert (taken.status_code, taken.json()["state"]) == (202, "pending")
        done = await client.post(
            "/commands/stock.reserve", json=reserve | {"order": "o-2"}, headers={"Prefer": "wait=20"}
        )
        assert (done.status_code, done.json()["stream"]) == (200, "stock-tea")
        assert "daicho-position" not in done.headers
        conditional = await client.post("/commands/stock.reserve", json=reserve, headers={"If-Match": '"1"'})
        assert (conditional.status_code, conditional.json()["name"]) == (400, "If-Match")


class Note(Command):
    about: str
    text: Annotated[str, Personal]


class Noted(Event, name="note.noted"):
    about: str
    text: Annotated[str, Personal]


class Notes(Aggregate, category="note", key="about"):
    @handle
    def note(self, command: Note) -> Iterator[Noted]:
        yield Noted(about=command.about, text=command.text)

    @apply
    def noted(self, _: Noted) -> None: ...


async def test_what_became_of_a_command_shows_personal_fields_to_its_sender_and_to_those_who_may_see_them() -> None:
    app = App(Notes, store="memory:")
    async with client_of(app, middleware=[Middleware(As)]) as client:
        sent = {"x-test-as": "ann@north", "Prefer": "respond-async"}
        taken = await client.post("/commands/Note", json={"about": "a", "text": "secret"}, headers=sent)
        await app.settle()
        seen: list[str] = []
        for who in ("ann@north", "bob@north", "eve@north@pii:read"):
            status = await client.get(taken.headers["location"], headers={"x-test-as": who})
            seen.append(status.json()["receipt"]["events"][0]["data"]["text"])
        assert seen == ["secret", "***", "secret"]
