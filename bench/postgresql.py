"""The same work on PostgreSQL by hand: psycopg 3, asyncio and msgspec, nothing else, written as well as we can."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any, TypeAlias

import msgspec
import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql

from bench import ours
from bench.measure import Pace, Sample, Work, waits
from bench.model import Customer, Envelope, LineAdded, OrderState, customers, event
from bench.processes import together

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]
Cursor: TypeAlias = AsyncCursor[tuple[Any, ...]]

CONNECTIONS = 16
"""On two cores more of them are no faster, and 256 are slower: what a pool would be set to."""

SCHEMA = """
create table events (
  pos bigint generated always as identity primary key, stream text not null, version integer not null,
  type text not null, data bytea not null, unique (stream, version));
create table customers (key text primary key, customer text not null, lines bigint not null, total numeric not null);
create table checkpoint (pos bigint not null);
insert into checkpoint values (0);
create table snapshots (stream text primary key, version integer not null, state bytea not null);
"""
INSERT = "insert into events (stream, version, type, data) values (%s, %s, %s, %s)"
INSERT_MANY = """insert into events (stream, version, type, data)
select %s, %s + n, %s, convert_to(data, 'UTF8')
from json_array_elements_text(%s::json) with ordinality as e (data, n)"""
INSERT_AND_TELL = f"with new as ({INSERT} returning pos) select pos, pg_notify('events', '') from new"
READ_STREAM = "select version, data from events where stream = %s order by version"
READ_SNAPSHOT = """select s.version, s.state, array(
  select data from events e where e.stream = s.stream and e.version > s.version order by version)
from snapshots s where s.stream = %s"""
READ_STATE = "select version, state from states where stream = %s"
WRITE_STATE = """with kept as (
  update states set version = %s, state = %s::json where stream = %s and version = %s returning stream, version)
