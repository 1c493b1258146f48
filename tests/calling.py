"""HTTP calls to an ASGI application in this process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from daicho import App
from daicho.http.security import Security
from daicho.server import ServerSettings, application


@asynccontextmanager
async def calling(
    app: App,
    security: Security | None = None,
    *,
    address: str = "127.0.0.1",
    settings: ServerSettings | None = None,
) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of all that `daicho run` serves, with the App running."""
    async with app:
        served: Any = application(app, settings, security=security)
        transport = httpx.ASGITransport(served, client=(address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status, and Daicho's code of the problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]
