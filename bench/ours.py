"""The same work through Daicho."""

import asyncio
import time
from pathlib import Path

from bench.model import Order, command, customers, event
from daicho import App, Position, Receipt
from daicho.adapters.clock import SystemClock
from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.core.codec import encoder_for
from daicho.core.ids import event_id
from daicho.core.times import to_text
from daicho.ports.event_store import AppendRequest, NewEvent, StreamWrite
from daicho.write.appending import Appender
from daicho.write.pipeline import compose

encode = encoder_for("json")
clock = SystemClock()


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def request(i: int, stream: str, expected: int) -> AppendRequest:
    command_id = clock.new_id()
    new = NewEvent(
        event_id=event_id(command_id, command_id, 0),
        type="line.added",
        schema_version=1,
        data=encode(event(i, stream)),
        occurred_at=to_text(clock.now()),
        correlation_id=command_id,
        causation_id=command_id,
    )
    return AppendRequest(writes=(StreamWrite(stream=stream, events=(new,), expected=expected),))


async def append_single(path: Path, n: int) -> float:
    store = SqliteStorage(url(path), now=clock.now)
    await store.open()
    start = time.perf_counter()
    for i in range(n):
        await store.append([request(i, f"order-{i}", 0)])
    took = time.perf_counter() - start
    await store.close()
    return n / took


async def append_concurrent(path: Path, n: int, callers: int) -> float:
    store = SqliteStorage(url(path), now=clock.now)
    await store.open()
    appender = Appender(store)
    start = time.perf_counter()

    async def work(first: int) -> None:
        for i in range(first, n, callers):
            await appender.submit(request(i, f"order-{i}", 0))

    await asyncio.gather(*[work(k) for k in range(callers)])
    took = time.perf_counter() - start
    await appender.close()
    await store.close()
    return n / took


def app(path: Path, *, hot: int = 10_000, projecting: bool = False) -> App:
    parts = (Order, customers) if projecting else (Order,)
    return App(*parts, store=url(path), hot_aggregates=hot)


async def fill(path: Path, n: int, streams: int) -> None:
    """History, `n` events dealt over `streams` streams."""
    store = SqliteStorage(url(path), now=clock.now)
    await store.open()
    versions = [0] * streams
    for start in range(0, n, 500):
        group = []
        for i in range(start, min(start + 500, n)):
            group.append(request(i, f"order-{i % streams}", versions[i % streams]))
            versions[i % streams] += 1
        for outcome in await store.append(group):
            assert not isinstance(outcome, Exception), outcome
    await store.close()


async def cycle(path: Path, n: int, streams: int, callers: int, hot: int) -> float:
    """Whole commands through `App.send`."""
    async with app(path, hot=hot) as running:

        async def work(first: int) -> None:
            for i in range(first, n, callers):
                await running.send(command(i, str(i % streams)))

        start = time.perf_counter()
        await asyncio.gather(*[work(k) for k in range(callers)])
        return n / (time.perf_counter() - start)


async def dispatch(n: int) -> None:
    """The pipeline and middleware alone: what a command costs before anything is decided."""
    running = App(Order, store="memory:")
    async with running:
        gateway = running._now.gateway
        receipt = Receipt(command_id="", stream="", version=0, position=Position(0), events=(), correlation_id="")

        async def innermost(_: object) -> Receipt:
            return receipt

        from daicho.write.middleware.audit import Audit
        from daicho.write.middleware.idempotency import Idempotency
        from daicho.write.middleware.retry import Retry

        storage = running.storage
        handler = compose([Audit(storage, clock), Retry(clock), Idempotency(storage, None, clock)], innermost)  # type: ignore[arg-type]
        one = gateway.envelope(command(1, "1"))
        for _ in range(n):
            await handler(one)
