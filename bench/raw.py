"""The same work by hand: apsw and msgspec, nothing else, written as well as we can."""

import threading
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import apsw
import msgspec

from bench.model import Customer, LineAdded, customers, event

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


def append_single(path: Path, n: int) -> float:
    cursor = create(path).cursor()
    start = time.perf_counter()
    for i in range(n):
        cursor.execute(INSERT, (f"order-{i}", 1, "line.added", encode(event(i, f"o-{i}")).decode()))
    return n / (time.perf_counter() - start)


def append_threads(path: Path, n: int, threads: int) -> float:
    """As many threads as callers, each with a connection of its own: what one writes without a group commit."""
    create(path).close()
    cursors = [connect(path).cursor() for _ in range(threads)]

    def work(first: int) -> None:
        cursor = cursors[first]
        for i in range(first, n, threads):
            cursor.execute("begin immediate")
            cursor.execute(INSERT, (f"order-{i}", 1, "line.added", encode(event(i, f"o-{i}")).decode()))
            cursor.execute("commit")

    running = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
    start = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return n / (time.perf_counter() - start)


def fill(connection: apsw.Connection, n: int, streams: int) -> None:
    rows = [
        (f"order-{i % streams}", i // streams + 1, "line.added", encode(event(i, f"o-{i % streams}")).decode())
        for i in range(n)
    ]
    with connection:
        connection.executemany(INSERT, rows)


def cycle(path: Path, connection: apsw.Connection, n: int, streams: int) -> None:
    """Read the stream, decode, fold, append on the version found."""
    cursor = connection.cursor()
    for i in range(n):
        stream = f"order-{i % streams}"
        version, lines, total = 0, 0, Decimal(0)
        for version, data in cursor.execute(  # noqa: B007 - the last version is what is wanted
            "select version, data from events where stream=? order by version", (stream,)
        ):
            added = decode(data)
            lines, total = lines + 1, total + added.amount
        cursor.execute(INSERT, (stream, version + 1, "line.added", encode(event(i, stream)).decode()))


def rehydrate(connection: apsw.Connection, stream: str) -> tuple[int, Decimal]:
    lines, total = 0, Decimal(0)
    for (data,) in connection.execute("select data from events where stream=? order by version", (stream,)):
        added = decode(data)
        lines, total = lines + 1, total + added.amount
    return lines, total


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What a reader of the log wants to know of each event."""

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str | None
    tenant: str | None
    correlation_id: str
    causation_id: str
    tags: tuple[str, ...]
    metadata: dict[str, str]
    event: LineAdded


def catch_up(path: Path, page: int = 1000) -> int:
    """Reads a file that Daicho wrote, all columns, into the same kind of objects."""
    connection = connect(path)
    pos = count = 0
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
        count += len(kept)
        pos = rows[-1][0]
    connection.close()
    return count


def project(connection: apsw.Connection, page: int = 5000) -> None:
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
