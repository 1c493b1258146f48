"""`/livez`, `/readyz`, `/startupz`, `/metrics` and `/look-to-book`."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from daicho.app import App
from daicho.http.principal import demand
from daicho.server.draining import Draining
from daicho.server.metrics import CONTENT_TYPE, Metrics

__all__ = ["METRICS", "Probes"]

METRICS = "metrics:read"
"""The scope for `/metrics`, `/look-to-book` and `/readyz?verbose`."""


class Probes:
    """Live: the process answers. Started: the App runs. Ready: it can take requests; what is merely left undone, parked
    events or a late view, is told by `/readyz?verbose` and `daicho health`, and is no reason to take traffic away."""

    def __init__(self, app: App, metrics: Metrics, draining: Draining, *, late: float) -> None:
        self._app, self._metrics, self._draining, self._late = app, metrics, draining, late

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/livez", self.live),
            Route("/startupz", self.started),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
            Route("/look-to-book", self.look_to_book),
        ]

    async def live(self, _: Request) -> Response:
        return _told(200, {"status": "ok"})

    async def started(self, _: Request) -> Response:
        running = self._app.is_running
        return _told(200 if running else 503, {"status": "ok" if running else "starting"})

    async def ready(self, request: Request) -> Response:
        if self._draining.has_begun:
            return _told(503, {"status": "draining"})
        if not self._app.is_running:
            return _told(503, {"status": "starting"})
        verbose = "verbose" in request.query_params
        if verbose:
            demand(request.scope, METRICS)
        health = await self._app.health(late=self._late)
        code = 503 if health.status == "down" else 200
        return _told(code, msgspec.to_builtins(health) if verbose else {"status": health.status})

    async def metrics(self, request: Request) -> Response:
        demand(request.scope, METRICS)
        return Response(await self._metrics.text(), 200, {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE})

    async def look_to_book(self, request: Request) -> Response:
        """How often is looked and how often booked, by aggregate; `?tenant=` counts one tenant alone. A caller of a
        tenant sees the figures of that one."""
        principal = demand(request.scope, METRICS)
        tenant = principal.tenant or request.query_params.get("tenant")
        meter = self._app.meter
        ratios = meter.ratios(self._app.model.categories, tenant)
        queries = _summed(meter.reads, tenant)
        return _told(200, {"aggregates": [msgspec.to_builtins(each) for each in ratios], "queries": queries})


def _summed(reads: Mapping[tuple[str, str], int], tenant: str | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for (query, whose), count in sorted(reads.items()):
        if tenant in (None, whose):
            found[query] = found.get(query, 0) + count
    return found


def _told(status: int, content: Any) -> Response:
    return Response(msgspec.json.encode(content), status, {"Cache-Control": "no-store"}, "application/json")
