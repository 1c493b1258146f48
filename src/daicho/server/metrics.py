"""What the process says of itself, in the text format of Prometheus."""

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daicho.app import App
from daicho.core.errors import DaichoError

__all__ = ["CONTENT_TYPE", "Measured", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"})


class Metrics:
    """Of one App in one process. With several workers, each request for them is answered by one, for itself alone."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "daicho_http_requests", "Requests answered.", ["method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "daicho_http_request_seconds",
            "Until the answer was complete.",
            ["method"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.under_way = Gauge("daicho_http_requests_under_way", "Requests not answered yet.", registry=self.registry)
        self._state = _State()
        self.registry.register(self._state)
        self.registry.register(_Counted(app))

    async def text(self) -> bytes:
        """Asks the store how its readers stand. Without an answer from it, the rest is told."""
        app = self._app
        try:
            lags = await app.lag()
            self._state.found = {
                "position": {lag.processor: float(lag.position) for lag in lags},
                "events_behind": {lag.processor: float(lag.events_behind) for lag in lags},
                "seconds_behind": {lag.processor: lag.seconds_behind for lag in lags},
                "parked": {lag.processor: float(lag.parked) for lag in lags},
            }
            self._state.store_up = 1.0
        except DaichoError:
            self._state.found, self._state.store_up = {}, 0.0
        return generate_latest(self.registry)


class _State:
    """How processors stand, as last asked."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self.store_up = 1.0

    def collect(self) -> Iterator[Metric]:
        told = {
            "position": "Position that it has reached.",
            "events_behind": "Positions between it and the head of the log.",
            "seconds_behind": "Age of the oldest event that it has not dealt with.",
            "parked": "Events that it has parked.",
        }
        yield GaugeMetricFamily("daicho_store_up", "Whether the store answered.", value=self.store_up)
        for name, text in told.items():
            family = GaugeMetricFamily(f"daicho_processor_{name}", text, labels=["processor"])
            for processor, value in sorted(self.found.get(name, {}).items()):
                family.add_metric([processor], value)
            yield family


class _Counted:
    """Look-to-Book, and the edge cache."""

    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        meter = self._app.meter
        reads = CounterMetricFamily("daicho_reads", "Queries answered.", labels=["query", "tenant"])
        for (query, tenant), count in sorted(meter.reads.items()):
            reads.add_metric([query, tenant], count)
        yield reads
        writes = CounterMetricFamily(
            "daicho_writes", "Commands that recorded something.", labels=["aggregate", "command", "tenant"]
        )
        for (aggregate, command, tenant), count in sorted(meter.writes.items()):
            writes.add_metric([aggregate, command, tenant], count)
        yield writes
        ratios = GaugeMetricFamily("daicho_look_to_book", "Reads per write.", labels=["aggregate"])
        for each in meter.ratios(self._app.model.categories):
            if each.ratio is not None:
                ratios.add_metric([each.aggregate], each.ratio)
        yield ratios
        yield from _of_replicas(self._app)
        lag = self._app.purge_lag()
        if lag is None:
            return
        yield GaugeMetricFamily("daicho_edge_keys_waiting", "Keys not purged yet.", value=lag.waiting)
        yield GaugeMetricFamily("daicho_edge_seconds_behind", "Age of the oldest of them.", value=lag.seconds)
        yield CounterMetricFamily("daicho_edge_keys_purged", "Keys purged.", value=lag.purged)
        yield CounterMetricFamily("daicho_edge_failures", "Purges that the cache did not take.", value=lag.failures)


def _of_replicas(app: App) -> Iterator[Metric]:
    """Those that are asked instead of the primary, as this process sees them."""
    reads = app.primary_reads if app.is_running else None
    if reads is None:
        return
    states = app.replicas
    gauges: dict[str, tuple[str, dict[str, float | None]]] = {
        "in_service": ("Whether it is asked.", {each.name: float(each.in_service) for each in states}),
        "lag_seconds": (
            "Age of the oldest thing that the primary has and it has not.",
            {each.name: each.lag_seconds for each in states},
        ),
        "lag_bytes": ("Of the log that it has not replayed.", {each.name: each.lag_bytes for each in states}),
        "position": ("All events up to here are there.", {each.name: float(each.position) for each in states}),
    }
    counters: dict[str, tuple[str, dict[str, float | None]]] = {
        "reads": ("Questions that it answered.", {each.name: each.reads for each in states}),
        "reads_moved": ("Questions that had to be asked elsewhere.", {each.name: each.moved for each in states}),
        "taken_out": ("How often it was taken out of service.", {each.name: each.taken_out for each in states}),
    }
    for kind, metrics in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
        for name, (text, values) in metrics.items():
            family = kind(f"daicho_replica_{name}", text, labels=["replica"])
            for replica, value in values.items():
                if value is not None:
                    family.add_metric([replica], value)
            yield family
    yield CounterMetricFamily("daicho_primary_reads", "Questions answered for lack of a replica.", value=reads.reads)
    yield CounterMetricFamily("daicho_primary_reads_refused", "Questions nobody could answer.", value=reads.refused)
    if reads.answers is not None:
        yield GaugeMetricFamily("daicho_primary_up", "Whether the primary answered.", value=float(reads.answers))


class Measured:
    """ASGI middleware around everything: what came, what was answered, how long it took."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        metrics, begin, status = self._metrics, time.perf_counter(), "none"
        method: Any = scope["method"] if scope["method"] in _METHODS else "other"

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        metrics.under_way.inc()
        try:
            await self.app(scope, receive, told)
        finally:
            metrics.under_way.dec()
            metrics.requests.labels(method, status).inc()
            metrics.seconds.labels(method).observe(time.perf_counter() - begin)
