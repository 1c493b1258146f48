"""The same work on SQLite by hand: apsw and msgspec, nothing else, written as well as we can."""

import asyncio
import tempfile
import threading
import time
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path

import apsw
import msgspec

from bench import ours
from bench.measure import Pace, Sample, Work, timed
from bench.model import Customer, Envelope, LineAdded, OrderState, customers, event

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(LineAdded).decode

SCHEMA = """
create table events(
  pos integer primary key, stream text not null, version integer not null, type text not null, data text not null,
  unique(stream, version));
create table customers(key text primary key, customer text, lines integer, total text);
create table checkpoint(pos integer);
insert into checkpoint values(0);
"""
INSERT = "insert into events(stream, version, type, data) values(?, ?, ?, ?)"


class Sqlite:
    title = f"SQLite {apsw.sqlite_lib_version()} (WAL, synchronous=FULL) beside raw apsw"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="daicho-bench-")
        self._numbers = count(1)

    def path(self) -> Path:
        return Path(self._folder.name, f"{next(self._numbers)}.db")

    def fresh(self) -> str:
        return f"sqlite:///{self.path()}"

    def clear(self) -> None:
        for path in Path(self._folder.name).iterdir():
            path.unlink()

    def cpu(self) -> float:
        return 0.0

    def close(self) -> None:
        self._folder.cleanup()


class Raw:
    def __init__(self, store: Sqlite, pace: Pace) -> None:
        self._store, self._pace = store, pace

    def append_single(self) -> Work:
        return lambda: append_many(self._store.path(), self._pace.seconds, 1)

    def append_many(self, events: int) -> Work:
        return lambda: append_many(self._store.path(), self._pace.seconds, events)

    def append_concurrent(self, callers: int) -> Work:
        return lambda: append_threads(self._store.path(), self._pace.seconds, callers)

    def command(self, callers: int, streams: int, hot: bool) -> Work:
        """One caller, however many there are on the other side: more of them only wait for each other."""

        def work() -> Sample:
            path = self._store.path()
            fill(create(path), streams * 10, streams)
            return cycle(connect(path), self._pace.seconds, streams)

        return work

    def state(self, callers: int, streams: int) -> Work:
        """One caller: read the row, decode, fold, write event and row with a look at the version, in a transaction."""

        def work() -> Sample:
            path = self._store.path()
            connection = create(path)
            connection.execute("create table states(stream text primary key, version integer, state text)")
            rows = [(f"order-{n}", 0, encode(OrderState()).decode()) for n in range(streams)]
            with connection:
                connection.executemany("insert into states values(?, ?, ?)", rows)
            return kept_cycle(connect(path), self._pace.seconds, streams)

        return work

    def rehydrate(self, n: int) -> Work:
        n, connection = self._pace.events(n), create(self._store.path())
        fill(connection, n, 1)
        return lambda: timed(n, lambda: rehydrate(connection, "order-0"))

    def catch_up(self, n: int) -> Work:
        """Reads what Daicho wrote, all columns, into the same kind of objects."""
        n, path = self._pace.events(n), self._store.path()
        asyncio.run(ours.fill(f"sqlite:///{path}", n, 1000))
        return lambda: timed(n, lambda: catch_up(path))

    def rebuild(self, n: int) -> Work:
        return self._projecting(n, page=5000)

    def project(self, n: int) -> Work:
        return self._projecting(n, page=500)

    def _projecting(self, n: int, page: int) -> Work:
        n, connection = self._pace.events(n), create(self._store.path())
        fill(connection, n, 1000)

        def work() -> Sample:
            connection.execute("delete from customers")
            return timed(n, lambda: project(connection, page))

        return work


def connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(30_000)
    for pragma in ("journal_mode=wal", "synchronous=full", "temp_store=memory"):
        connection.execute(f"pragma {pragma}")
    return connection


def create(path: Path) -> apsw.Connection:
    connection = connect(path)
    connection.execute(SCHEMA)
    return connection


def append_many(path: Path, seconds: float, events: int) -> Sample:
    connection = create(path)
    cursor = connection.cursor()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        stream = f"order-{n}"
        if events == 1:
            cursor.execute(INSERT, (stream, 1, "line.added", encode(event(n, stream)).decode()))
        else:
            with connection:
                cursor.executemany(
                    INSERT,
                    [(stream, k + 1, "line.added", encode(event(n + k, stream)).decode()) for k in range(events)],
                )
        n += events
    return Sample(n / (time.perf_counter() - start))


