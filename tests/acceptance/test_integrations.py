"""The same shop in other frameworks: a command, a refusal, and a question that has seen the command."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from daicho import App
from examples.integrations import django_shop, fastapi_shop, flask_shop, litestar_shop
from examples.quickstart import shop


async def _goes_well(client: httpx.AsyncClient) -> None:
    order = {"sku": "pen", "quantity": 1}
    created = await client.put("/orders/o-1", params=order)
    assert created.status_code == 200, created.text
    position = created.json()["position"]
    assert position > 0
    again = await client.put("/orders/o-1", params=order)
    assert (again.status_code, "order already exists" in again.text) == (409, True)
    seen = await client.get("/orders", params={"status": "pending", "after": position})
    assert seen.status_code == 200
    rejected = await client.get("/orders", params={"status": "rejected", "after": position + 2})
    assert rejected.json() == ["o-1"]


@asynccontextmanager
async def _with_lifespan(api: Any, app: App) -> AsyncGenerator[httpx.AsyncClient]:
    """The framework's own lifespan starts the App."""
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await events.put({"type": "lifespan.startup"})
    life = asyncio.create_task(api({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, events.get, told.put))
    assert (await told.get())["type"] == "lifespan.startup.complete"
    assert app.is_running
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://127.0.0.1") as client:
        yield client
    await events.put({"type": "lifespan.shutdown"})
    await life
    assert not app.is_running


@pytest.mark.parametrize("api_for", [fastapi_shop.api_for, litestar_shop.api_for], ids=["fastapi", "litestar"])
async def test_an_asynchronous_framework_starts_the_app_mounts_it_and_calls_it(api_for: Any) -> None:
    app = shop("memory:")
    async with _with_lifespan(api_for(app), app) as client:
        await _goes_well(client)
        mounted = await client.get("/shop/queries/FindOrders", params={"status": "rejected"})
        assert [row["order_id"] for row in mounted.json()] == ["o-1"]
        problem = await client.post("/shop/orders", json={"order_id": "o-1"})
        assert (problem.status_code, problem.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("api_for", [flask_shop.api_for, django_shop.api_for], ids=["flask", "django"])
async def test_a_synchronous_framework_calls_the_app_from_its_threads(api_for: Any) -> None:
    with shop("memory:").sync() as app:
        api = api_for(app)
        wsgi = httpx.WSGITransport(api)
        with httpx.Client(transport=wsgi, base_url="http://127.0.0.1") as client:
            await _goes_well(_Synchronous(client))  # type: ignore[arg-type]


class _Synchronous:
    """The two calls that are made of it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    async def put(self, *args: Any, **kwargs: Any) -> httpx.Response:
        return self._client.put(*args, **kwargs)

    async def get(self, *args: Any, **kwargs: Any) -> httpx.Response:
        return self._client.get(*args, **kwargs)
