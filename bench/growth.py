"""Whether an append costs the same at the beginning and behind millions of events.

The store is filled by SQL, with rows as appends leave them, in chunks; at each step appends, commands and decisions on
tags are measured. The figures must be flat.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from bench import ours
from bench.measure import Pace, Sample, Store, Watch, rounds
from bench.model import event
from daicho.core.conditions import AppendCondition, Criteria
from daicho.core.errors import ConcurrencyError
from daicho.ports.event_store import AppendRequest, Selection, StreamWrite
from daicho.ports.storage import Storage

CHUNK = 200_000
SMALL = 20_000
PER_STREAM = 10
CUSTOMERS = 20_000
"""Each event carries its order and its customer as tags; a customer has as many more events as the store grows."""

FILL = """
with drawn as materialized (
  select n, nextval('daicho.daicho_positions') as position, n / {per_stream} as o, mod(n, {customers}) as c,
    lpad(to_hex(n), 12, '0') as hex
  from generate_series(%(first)s::bigint, %(last)s::bigint) as n
), stored as (
  insert into daicho.events
  select position, 'grown-' || o, mod(n, {per_stream}) + 1, 'line.added', 1,
    left(hex, 8) || '-' || right(hex, 4) || '-8' || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3)
      || '-' || substr(md5(n::text), 7, 12),
    '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z', null, null,
    left(hex, 8) || '-' || right(hex, 4) || '-7000-8000-000000000000',
    left(hex, 8) || '-' || right(hex, 4) || '-7000-8000-000000000000',
    json_build_array('order:' || o, 'customer:' || c), '{{"command":"AddLine"}}',
    replace(%(data)s, '#', o::text)::json, null
  from drawn
)
insert into daicho.event_tags
select tag, position, 'line.added' from drawn, lateral (values ('order:' || o), ('customer:' || c)) as t (tag)
"""


def growth(store: Store, pace: Pace, events: int, console: Console) -> list[dict[str, Any]]:
    """At a tenth of `events` and at all of them, in turn with a store that stays small: what counts is the ratio."""
    small, url = store.fresh(), store.fresh()
    if not url.startswith("postgresql:"):
        console.print("growth is measured on postgresql only")
        return []
    for each in (small, url):
        asyncio.run(_create(each))
    fill(small, 0, SMALL)
    table = Table(title=f"Daicho on {store.title}: beside a store of {SMALL:,} events", title_justify="left")
    for name in ("events", *MEASURES, "fill /s", "MB"):
        table.add_column(name, justify="right")
    found: list[dict[str, Any]] = []
    before = 0
    for size in (SMALL, max(SMALL, events // 10), max(SMALL, events)):
        filled, before = fill(url, before, size), size
        row: dict[str, Any] = {"events": size, "fill": filled, "megabytes": _megabytes(url)}
        shown: list[str] = []
        for name, measure in MEASURES.items():
            sides = {
                side: partial(lambda where, what: asyncio.run(_run(where, pace, what)), where, measure)
                for side, where in (("small", small), ("grown", url))
            }
            taken = rounds(sides, 3)
            rate = statistics.median(sample.value for sample in taken["grown"])
            ratio = statistics.median(g.value / s.value for g, s in zip(taken["grown"], taken["small"], strict=True))
            row[name] = {"rate": rate, "ratio": ratio}
            shown.append(f"{rate:,.0f} ({ratio:.2f})")
        found.append(row)
        table.add_row(f"{size:,}", *shown, f"{filled:,.0f}" if filled else "", f"{row['megabytes']:,.0f}")
        console.print(f"{size:,} events: {', '.join(shown)}", style="dim")
    console.print(table)
    return found


async def _create(url: str) -> None:
    await (await ours.opened(url)).close()


def fill(url: str, before: int, size: int) -> float:
    """Adds events `before` to `size`; returns how many came in a second."""
    data = ours.encode(event(7, "#")).decode()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute("set work_mem = '64MB'")
        start = time.perf_counter()
        text = FILL.format(per_stream=PER_STREAM, customers=CUSTOMERS)
        for first in range(before, size, CHUNK):
            connection.execute(text, {"first": first, "last": min(first + CHUNK, size) - 1, "data": data})
        took = time.perf_counter() - start
        connection.execute("vacuum analyze daicho.events")
        connection.execute("vacuum analyze daicho.event_tags")
        connection.execute("checkpoint")
    return (size - before) / took if size > before else 0.0


def _megabytes(url: str) -> float:
    with psycopg.connect(url) as connection:
        [(size,)] = connection.execute("select pg_database_size(current_database())").fetchall()
    return float(size) / 1e6


async def _run(url: str, pace: Pace, measure: Callable[[Storage, float], Any]) -> Sample:
    store = await ours.opened(url)
    try:
        found: Sample = await measure(store, pace.seconds)
    finally:
        await store.close()
    return found


async def append(store: Storage, seconds: float) -> Sample:
    n, end, name = 0, time.perf_counter() + seconds, ours.clock.new_id()
    with Watch() as watch:
        while time.perf_counter() < end:
            [outcome] = await store.append([ours.request(n, f"order-{name}.{n}", 0)])
            assert not isinstance(outcome, Exception), outcome
            n += 1
    return watch.rate(n)


async def append_64(store: Storage, seconds: float) -> Sample:
    with Watch() as watch:
        count = await ours.callers(store, seconds, 64, ours.clock.new_id())
    return watch.rate(count)


async def decide(store: Storage, seconds: float) -> Sample:
    """Read an order's ten events by tag, and append one more if nothing else came meanwhile."""
    n, end, name = 0, time.perf_counter() + seconds, ours.clock.new_id()
    with Watch() as watch:
        while time.perf_counter() < end:
            tag = f"order:{n * 7919 % (SMALL // PER_STREAM)}"
            criteria = Criteria(tags=[tag])
            head = await store.head()
            seen = await store.read(Selection(criteria=criteria, beyond_head=True), limit=1000)
            new = ours.new_event(n, f"decided-{name}.{n}", tags=("decided",))
            [outcome] = await store.append(
                [
                    AppendRequest(
                        writes=(StreamWrite(stream=f"decided-{name}.{n}", events=(new,)),),
                        condition=AppendCondition(
                            criteria=criteria, after=head, seen=tuple(e.position for e in seen if e.position > head)
                        ),
                    )
                ]
            )
            if isinstance(outcome, Exception) and not isinstance(outcome, ConcurrencyError):
                raise outcome
            n += 1
    return watch.rate(n)


async def read_stream(store: Storage, seconds: float) -> Sample:
    n, end = 0, time.perf_counter() + seconds
    with Watch() as watch:
        while time.perf_counter() < end:
            await store.read_narrow(Selection(stream=f"grown-{n * 7919 % (SMALL // PER_STREAM)}"), limit=128)
            n += 1
    return watch.rate(n)


async def read_newest(store: Storage, seconds: float) -> Sample:
    """What a live projection does: the events behind a place near the head."""
    n, end = 0, time.perf_counter() + seconds
    with Watch() as watch:
        while time.perf_counter() < end:
            head = await store.head()
            await store.read(Selection(after=max(0, head - 10), up_to=head), limit=500)
            n += 1
    return watch.rate(n)


MEASURES: dict[str, Callable[[Storage, float], Any]] = {
    "append": append,
    "append, 64 callers": append_64,
    "read 10 by tag + conditional append": decide,
    "read a stream": read_stream,
    "read at the head": read_newest,
}