insert into events (stream, version, type, data) select stream, version, %s, %s from kept"""
READ_LOG = "select pos, data from events where pos > %s order by pos limit %s"
READ_ENVELOPES = """select position, stream, version, type, schema_version, event_id, occurred_at, recorded_at, actor,
tenant, correlation_id, causation_id, tags, metadata, data
from daicho.events where position > %s order by position limit %s"""
PROJECT = """with moved as (update checkpoint set pos = %s)
insert into customers select customer, customer, lines, total
from json_to_recordset(%s::json) as r (customer text, lines bigint, total numeric)
on conflict (key) do update set lines = excluded.lines, total = excluded.total"""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(LineAdded).decode


class Postgresql:
    """A cluster of the bench's own, on disk: commits cost what they cost."""

    def __init__(self) -> None:
        """Raises `tests.services.find.Unavailable`, which says what is missing."""
        os.environ["DAICHO_SERVICES_SHM"] = "0"
        from tests.services.postgres import postgres  # it needs the development tools
        from tests.services.running import Host

        self._host = Host()
        settings = {  # PostgreSQL's own defaults, instead of what suits tests; and room for many clients
            "shared_buffers": "128MB", "max_wal_size": "2GB", "wal_level": "replica", "wal_log_hints": "off",
            "max_wal_senders": "0", "max_replication_slots": "0", "max_connections": "400",
        }  # fmt: skip
        self._cluster = postgres(self._host, durable=True, **settings)
        self._numbers = count(1)
        self._made: list[str] = []
        with psycopg.connect(self._cluster.url) as connection:
            version = connection.info.server_version
        self.title = (
            f"PostgreSQL {version // 10000}.{version % 10000} (fsync on) beside raw psycopg {psycopg.__version__}"
        )

    def fresh(self) -> str:
        name = f"bench{next(self._numbers)}"
        with psycopg.connect(self._cluster.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        self._made.append(name)
        return f"{self._cluster.url.rpartition('/')[0]}/{name}"

    def clear(self) -> None:
        with psycopg.connect(self._cluster.url, autocommit=True) as connection:
            while self._made:
                name = sql.Identifier(self._made.pop())
                connection.execute(sql.SQL("drop database {} with (force)").format(name))

    def cpu(self) -> float:
        """Of the server's processes, also those that have ended; fields 14 to 17 in proc(5)."""
        from tests.services import guard

        first = self._cluster.pid
        ticks = sum(int(n) for pid in guard.family(first) for n in guard.stat(pid)[11 : 15 if pid == first else 13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self._host.close()


class Raw:
    def __init__(self, store: Postgresql, pace: Pace) -> None:
        self._store, self._pace = store, pace

    def append_single(self) -> Work:
        return lambda: self._run(_append_beside_others, 1)

    def append_many(self, events: int) -> Work:
        return lambda: self._run(_append_many, events)

    def append_concurrent(self, callers: int) -> Work:
        return lambda: self._run(_append_beside_others, min(callers, CONNECTIONS))

    def append_processes(self, processes: int, callers: int) -> Work:
        each = max(1, min(callers, CONNECTIONS) // processes)
        return lambda: together(processes, append_in_process, self._fresh(), self._pace.seconds, each)

    def command(self, callers: int, streams: int, hot: bool) -> Work:
        def work() -> Sample:
            url = self._fresh()
            asyncio.run(fill(url, streams * 10, streams))
            return asyncio.run(_commands(url, self._pace.seconds, streams, min(callers, CONNECTIONS)))

        return work

    def state(self, callers: int, streams: int) -> Work:
        def work() -> Sample:
            return asyncio.run(_kept(self._fresh(), self._pace.seconds, streams, min(callers, CONNECTIONS)))

        return work

    def rehydrate(self, n: int) -> Work:
        n, url = self._pace.events(n), self._fresh()
        asyncio.run(fill(url, n, 1))
        return lambda: asyncio.run(_rehydrate(url, self._pace.seconds / 3, n))

    def snapshot(self, n: int, tail: int) -> Work:
        url = self._fresh()
        asyncio.run(fill(url, n + tail + 1, 1))
        return lambda: asyncio.run(_snapshot(url, self._pace.seconds, n + 1, tail))

    def catch_up(self, n: int) -> Work:
        """Reads what Daicho wrote, all columns, into the same kind of objects."""
        n, url = self._pace.events(n), self._store.fresh()
        asyncio.run(ours.fill(url, n, 1000))
        return lambda: asyncio.run(_catch_up(url, n))

    def rebuild(self, n: int) -> Work:
        return self._projecting(n, page=5000)

    def project(self, n: int) -> Work:
        return self._projecting(n, page=500)

    def latency(self) -> Work:
        return lambda: self._run(_latency)

    def _projecting(self, n: int, page: int) -> Work:
        n, url = self._pace.events(n), self._fresh()
        asyncio.run(fill(url, n, 1000))
        return lambda: asyncio.run(_project(url, n, page))

    def _fresh(self) -> str:
        url = self._store.fresh()
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA)
        return url

    def _run(self, work: Callable[..., Awaitable[Sample]], *arguments: Any) -> Sample:
        async def run() -> Sample:
            return await work(self._fresh(), self._pace.seconds, *arguments)

        return asyncio.run(run())


async def connect(url: str) -> Connection:
    connection = await AsyncConnection.connect(url, autocommit=True, prepare_threshold=0)
    as_bytes = connection.adapters.get_loader(17, psycopg.pq.Format.BINARY)
    assert as_bytes
    connection.adapters.register_loader("json", as_bytes)
    return connection


async def cursors(url: str, many: int) -> list[Cursor]:
    return [(await connect(url)).cursor(binary=True) for _ in range(many)]


async def hang_up(cursors: Sequence[Cursor]) -> None:
    for cursor in cursors:
        await cursor.connection.close()


async def fill(url: str, n: int, streams: int) -> None:
    [cursor] = await cursors(url, 1)
    async with cursor.copy("copy events (stream, version, type, data) from stdin (format binary)") as copy:
        copy.set_types(["text", "int4", "text", "bytea"])
        for i in range(n):
            stream = f"order-{i % streams}"
            await copy.write_row((stream, i // streams + 1, "line.added", encode(event(i, stream))))
    await cursor.execute("vacuum analyze events")
    await hang_up([cursor])


# -- appending


async def _append_beside_others(url: str, seconds: float, callers: int) -> Sample:
    """Each caller has a connection of its own: an insert is a transaction, in one round trip."""
    used = await cursors(url, callers)
    start = time.perf_counter()
    count = await _appends(used, seconds, "")
    rate = count / (time.perf_counter() - start)
    await hang_up(used)
    return Sample(rate)


async def _appends(used: Sequence[Cursor], seconds: float, name: str) -> int:
    end = time.perf_counter() + seconds

    async def work(caller: int) -> int:
        n, execute = 0, used[caller].execute
        while time.perf_counter() < end:
            stream = f"order-{name}{caller}.{n}"
            await execute(INSERT, (stream, 1, "line.added", encode(event(n, stream))))
            n += 1
        return n

    if len(used) == 1:
        return await work(0)
    return sum(await asyncio.gather(*map(work, range(len(used)))))


def append_in_process(url: str, seconds: float, callers: int, begin: Callable[[], None]) -> int:
    async def run() -> int:
        used = await cursors(url, callers)
        begin()
        count = await _appends(used, seconds, f"{os.getpid()}.")
        await hang_up(used)
        return count

    return asyncio.run(run())


async def _append_many(url: str, seconds: float, events: int) -> Sample:
    [cursor] = await cursors(url, 1)
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        stream = f"order-{n}"
        texts = [encode(event(n + k, stream)).decode() for k in range(events)]
        await cursor.execute(INSERT_MANY, (stream, 0, "line.added", encode(texts).decode()))
        n += events
    rate = n / (time.perf_counter() - start)
    await hang_up([cursor])
    return Sample(rate)


# -- commands


async def _commands(url: str, seconds: float, streams: int, callers: int) -> Sample:
    """Read the stream, decode, fold, append on the version found; whoever was overtaken begins again."""
    used = await cursors(url, callers)
    start = time.perf_counter()
    end = start + seconds

    async def work(caller: int) -> int:
        n, execute, fetchall = 0, used[caller].execute, used[caller].fetchall
        while time.perf_counter() < end:
            stream = f"order-{(caller + n * callers) % streams}"
            await execute(READ_STREAM, (stream,))
            version, lines, total = 0, 0, Decimal(0)
            for version, data in await fetchall():  # noqa: B007 - the last version is what is wanted
                added = decode(data)
                lines, total = lines + 1, total + added.amount
            try:
                await execute(INSERT, (stream, version + 1, "line.added", encode(event(n, stream))))
            except psycopg.errors.UniqueViolation:
                continue
            n += 1
        return n

    count = sum(await asyncio.gather(*map(work, range(callers))))
    rate = count / (time.perf_counter() - start)
    await hang_up(used)
    return Sample(rate)


async def _kept(url: str, seconds: float, streams: int, callers: int) -> Sample:
    """Read the row, decode, fold; update it if it has the version found, and insert the event, in one statement."""
    used, decode_state = await cursors(url, callers), msgspec.json.Decoder(OrderState).decode
    await used[0].execute(
        "create table states (stream text primary key, version integer not null, state json not null)"
    )
    await used[0].execute(
        "insert into states select 'order-' || n, 0, %s from generate_series(0, %s) as n",
        (encode(OrderState()).decode(), streams - 1),
    )
    start = time.perf_counter()
    end = start + seconds

    async def work(caller: int) -> int:
        n, execute, fetchone = 0, used[caller].execute, used[caller].fetchone
        while time.perf_counter() < end:
            stream = f"order-{(caller + n * callers) % streams}"
            await execute(READ_STATE, (stream,))
            found = await fetchone()
            assert found is not None
            version, state, added = found[0], decode_state(found[1]), event(n, stream)
            state.lines, state.total = state.lines + 1, state.total + added.amount
            parameters = (version + 1, encode(state).decode(), stream, version, "line.added", encode(added))
            await execute(WRITE_STATE, parameters)
            n += used[caller].rowcount  # else somebody was faster: once more
        return n

    count = sum(await asyncio.gather(*map(work, range(callers))))
    rate = count / (time.perf_counter() - start)
    await hang_up(used)
    return Sample(rate)


# -- reading


async def _rehydrate(url: str, seconds: float, n: int) -> Sample:
    [cursor] = await cursors(url, 1)
    start, times = time.perf_counter(), 0
    while times == 0 or time.perf_counter() - start < seconds:
        lines, total = 0, Decimal(0)
        await cursor.execute(READ_STREAM, ("order-0",))
        for _, data in await cursor.fetchall():
            added = decode(data)
            lines, total = lines + 1, total + added.amount
        assert lines == n
        times += 1
    rate = times * n / (time.perf_counter() - start)
    await hang_up([cursor])
    return Sample(rate)


class Kept(msgspec.Struct):
    lines: int
    total: Decimal


async def _snapshot(url: str, seconds: float, version: int, tail: int) -> Sample:
    """Snapshot and tail in one round trip."""
    [cursor] = await cursors(url, 1)
    state = msgspec.msgpack.encode(Kept(version, Decimal(version)))
    await cursor.execute(
        "insert into snapshots values (%s, %s, %s) on conflict (stream) do nothing", ("order-0", version, state)
    )
    thaw = msgspec.msgpack.Decoder(Kept).decode
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        await cursor.execute(READ_SNAPSHOT, ("order-0",))
        [(_, frozen, following)] = await cursor.fetchall()
        kept = thaw(frozen)
        for data in following:
            added = decode(data)
            kept.lines, kept.total = kept.lines + 1, kept.total + added.amount
        assert kept.lines == version + tail
        times += 1
    rate = times / (time.perf_counter() - start)
    await hang_up([cursor])
    return Sample(rate)


async def _catch_up(url: str, n: int, page: int = 5000) -> Sample:
    [cursor] = await cursors(url, 1)
    moment = datetime.fromisoformat
    details, tagged = msgspec.json.Decoder(dict[str, str]).decode, msgspec.json.Decoder(tuple[str, ...]).decode
    start, pos, found = time.perf_counter(), 0, 0
    while True:
        await cursor.execute(READ_ENVELOPES, (pos, page))
        rows = await cursor.fetchall()
        if not rows:
            break
        kept = [
            Envelope(
                p, s, v, t, sv, e, moment(o), moment(r), a, te, co, ca, tagged(g) if g else (), details(m), decode(d)
            )
            for p, s, v, t, sv, e, o, r, a, te, co, ca, g, m, d in rows
        ]
        found, pos = found + len(kept), rows[-1][0]
    rate = found / (time.perf_counter() - start)
    assert found == n
    await hang_up([cursor])
    return Sample(rate)


# -- projecting


async def _project(url: str, n: int, page: int) -> Sample:
    """Exactly once: a page's rows and the checkpoint in one statement, one transaction."""
    [cursor] = await cursors(url, 1)
    await cursor.execute("truncate customers")
    pos, found, fold = 0, 0, customers.fold
    cache: dict[str, Customer | None] = {}
    start = time.perf_counter()
    while True:
        await cursor.execute(READ_LOG, (pos, page))
        rows = await cursor.fetchall()
        if not rows:
            break
        changed: dict[str, Customer | None] = {}
        for _, data in rows:
            added = decode(data)
            key = added.customer
            cache[key] = changed[key] = fold(cache.get(key), added)
        pos, found = rows[-1][0], found + len(rows)
        await cursor.execute(PROJECT, (pos, encode(list(changed.values())).decode()))
    rate = found / (time.perf_counter() - start)
    assert found == n
    await hang_up([cursor])
    return Sample(rate)


async def _latency(url: str, seconds: float) -> Sample:
    """Append and notify; hear of it, read, fold, write row and checkpoint; read the row."""
    writer, listener, projector, reader = await cursors(url, 4)
    await listener.execute("listen events")
    seen, moved, cache = 0, asyncio.Event(), dict[str, Customer | None]()

    async def project() -> None:
        nonlocal seen, moved
        async for _ in listener.connection.notifies():
            await projector.execute(READ_LOG, (seen, 500))
            rows = await projector.fetchall()
            if not rows:
                continue
            changed: dict[str, Customer | None] = {}
            for _, data in rows:
                added = decode(data)
                cache[added.customer] = changed[added.customer] = customers.fold(cache.get(added.customer), added)
            await projector.execute(PROJECT, (rows[-1][0], encode(list(changed.values())).decode()))
            seen = rows[-1][0]
            moved.set()
            moved = asyncio.Event()

    projecting = asyncio.create_task(project())
    took = list[float]()
    end, n = time.perf_counter() + seconds, 0
    while (start := time.perf_counter()) < end or n < 20:
        stream = f"order-{n % 100}"
        added = event(n, stream)
        await writer.execute(INSERT_AND_TELL, (stream, n // 100 + 1, "line.added", encode(added)))
        [(position, _)] = await writer.fetchall()
        while seen < position:
            await moved.wait()
        await reader.execute("select customer, lines, total from customers where key = %s", (added.customer,))
        row = Customer(**dict(zip(("customer", "lines", "total"), (await reader.fetchall())[0], strict=True)))
        assert row.lines
        took.append(time.perf_counter() - start)
        n += 1
    projecting.cancel()
    await asyncio.wait([projecting])
    await hang_up([writer, listener, projector, reader])
    return waits(took[10:])
