"""The health of the database itself, and who keeps readers waiting."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from daicho.adapters.stores.postgres.lines import Rows
from daicho.adapters.stores.postgres.location import Location
from daicho.adapters.stores.postgres.queries import queries_for
from daicho.ports.storage import Finding

__all__ = ["look_at"]

_LONG = 5.0  # seconds that a transaction may reasonably be open
_LITTLE_LOCKS = 64

Read = Callable[[str, Sequence[Any]], Awaitable[Rows]]


async def look_at(read: Read, location: Location, pooled: bool) -> list[Finding]:
    queries = queries_for(location.schema)
    [settings] = await read(queries["settings"], ())
    version, synchronous, fsync, full_pages, connections, locks = settings
    findings = [
        Finding(what="PostgreSQL", ok=True, detail=str(version)),
        _durability(synchronous, fsync, full_pages),
        Finding(
            what="connections",
            ok=True,
            detail=f"this process may use {location.pool + 3} of {connections}"
            + (", through a pooler: new events are noticed by asking every 50 ms" if pooled else ""),
        ),
        Finding(
            what="lock table",
            ok=int(locks) >= _LITTLE_LOCKS,
            detail=f"max_locks_per_transaction = {locks}",
            do="" if int(locks) >= _LITTLE_LOCKS else "set it to 256: each tag of an append takes one lock",
        ),
    ]
    [(head, last, events, size)] = await read(queries["size"], ())
    findings.append(
        Finding(what="head", ok=True, detail=f"position {head}, last drawn {last}; about {events} events, {size}")
    )
    findings.append(await _in_flight(read, queries["in_flight"]))
    findings.append(await _foreign(read, queries["long_transactions"]))
    findings.append(await _vacuum(read, queries["vacuum"]))
    return findings


def _durability(synchronous: str, fsync: str, full_pages: str) -> Finding:
    ok = synchronous not in {"off"} and fsync == "on" and full_pages == "on"
    return Finding(
        what="durability",
        ok=ok,
        detail=f"synchronous_commit={synchronous}, fsync={fsync}, full_page_writes={full_pages}: "
        + ("acknowledged events survive a power cut" if ok else "acknowledged events may be lost with the power"),
        do="" if ok else "set all three to on",
    )


async def _in_flight(read: Read, text: str) -> Finding:
    rows = await read(text, ())
    slow = [row for row in rows if row[2] is not None and row[2] > _LONG]
    if not slow:
        return Finding(what="writers", ok=True, detail=f"{len(rows)} in flight, none for longer than {_LONG:g} s")
    pid, application, seconds, state, query = slow[0]
    return Finding(
        what="writers",
        ok=False,
        detail=f"process {pid} ({application or 'unnamed'}) has been appending for {seconds:.0f} s ({state}) and keeps "
        f"readers from seeing anything newer: {query}",
        do=f"end that transaction; if nobody knows whose it is: select pg_terminate_backend({pid})",
    )


async def _foreign(read: Read, text: str) -> Finding:
    rows = await read(text, (_LONG,))
    if not rows:
        return Finding(what="long transactions", ok=True, detail=f"none for longer than {_LONG:g} s")
    pid, application, seconds, state, query = rows[0]
    return Finding(
        what="long transactions",
        ok=True,
        detail=f"{len(rows)}; the oldest is process {pid} ({application or 'unnamed'}), {seconds:.0f} s ({state}): "
        f"{query}. Readers do not wait for it; vacuum does",
    )


async def _vacuum(read: Read, text: str) -> Finding:
    [(age,)] = await read(text, ())
    ok = age < 1_500_000_000
    return Finding(
        what="transaction ids",
        ok=ok,
        detail=f"{age:,} since the last freeze",
        do="" if ok else "let autovacuum finish, or vacuum freeze by hand: at 2 billion the server stops writing",
    )
