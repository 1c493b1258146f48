"""The documents about the HTTP face are valid, and true: schemathesis holds every answer against them."""

import asyncio
import json
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import schemathesis
import schemathesis.checks
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from daicho import App, Query, query_handler, requires
from daicho.cli import main
from daicho.http import HttpSettings, create
from daicho.http.asyncapi import asyncapi
from daicho.http.openapi import openapi
from examples.shop.app import shop
from tests.http_app import lending, served
from tests.services.asyncapi import AsyncApiParser
from tests.services.find import wanted
from tests.trade import orders

APPS = {"shop": shop, "lending": lending, "orders": lambda url: orders(url, "memory:documents")}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest) -> App:
    return APPS[request.param]("memory:")


def test_the_openapi_document_is_valid(app: App) -> None:
    document = json.loads(json.dumps(openapi(app, HttpSettings())))
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    document["paths"]["/status/{command_id}"]["get"]["parameters"] = []
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] != []


@pytest.mark.slow
def test_the_asyncapi_document_is_valid_for_its_own_tool() -> None:
    with wanted():
        check = AsyncApiParser()
    documents = [asyncapi(make("memory:")) for make in APPS.values()]
    broken = {**documents[0], "channels": {"events": {"address": 7}}}
    *found, wrong = check(*documents, broken)
    assert found == [{"understood": True, "diagnostics": []}] * len(APPS)
    assert wrong["understood"] is False


async def test_everything_is_in_the_documents_and_they_are_served() -> None:
    app = lending()
    async with (
        app,
        httpx.AsyncClient(transport=httpx.ASGITransport(create(app)), base_url="http://x") as client,
    ):
        document = (await client.get("/openapi.json")).json()
        paths = document["paths"]
        for command in ("Register", "Lend", "Retire", "Burn"):
            assert paths[f"/commands/{command}"]["post"]["operationId"] == command
        for query in ("FindTools", "OneTool", "Faulty"):
            assert {"get", "x-query"} == set(paths[f"/queries/{query}"])
        assert {"/tools", "/tools/{tool}", "/tools/{tool}/loan", "/events", "/read", "/append"} <= set(paths)
        assert "428" in paths["/tools/{tool}"]["delete"]["responses"]
        assert "428" not in paths["/tools"]["post"]["responses"]
        body = paths["/tools/{tool}/loan"]["put"]["requestBody"]["content"]["application/json"]["schema"]
        assert (sorted(body["properties"]), body["required"]) == (["days", "to"], ["to"])
        assert paths["/append"]["post"]["security"] == [{}, {"bearer": ["events:append"]}, {"key": ["events:append"]}]
        told = (await client.get("/asyncapi.json")).json()
        assert {"tool.registered", "tool.lent", "tool.retired"} <= set(told["components"]["messages"])
        assert set(told["channels"]) == {"events", "FindTools", "OneTool", "Faulty"}
        page = await client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "/tools/{tool}/loan" in page.text
        assert "<script" not in page.text
        assert "http:" not in page.text.replace("http://x", "")


@requires("secrets:read")
class Secret(Query[int]):
    pass


@query_handler
async def secret(query: Secret) -> int:
    return 7


def test_the_scopes_that_a_message_requires_are_told() -> None:
    paths = openapi(lending("memory:", secret), HttpSettings())["paths"]
    needed = [{"bearer": ["secrets:read"]}, {"key": ["secrets:read"]}]
    assert paths["/queries/Secret"]["get"]["security"] == needed
    assert "security" not in paths["/queries/FindTools"]["get"]


def test_what_goes_over_the_bus_is_told() -> None:
    document = asyncapi(orders("memory:", "memory:documents"))
    ways = {
        (each["action"], document["channels"][each["channel"]["$ref"].rpartition("/")[2]]["address"])
        for name, each in document["operations"].items()
        if "." in name
    }
    assert ways == {
        ("send", "events.orders"),
        ("receive", "events.inventory"),
        ("receive", "commands.orders"),
        ("send", "commands.inventory"),
    }


def test_the_command_line_prints_them() -> None:
    for verb in ("openapi", "asyncapi"):
        printed = CliRunner().invoke(main, ["--app", "tests.http_app:lending", verb, "--root", "/api"])
        assert printed.exit_code == 0, printed.output
        document = json.loads(printed.output)
        assert document["info"]["title"] == "lending"
        assert "/api" in printed.output


# -- every answer is a documented one ----------------------------------------------------------------------------------


@contextmanager
def in_a_thread(app: App, settings: HttpSettings) -> Iterator[str]:
    """URL of a server that answers while this thread asks."""
    began: Future[tuple[int, asyncio.AbstractEventLoop]] = Future()
    over = asyncio.Event()

    async def serve() -> None:
        async with app, served(create(app, settings=settings)) as port:
            began.set_result((port, asyncio.get_running_loop()))
            await over.wait()

    with ThreadPoolExecutor(1) as threads:
        serving = threads.submit(asyncio.run, serve())
        wait((began, serving), return_when=FIRST_COMPLETED)
        if not began.done():
            serving.result()
        port, loop = began.result()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            loop.call_soon_threadsafe(over.set)
            serving.result()


def _fuzz(examples: int) -> int:
    """How many requests were answered, each as documented."""
    answered = 0
    with in_a_thread(shop("memory:"), HttpSettings(stale_after=0.0, longest_wait=0.2)) as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for result in schema.get_all_operations():
            operation = result.ok()

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                nonlocal answered
                case.call_and_validate(checks=CHECKS, timeout=10)
                answered += 1

            ask()
    return answered


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_request_is_answered_in_a_way_that_the_document_does_not_tell_nor_with_a_5xx() -> None:
    assert _fuzz(4) > 200


@pytest.mark.campaign
@pytest.mark.skipif(not os.environ.get("DAICHO_CAMPAIGN"), reason="a long run")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nor_are_very_many() -> None:
    assert _fuzz(500) > 20_000
