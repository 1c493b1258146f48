"""The workloads through Daicho: the same code on every store."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.measure import Pace, Sample, Store, Watch, Work, waits
from bench.model import GetCustomer, KeptOrder, Order, command, customers, event, get_customer
from bench.processes import together
from daicho import App, Position, Receipt
from daicho.adapters.clock import SystemClock
from daicho.core.codec import encoder_for
from daicho.core.ids import event_ids
from daicho.core.times import to_text
from daicho.ports.event_store import AppendRequest, NewEvent, StreamWrite
from daicho.ports.storage import Storage
from daicho.wiring.urls import open_storage
from daicho.write.appending import Appender
from daicho.write.middleware.audit import Audit
from daicho.write.middleware.idempotency import Idempotency
from daicho.write.middleware.retry import Retry
from daicho.write.pipeline import compose

encode = encoder_for("json")
clock = SystemClock()
HOT = 10_000


def new_events(n: int, stream: str, count: int, tags: tuple[str, ...] = ()) -> tuple[NewEvent, ...]:
    """What one command led to, as the App makes it: of one command, at one moment."""
    command_id, occurred_at = clock.new_id(), to_text(clock.now())
    return tuple(
        [
            NewEvent(
                event_id=id_,
                type="line.added",
                schema_version=1,
                data=encode(event(n + k, stream)),
                occurred_at=occurred_at,
                correlation_id=command_id,
                causation_id=command_id,
                tags=tags,
            )
            for k, id_ in enumerate(event_ids(command_id, command_id, count))
        ]
    )


def new_event(n: int, stream: str, tags: tuple[str, ...] = ()) -> NewEvent:
    return new_events(n, stream, 1, tags)[0]


def request(n: int, stream: str, expected: int, events: int = 1) -> AppendRequest:
    new = new_events(n, stream, events)
    return AppendRequest(writes=(StreamWrite(stream=stream, events=new, expected=expected),))


class Daicho:
    def __init__(self, store: Store, pace: Pace) -> None:
        self._store, self._pace = store, pace

    def append_single(self) -> Work:
        return lambda: self._appending(1)

    def append_many(self, events: int) -> Work:
        return lambda: self._appending(events)

    def append_concurrent(self, callers: int) -> Work:
        return lambda: asyncio.run(_concurrent(self._store.fresh(), self._pace.seconds, callers))

    def append_processes(self, processes: int, callers: int) -> Work:
        def work() -> Sample:
            url = self._store.fresh()
            asyncio.run(_opened_once(url))
            return together(processes, append_beside_others, url, self._pace.seconds, callers)

        return work

    def command(self, callers: int, streams: int, hot: bool) -> Work:
        def work() -> Sample:
            url = self._store.fresh()
            asyncio.run(fill(url, streams * 10, streams))
            return asyncio.run(_commands(url, self._pace.seconds, streams, callers, HOT if hot else 0))

        return work

    def state(self, callers: int, streams: int) -> Work:
        """Each command loads the row, decides, and writes it with its event."""

        def work() -> Sample:
            url = self._store.fresh()
            return asyncio.run(_commands(url, self._pace.seconds, streams, callers, 0, KeptOrder))

        return work

    def rehydrate(self, n: int) -> Work:
        n = self._pace.events(n)
        url = self._store.fresh()
        asyncio.run(fill(url, n, 1))

        async def load(app: App) -> Sample:
            times, end = 0, time.perf_counter() + self._pace.seconds / 3
            with Watch() as watch:
                while times == 0 or time.perf_counter() < end:
                    order = await app.load(Order, "0", at=n)
                    assert order.lines == n
                    times += 1
            return watch.rate(times * n)

        return lambda: asyncio.run(_in_app(_app(url), load))

    def snapshot(self, n: int, tail: int) -> Work:
        """A state out of a snapshot at version `n` and `tail` events."""
        url = self._store.fresh()
        asyncio.run(fill(url, n, 1))

        async def take(app: App) -> Sample:
            # the snapshot is due at the first command after loading the history; the tail comes after it
            for k in range(tail + 1):
                await app.send(command(k, "0"))
            return Sample(0)

        asyncio.run(_in_app(_app(url), take))

        async def load(app: App) -> Sample:
            times, end = 0, time.perf_counter() + self._pace.seconds
            with Watch() as watch:
                while time.perf_counter() < end:
                    order = await app.load(Order, "0")
                    assert order.lines == n + tail + 1
                    times += 1
            return watch.rate(times)

        return lambda: asyncio.run(_in_app(_app(url), load))

    def catch_up(self, n: int) -> Work:
        n = self._pace.events(n)
        url = self._store.fresh()
        asyncio.run(fill(url, n, 1000))

        async def read(app: App) -> Sample:
            count = 0
            with Watch() as watch:
                async for _ in app.events():
                    count += 1
            assert count == n
            return watch.rate(n)

        return lambda: asyncio.run(_in_app(_app(url), read))

    def rebuild(self, n: int) -> Work:
        n = self._pace.events(n)
        url = self._store.fresh()
        asyncio.run(fill(url, n, 1000))

        async def go(app: App) -> Sample:
            await app.settle(within=300)
            with Watch() as watch:
                async for _ in app.rebuild("customers"):
                    pass
            return watch.rate(n)

        return lambda: asyncio.run(_in_app(_app(url, projecting=True), go))

    def project(self, n: int) -> Work:
        """A projection that is new to a store with `n` events."""
        n = self._pace.events(n)

        def work() -> Sample:
            url = self._store.fresh()
            asyncio.run(fill(url, n, 1000))

            async def go() -> Sample:
                with Watch() as watch:
                    async with _app(url, projecting=True) as app:
                        await app.settle(within=300)
                return watch.rate(n)

            return asyncio.run(go())

        return work

    def latency(self) -> Work:
        """From sending a command to having read the row that it changed."""

        async def go(app: App) -> Sample:
            took = list[float]()
            end, n = time.perf_counter() + self._pace.seconds, 0
            with Watch():
                while (start := time.perf_counter()) < end or n < 20:
                    sent = command(n, str(n % 100))
                    receipt = await app.send(sent)
                    row = await app.ask(GetCustomer(customer=sent.customer), after=receipt)
                    assert row is not None
                    took.append(time.perf_counter() - start)
                    n += 1
            return waits(took[10:])

        return lambda: asyncio.run(_in_app(_app(self._store.fresh(), projecting=True), go))

    def _appending(self, events: int) -> Sample:
        return asyncio.run(_single(self._store.fresh(), self._pace.seconds, events))


def _app(url: str, *, hot: int = HOT, projecting: bool = False) -> App:
    parts = (Order, customers, get_customer) if projecting else (Order,)
    return App(*parts, store=url, hot_aggregates=hot)


async def _in_app(app: App, work: Callable[[App], Awaitable[Sample]]) -> Sample:
    async with app:
        return await work(app)


async def opened(url: str) -> Storage:
    store = open_storage(url, clock)
    await store.open()
    return store


async def _opened_once(url: str) -> None:
    await (await opened(url)).close()


async def _single(url: str, seconds: float, events: int) -> Sample:
    store = await opened(url)
    n, end = 0, time.perf_counter() + seconds
    with Watch() as watch:
        while time.perf_counter() < end:
            [outcome] = await store.append([request(n, f"order-{n}", 0, events)])
            assert not isinstance(outcome, Exception), outcome
            n += events
    await store.close()
    return watch.rate(n)


async def _concurrent(url: str, seconds: float, many: int) -> Sample:
    store = await opened(url)
    with Watch() as watch:
        count = await callers(store, seconds, many, "")
    await store.close()
    return watch.rate(count)


async def callers(store: Storage, seconds: float, many: int, name: str) -> int:
    appender, end = Appender(store), time.perf_counter() + seconds

    async def work(caller: int) -> int:
        n = 0
        while time.perf_counter() < end:
            await appender.submit(request(n, f"order-{name}{caller}.{n}", 0))
            n += 1
        return n

    count = sum(await asyncio.gather(*map(work, range(many))))
    await appender.close()
    return count


def append_beside_others(url: str, seconds: float, many: int, begin: Callable[[], None]) -> int:
    """What one of several processes does."""

    async def run() -> int:
        store = await opened(url)
        begin()
        count = await callers(store, seconds, many, clock.new_id())
        await store.close()
        return count

    return asyncio.run(run())


async def fill(url: str, n: int, streams: int) -> None:
    """History, `n` events dealt over `streams` streams."""
    store = await opened(url)
    await put(store, n, streams)
    await store.close()


async def put(store: Storage, n: int, streams: int) -> None:
    """The same, into a store that is open."""
    versions = [0] * streams
    for start in range(0, n, 500):
        writes: dict[str, list[NewEvent]] = {}
        for i in range(start, min(start + 500, n)):
            writes.setdefault(f"order-{i % streams}", []).append(new_event(i, f"order-{i % streams}"))
        group: list[AppendRequest] = []
        for stream, events in writes.items():
            k = int(stream.removeprefix("order-"))
            group.append(
                AppendRequest(writes=(StreamWrite(stream=stream, events=tuple(events), expected=versions[k]),))
            )
            versions[k] += len(events)
        for outcome in await store.append(group):
            assert not isinstance(outcome, Exception), outcome


async def _commands(
    url: str, seconds: float, streams: int, callers: int, hot: int, part: type[Order] = Order
) -> Sample:
    """Whole commands through `App.send`; of each stream one at a time."""
    async with App(part, store=url, hot_aggregates=hot) as running:
        if hot:
            for k in range(streams):
                await running._now.write.repository.fetch(running._behaviour(Order), f"order-{k}")
        end = time.perf_counter() + seconds

        async def work(caller: int) -> int:
            n = 0
            while time.perf_counter() < end:
                await running.send(command(n, str((caller + n * callers) % streams)))
                n += 1
            return n

        with Watch() as watch:
            count = sum(await asyncio.gather(*map(work, range(callers))))
        return watch.rate(count)


async def dispatch(n: int) -> float:
    """Microseconds of the pipeline and middleware alone: what a command costs before anything is decided."""
    async with App(Order, store="memory:") as running:
        receipt = Receipt(command_id="", stream="", version=0, position=Position(0), events=(), correlation_id="")

        async def innermost(_: object) -> Receipt:
            return receipt

        storage = running.storage
        handler = compose([Audit(storage, clock), Retry(clock), Idempotency(storage, None, clock)], innermost)  # type: ignore[arg-type]
        one = running._now.write.gateway.envelope(command(1, "1"))
        start = time.perf_counter()
        for _ in range(n):
            await handler(one)
        return (time.perf_counter() - start) / n * 1e6
