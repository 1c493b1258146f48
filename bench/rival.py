"""The same work through the package `eventsourcing` on PostgreSQL, as its documentation has it: synchronous, a thread
for each caller, everything else at its defaults (`POSTGRES_ENABLE_DB_FUNCTIONS` would be faster and loses events)."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate
from eventsourcing.domain import event as recorded_by
from eventsourcing.persistence import IntegrityError, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from bench.measure import Pace, Sample, Store, Work, timed, waits
from bench.model import LineAdded, event
from bench.processes import together

THREADS = 16
"""More of them are no faster: they wait for one table lock."""


class Order(Aggregate):
    def __init__(self) -> None:
        self.lines = 0
        self.total = Decimal(0)

    class LineAdded(Aggregate.Event):
        order_id: str
        customer: str
        placed_at: datetime
        amount: Decimal
        items: list[dict[str, Any]]

    @recorded_by(LineAdded)
    def add(
        self, order_id: str, customer: str, placed_at: datetime, amount: Decimal, items: list[dict[str, Any]]
    ) -> None:
        self.lines += 1
        self.total += amount


class Orders(Application[UUID]):
    log_section_size = 5000


def content(n: int) -> dict[str, Any]:
    added: LineAdded = event(n, f"order-{n}")
    return {
        "order_id": added.order_id,
        "customer": added.customer,
        "placed_at": added.placed_at,
        "amount": added.amount,
        "items": [{"sku": i.sku, "quantity": i.quantity, "price": i.price} for i in added.items],
    }


def line(n: int, order: UUID, version: int) -> Aggregate.Event:
    return Order.LineAdded(originator_id=order, originator_version=version, timestamp=datetime.now(UTC), **content(n))


def environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path[1:],
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": "none",
        "POSTGRES_POOL_SIZE": str(THREADS),
        "POSTGRES_LOCK_TIMEOUT": "30",
        "IS_SNAPSHOTTING_ENABLED": "y",
    }


class Rival:
    def __init__(self, store: Store, pace: Pace) -> None:
        self._store, self._pace = store, pace
        self._kept: list[Orders] = []

    def close(self) -> None:
        while self._kept:
            self._kept.pop().close()

    def _keep(self) -> Orders:
        """One that stays open from round to round."""
        self._kept.append(Orders(environment(self._store.fresh())))
        return self._kept[-1]

    def append_single(self) -> Work:
        return lambda: self._appending(1)

    def append_many(self, events: int) -> Work:
        return lambda: self._appending(events)

    def append_concurrent(self, callers: int) -> Work:
        def work() -> Sample:
            with Orders(environment(self._store.fresh())) as app:
                return _rate(self._pace.seconds, min(callers, THREADS), _appends(app, 1))

        return work

    def append_processes(self, processes: int, callers: int) -> Work:
        def work() -> Sample:
            url = self._store.fresh()
            Orders(environment(url)).close()
            return together(processes, append_in_process, url, self._pace.seconds, max(1, THREADS // processes))

        return work

    def command(self, callers: int, streams: int, hot: bool) -> Work:
        def work() -> Sample:
            settings = environment(self._store.fresh())
            if hot:
                settings["AGGREGATE_CACHE_MAXSIZE"] = "10000"
            with Orders(settings) as app:
                orders = _fill(app, streams * 10, streams)
                if hot:
                    for order in orders:
                        app.repository.get(order)

                def command(caller: int, n: int) -> int:
                    try:
                        order = cast(Order, app.repository.get(orders[(caller + n * callers) % streams]))
                        order.add(**content(n))
                        app.save(order)
                    except (IntegrityError, AggregateNotFoundError):
                        return 0
                    return 1

                return _rate(self._pace.seconds, min(callers, THREADS), command)

        return work

    def rehydrate(self, n: int) -> Work:
        n = self._pace.events(n)
        app = self._keep()
        [order] = _fill(app, n, 1)

        def load() -> None:
            assert cast(Order, app.repository.get(order)).lines == n

        return lambda: timed(n, load)

    def snapshot(self, n: int, tail: int) -> Work:
        app = self._keep()
        [order] = _fill(app, n, 1)
        app.take_snapshot(order)
        state = cast(Order, app.repository.get(order))
        for k in range(tail):
            state.add(**content(k))
        app.save(state)

        def load(_: int, __: int) -> int:
            assert cast(Order, app.repository.get(order)).lines == n + tail
            return 1

        return lambda: _rate(self._pace.seconds, 1, load)

    def catch_up(self, n: int) -> Work:
        n = self._pace.events(n // 5)  # an event costs the same however many there are
        app = self._keep()
        _fill(app, n, 200)

        def read() -> None:
            found, after = 0, 0
            while page := app.notification_log.select(after + 1, limit=5000):
                found += len([app.mapper.to_domain_event(each) for each in page])
                after = page[-1].id
            assert found >= n

        return lambda: timed(n, read)

    def rebuild(self, n: int) -> Work:
        n = self._pace.events(n // 50)
        settings = environment(self._store.fresh())
        with Orders(settings) as app:
            _fill(app, n, 200)
            last = app.recorder.max_notification_id()

        def project() -> Sample:
            start = time.perf_counter()
            with _Projecting(settings) as projecting:
                projecting.wait(last or 0)
                rate = n / (time.perf_counter() - start)
                projecting.view.forget()
            return Sample(rate)

        return project

    project = rebuild

    def latency(self) -> Work:
        """Its own `wait` looks every 100 ms; here the projection itself says how far it has come."""

        def work() -> Sample:
            with _Projecting(environment(self._store.fresh())) as projecting:
                app, took = projecting.app, list[float]()
                orders = _fill(app, 100, 100)
                end, n = time.perf_counter() + self._pace.seconds, 0
                while (start := time.perf_counter()) < end or n < 20:
                    order = cast(Order, app.repository.get(orders[n % 100]))
                    said = content(n)
                    order.add(**said)
                    projecting.wait(app.save(order)[-1].notification.id)
                    assert projecting.view.row(said["customer"])
                    took.append(time.perf_counter() - start)
                    n += 1
            return waits(took[10:])

        return work

    def _appending(self, events: int) -> Sample:
        with Orders(environment(self._store.fresh())) as app:
            return _rate(self._pace.seconds, 1, _appends(app, events))


def _appends(app: Application[UUID], events: int) -> Callable[[int, int], int]:
    put = app.events.put

    def append(_: int, n: int) -> int:
        order = uuid4()
        put([line(n + k, order, k + 1) for k in range(events)])
        return events

    return append


def _rate(seconds: float, threads: int, once: Callable[[int, int], int]) -> Sample:
    """`once(caller, n)` says how much it did."""
    counts, end = [0] * threads, time.perf_counter() + seconds

    def work(caller: int) -> None:
        n = 0
        while time.perf_counter() < end:
            counts[caller] += once(caller, n)
            n += 1

    start = time.perf_counter()
    running = [threading.Thread(target=work, args=(k,)) for k in range(1, threads)]
    for thread in running:
        thread.start()
    work(0)
    for thread in running:
        thread.join()
    return Sample(sum(counts) / (time.perf_counter() - start))


def append_in_process(url: str, seconds: float, threads: int, begin: Callable[[], None]) -> int:
    # the tables are there, and making them in several processes at once fails
    with Orders(environment(url) | {"CREATE_TABLE": "n"}) as app:
        begin()
        start = time.perf_counter()
        rate = _rate(seconds, threads, _appends(app, 1)).value
        return int(rate * (time.perf_counter() - start))


def _fill(app: Application[UUID], n: int, streams: int, page: int = 100) -> Sequence[UUID]:
    """Orders with `n` lines between them."""
    made = [Order() for _ in range(streams)]
    for k, order in enumerate(made):
        for i in range(n // streams):
            order.add(**content(k + i * streams))
    for start in range(0, streams, page):
        app.save(*made[start : start + page])
    return [order.id for order in made]


class Customers(PostgresTrackingRecorder):
    """A view with a row for each customer."""

    def __init__(self, datastore: Any, **settings: Any) -> None:
        super().__init__(datastore, **settings)
        self._table = Identifier("customers")
        self.sql_create_statements.append(
            SQL("create table if not exists {} (customer text primary key, lines bigint, total numeric)").format(
                self._table
            )
        )
        self._upsert = SQL(
            "insert into {} as old values (%s, 1, %s) on conflict (customer) do update set "
            "lines = old.lines + 1, total = old.total + excluded.total"
        ).format(self._table)

    def add(self, customer: str, amount: Decimal, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._upsert, (customer, amount), prepare=True)

    def track(self, tracking: Tracking) -> None:
        self.insert_tracking(tracking)

    def row(self, customer: str) -> Any:
        with self.datastore.transaction() as cursor:
            cursor.execute(
                "select customer, lines, total from customers where customer = %s", (customer,), prepare=True
            )
            return cursor.fetchone()

    def forget(self) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("truncate customers")
            # all but its own note that the table was made for the present version
            forget = SQL("delete from {} where application_name <> %s").format(Identifier(self.tracking_table_name))
            cursor.execute(forget, (self.table_migration_identifier,))


class CustomersProjection(Projection[Customers]):
    name = "customers"
    done = 0
    moved = threading.Condition()

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if isinstance(domain_event, Order.LineAdded):
            self.view.add(domain_event.customer, domain_event.amount, tracking)
        else:
            self.view.track(tracking)
        with self.moved:
            type(self).done = tracking.notification_id
            self.moved.notify_all()


class _Projecting:
    """A running projection, and how far it has come."""

    def __init__(self, settings: dict[str, str]) -> None:
        CustomersProjection.done = 0
        self._runner = ProjectionRunner(
            application_class=Orders, projection_class=CustomersProjection, view_class=Customers, env=settings
        )
        self.app: Orders = self._runner.app
        self.view: Customers = self._runner.view

    def wait(self, position: int) -> None:
        with CustomersProjection.moved:
            if not CustomersProjection.moved.wait_for(lambda: CustomersProjection.done >= position, timeout=120):
                raise TimeoutError(f"the projection stands at {CustomersProjection.done} of {position}")

    def __enter__(self) -> "_Projecting":
        self._runner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._runner.__exit__(*error)
