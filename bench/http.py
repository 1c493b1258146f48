"""Requests per second over HTTP, and how long they take: Daicho beside the same work by hand and beside another stack.

python -m bench http [--store sqlite|postgresql] [--quick] [--without-rival]

Every side is a server process of its own with one event loop (uvicorn, httptools, uvloop), and the load comes from
another process, by a bare client of asyncio with keep-alive. `raw` is Starlette with apsw or psycopg, written by hand:
one insert and its commit for a command, one indexed read for a query. It decides nothing, checks no version and keeps
no read model in step, so it is a limit, not a rival. `eventsourcing` is FastAPI with the package of that name on the
same database, its aggregate for the command and its repository for the query.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import Pace, Store

__all__ = ["http"]

LEVELS = (1, 16, 64, 256)
"""Connections at once."""
CUSTOMERS = 200
LIMIT = 0.100
"""Seconds that 99 of 100 queries must be under, at the highest load."""
ROOT = Path(__file__).parents[1]


class Line(msgspec.Struct, kw_only=True):
    """One side at one level of load."""

    side: str
    what: str
    connections: int
    per_second: float
    p50: float
    """Seconds."""
    p99: float
    failed: int


def http(name: str, store: Store, pace: Pace, console: Console, *, with_rival: bool) -> list[dict[str, Any]]:
    """Measures all sides on one store, and prints the table."""
    sides = ["raw", "daicho", *(["eventsourcing"] if with_rival else [])]
    found: list[Line] = []
    for side in sides:
        try:
            with serving(side, store.fresh()) as port:
                for what in ("command", "query"):
                    for connections in LEVELS:
                        found.append(load(side, what, connections, port, max(1.0, 2 * pace.seconds)))
        except Missing as missing:
            console.print(f"without {side}: {missing}")
    _show(f"HTTP on {name}: one server process, one process of load", found, console)
    return [msgspec.to_builtins(line) for line in found]


def _show(title: str, lines: Sequence[Line], console: Console) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("what", "connections", "side", "requests/s", "p50 ms", "p99 ms", "failed"):
        table.add_column(column, justify="left" if column in ("what", "side") else "right", no_wrap=True)
    for line in sorted(lines, key=lambda each: (each.what, each.connections)):
        figures = (f"{line.per_second:,.0f}", f"{line.p50 * 1000:.1f}", f"{line.p99 * 1000:.1f}", str(line.failed))
        table.add_row(line.what, str(line.connections), line.side, *figures)
    console.print(table)
    queries = [line for line in lines if line.side == "daicho" and line.what == "query"]
    under = [line for line in queries if line.p99 < LIMIT and not line.failed]
    if queries:
        best = max(under, key=lambda each: each.per_second, default=None)
        console.print(
            f"queries, not cached, p99 under {LIMIT * 1000:.0f} ms: "
            + (f"up to {best.per_second:,.0f}/s, {best.connections} connections" if best else "at no load here")
        )


class Missing(Exception):
    """A side cannot be had here."""


@contextlib.contextmanager
def serving(side: str, url: str) -> Generator[int, None, None]:
    """A process that serves one side, until the end of the block."""
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.http_sides", side, url, str(port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise Missing((process.communicate()[1].strip().splitlines() or ["it does not start"])[-1])
            time.sleep(0.05)
        yield port
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate()


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        found: int = trial.getsockname()[1]
        return found


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection.recv(12).startswith(b"HTTP/1.1 200")
    return False


def load(side: str, what: str, connections: int, port: int, seconds: float) -> Line:
    """Another process does it, so that the figures are not those of this one."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.http", what, str(connections), str(port), str(seconds)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Missing(f"{what} with {connections} connections: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout)
    return Line(side=side, what=what, connections=connections, **told)


# -- the load ---------------------------------------------------------------------------------------------------------


async def _caller(
    what: str, number: int, port: int, until: float, waits: list[float], failed: list[int], warm: float
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while (begin := time.perf_counter()) < until:
        count += 1
        writer.write(_request(what, number, count))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if length:
            await reader.readexactly(length)
        if (end := time.perf_counter()) >= warm:
            waits.append(end - begin)
            if head[9:10] != b"2":
                failed[0] += 1
    writer.close()


def _request(what: str, number: int, count: int) -> bytes:
    if what == "query":
        customer = f"customer-{(number * 31 + count) % CUSTOMERS}"
        path = f"/queries/GetCustomer?customer={customer}"
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n".encode()
    body = json.dumps(
        {
            "order_id": f"o-{os.getpid()}-{number}-{count}",
            "customer": f"customer-{(number * 31 + count) % CUSTOMERS}",
            "placed_at": "2026-01-01T00:00:00Z",
            "amount": "12.34",
            "items": [
                {"sku": "85123A", "quantity": 6, "price": "2.55"},
                {"sku": "71053", "quantity": 3, "price": "3.39"},
            ],
        }
    ).encode()
    head = (
        f"POST /commands/AddLine HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


async def _load(what: str, connections: int, port: int, seconds: float) -> dict[str, float]:
    waits, failed = list[float](), [0]
    warm = time.perf_counter() + min(1.0, seconds / 4)
    until = warm + seconds
    await asyncio.gather(*(_caller(what, n, port, until, waits, failed, warm) for n in range(connections)))
    waits.sort()
    return {
        "per_second": len(waits) / (time.perf_counter() - warm),
        "p50": waits[len(waits) // 2],
        "p99": waits[min(len(waits) - 1, int(len(waits) * 0.99))],
        "failed": failed[0],
    }


if __name__ == "__main__":
    asked, at_once, where, how_long = sys.argv[1:]
    print(json.dumps(asyncio.run(_load(asked, int(at_once), int(where), float(how_long)))))
