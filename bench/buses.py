"""Messages over each broker: published and heard, beside the broker's client alone, with the same bytes."""

import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.brokers import Client, Place
from bench.measure import Pace, Result, Sample, Watch, Work, rounds, waits
from daicho.ports.event_bus import BusMessage, Channel, EventBus
from daicho.wiring.urls import open_bus

BROKERS = ("nats", "redis", "rabbitmq", "kafka")
MESSAGES, PORTION, ALONE = 10_000, 500, 200
"""How many; published and heard by so many at once; and published one after the other."""
DATA = msgspec.json.encode({"order_id": "o-1", "lines": [{"sku": f"sku-{n}", "amount": n} for n in range(8)]})

channels = count(1)


def messages(first: int, last: int) -> list[BusMessage]:
    return [
        BusMessage(
            id=f"7b0c5d4e-0000-4000-8000-{number:012}",
            source="orders",
            type="order.created",
            subject=f"order-o{number % 100}",
            time="2026-01-02T03:04:05.678901+00:00",
            data=DATA,
            number=number,
            previous=number - 1,
            extensions={"correlationid": "5f9f1c1e-2222-4222-8222-222222222222"},
        )
        for number in range(first, last + 1)
    ]


class Daicho:
    """The adapter, at a broker."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._channel = Channel(f"bench.c{next(channels)}")
        self._bus: EventBus = open_bus(self._url)
        await self._bus.open()
        await self._bus.declare(self._channel)

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        await self._bus.publish(self._channel, 0, messages)

    async def hear(self, count: int, portion: int) -> None:
        hearing = await self._bus.subscribe(self._channel, 0, "bench")
        heard, since = 0, 0
        while heard < count:
            deliveries = await hearing.receive(limit=portion)
            heard, since = heard + len(deliveries), since + len(deliveries)
            if since >= portion or heard == count:
                await hearing.acknowledge(deliveries)
                since = 0

    async def close(self) -> None:
        await self._bus.close()


class Side:
    """What is measured, of the adapter and of the client."""

    def __init__(self, client: Client, count: int, alone: int) -> None:
        self._client, self._count, self._alone = client, count, alone
        self._messages = messages(1, count)

    def publish(self) -> Work:
        async def work() -> Sample:
            with Watch() as watch:
                await self._publish()
            return watch.rate(self._count)

        return lambda: asyncio.run(self._within(work))

    def hear(self) -> Work:
        async def work() -> Sample:
            await self._publish()
            with Watch() as watch:
                await self._client.hear(self._count, PORTION)
            return watch.rate(self._count)

        return lambda: asyncio.run(self._within(work))

    def alone(self) -> Work:
        async def work() -> Sample:
            took: list[float] = []
            with Watch():
                for each in self._messages[: self._alone]:
                    start = time.perf_counter()
                    await self._client.publish([each])
                    took.append(time.perf_counter() - start)
            return waits(took)

        return lambda: asyncio.run(self._within(work))

    async def _publish(self) -> None:
        for start in range(0, self._count, PORTION):
            await self._client.publish(self._messages[start : start + PORTION])

    async def _within(self, work: Callable[[], Awaitable[Sample]]) -> Sample:
        await self._client.open()
        try:
            return await work()
        finally:
            await self._client.close()


WORKLOADS = {"publish": "per second", "hear": "per second", "alone": "ms"}


def buses(pace: Pace, only: Sequence[str], count: int, console: Console, absent: tuple[type[Exception], ...]) -> Any:
    """On the brokers whose names hold one of the texts; one that is missing is told and left out."""
    table = Table(title="Messages over a bus", title_justify="left")
    for column in ("broker", "what", "raw", "Daicho", "to raw", "min-max"):
        table.add_column(column, justify="left" if column in {"broker", "what"} else "right", no_wrap=True)
    found: dict[str, Any] = {}
    for name in BROKERS:
        if not any(text in name for text in only):
            continue
        try:
            place: Place = getattr(importlib.import_module(f"bench.brokers.{name}"), name.capitalize())()
        except absent as missing:
            console.print(f"without {name}: {missing}")
            continue
        try:
            much = pace.events(int(MESSAGES * place.share))
            clients: dict[str, Client] = {"raw": place.client, "daicho": Daicho(place.url)}
            sides = {side: Side(client, much, min(ALONE, much)) for side, client in clients.items()}
            found[name] = {"title": place.title}
            for what, unit in WORKLOADS.items():
                works: dict[str, Work] = {side: getattr(each, what)() for side, each in sides.items()}
                result = Result(workload=what, unit=unit, must=None, stretch=None, rounds=rounds(works, count))
                found[name][what] = msgspec.to_builtins(result)
                table.add_row(place.title, *_row(result))
                if not sys.stdout.isatty():
                    print(place.title, *_row(result), sep=" | ", file=sys.stderr, flush=True)
        finally:
            place.close()
    console.print(table)
    console.print(
        f"Medians of {count} interleaved rounds; `alone`: one at a time, ms until confirmed (99th percentile)."
    )
    return found


def _row(result: Result) -> list[str]:
    def shown(side: str) -> str:
        if result.unit == "ms":
            return f"{result.median(side):.2f} ({result.p99(side):.1f})"
        return f"{result.median(side):,.0f}"

    ratios = sorted(result.ratios("daicho", "raw"))
    middle = f"{statistics.median(ratios):.2f}"
    return [result.workload, shown("raw"), shown("daicho"), middle, f"{ratios[0]:.2f}-{ratios[-1]:.2f}"]