def append_threads(path: Path, seconds: float, threads: int) -> Sample:
    """As many threads as callers, each with a connection of its own: what one writes without a group commit."""
    create(path).close()
    cursors = [connect(path).cursor() for _ in range(threads)]
    counts = [0] * threads
    end = time.perf_counter() + seconds

    def work(caller: int) -> None:
        cursor, n = cursors[caller], 0
        while time.perf_counter() < end:
            stream = f"order-{caller}.{n}"
            cursor.execute("begin immediate")
            cursor.execute(INSERT, (stream, 1, "line.added", encode(event(n, stream)).decode()))
            cursor.execute("commit")
            n += 1
        counts[caller] = n

    running = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
    start = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return Sample(sum(counts) / (time.perf_counter() - start))


def fill(connection: apsw.Connection, n: int, streams: int) -> None:
    rows = [
        (f"order-{i % streams}", i // streams + 1, "line.added", encode(event(i, f"o-{i % streams}")).decode())
        for i in range(n)
    ]
    with connection:
        connection.executemany(INSERT, rows)


def cycle(connection: apsw.Connection, seconds: float, streams: int) -> Sample:
    """Read the stream, decode, fold, append on the version found."""
    cursor = connection.cursor()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        stream = f"order-{n % streams}"
        version, lines, total = 0, 0, Decimal(0)
        for version, data in cursor.execute(  # noqa: B007 - the last version is what is wanted
            "select version, data from events where stream=? order by version", (stream,)
        ):
            added = decode(data)
            lines, total = lines + 1, total + added.amount
        cursor.execute(INSERT, (stream, version + 1, "line.added", encode(event(n, stream)).decode()))
        n += 1
    return Sample(n / (time.perf_counter() - start))


def kept_cycle(connection: apsw.Connection, seconds: float, streams: int) -> Sample:
    cursor, decode_state = connection.cursor(), msgspec.json.Decoder(OrderState).decode
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        stream = f"order-{n % streams}"
        [(version, text)] = cursor.execute("select version, state from states where stream=?", (stream,))
        state, added = decode_state(text), event(n, stream)
        state.lines, state.total = state.lines + 1, state.total + added.amount
        cursor.execute("begin immediate")
        cursor.execute(
            "update states set version=?, state=? where stream=? and version=?",
            (version + 1, encode(state).decode(), stream, version),
        )
        assert connection.changes() == 1
        cursor.execute(INSERT, (stream, version + 1, "line.added", encode(added).decode()))
        cursor.execute("commit")
        n += 1
    return Sample(n / (time.perf_counter() - start))


def rehydrate(connection: apsw.Connection, stream: str) -> tuple[int, Decimal]:
    lines, total = 0, Decimal(0)
    for (data,) in connection.execute("select data from events where stream=? order by version", (stream,)):
        added = decode(data)
        lines, total = lines + 1, total + added.amount
    return lines, total


def catch_up(path: Path, page: int = 1000) -> int:
    connection = connect(path)
    pos = found = 0
    moment, details, tagged = (
        datetime.fromisoformat,
        msgspec.json.Decoder(dict[str, str]).decode,
        msgspec.json.Decoder(tuple[str, ...]).decode,
    )
    while rows := connection.execute(
        "select position, stream, version, type, schema_version, event_id, occurred_at, recorded_at, actor, tenant, "
        "correlation_id, causation_id, tags, metadata, data from events where position>? order by position limit ?",
        (pos, page),
    ).fetchall():
        kept = [
            Envelope(
                p, s, v, t, sv, e, moment(o), moment(r), a, n, co, ca, tagged(g) if g else (), details(m), decode(d)
            )
            for p, s, v, t, sv, e, o, r, a, n, co, ca, g, m, d in rows
        ]
        found += len(kept)
        pos = rows[-1][0]
    connection.close()
    return found


def project(connection: apsw.Connection, page: int) -> None:
    """Exactly once: rows and checkpoint in one transaction a page."""
    pos, fold = 0, customers.fold
    cache: dict[str, Customer | None] = {}
    while rows := connection.execute(
        "select pos, data from events where pos>? order by pos limit ?", (pos, page)
    ).fetchall():
        changed: dict[str, Customer | None] = {}
        for _, data in rows:
            added = decode(data)
            key = added.customer
            cache[key] = changed[key] = fold(cache.get(key), added)
        pos = rows[-1][0]
        with connection:
            connection.executemany(
                "insert into customers values(?,?,?,?) "
                "on conflict(key) do update set lines=excluded.lines, total=excluded.total",
                [(k, r.customer, r.lines, str(r.total)) for k, r in changed.items() if r],
            )
            connection.execute("update checkpoint set pos=?", (pos,))
