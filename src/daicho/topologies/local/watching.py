"""How the parts of a running topology stand."""

import asyncio
import csv
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from daicho.topologies.local.asking import get
from daicho.topologies.local.postgres import connection, psycopg
from daicho.topologies.local.programs import find
from daicho.topologies.local.servers import Server
from daicho.topologies.local.up import Up

__all__ = ["Cached", "Standing", "balancer", "cached", "standing"]

_BEHIND = re.compile(r'^daicho_processor_(seconds|events)_behind\{processor="[^"]*"\} (\S+)$', re.MULTILINE)
_PURGED = re.compile(r"^daicho_edge_keys_purged_total (\S+)$", re.MULTILINE)
_WITHIN = 3.0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One part, at one moment."""

    part: str
    kind: str
    pid: int | None
    address: str
    state: str
    """`ready`; `away`, if the load balancer or a question finds it so; `drained`; `ended N`, with the exit code."""
    requests: int | None
    """That it was sent since it began, by the load balancer or by clients."""
    lag: str
    """Of a replica: bytes of the log, and seconds. Of the projector: events, and the age of the oldest."""


class Cached(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge cache did since it began."""

    hits: int
    misses: int
    passed: int
    """That it may not keep, or that wanted something newer than it has."""
    objects: int
    """Answers that it keeps now."""
    purged: int
    """Keys of rows and lists that it was told about: what carried them was dropped."""

    @property
    def hit_rate(self) -> float:
        """Of all reads, those that went no further."""
        asked = self.hits + self.misses + self.passed
        return self.hits / asked if asked else 0.0


async def standing(up: Up) -> list[Standing]:
    """Of all parts. What does not answer in time is told without figures."""
    sent, lags, edge = await asyncio.gather(_balanced(up), _lags(up), cached(up))
    return [_one(server, sent, lags, edge) for server in up.servers.values()]


def _one(server: Server, sent: Mapping[str, tuple[int, str]], lags: Mapping[str, str], edge: Cached | None) -> Standing:
    part, process = server.part, server.process
    requests, state = sent.get(part.name, (None, "ready"))
    if part.kind == "varnish" and edge is not None:
        requests = edge.hits + edge.misses + edge.passed
    return Standing(
        part=part.name,
        kind=part.kind,
        pid=process.pid,
        address=server.address,
        state=state if process.is_running else f"ended {process.ended}",
        requests=requests,
        lag=lags.get(part.name, ""),
    )


async def balancer(up: Up, command: str) -> str:
    """What the load balancer's runtime API answers, as to `set server queries/query-1 state drain`. Raises OSError."""
    folder = os.open(up.servers["haproxy"].folder, os.O_PATH)  # a path to a socket may have 107 characters only
    try:
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/stats")
        try:
            writer.write(f"{command}\n".encode())
            return (await reader.read()).decode()
        finally:
            writer.close()
            await writer.wait_closed()
    finally:
        os.close(folder)


async def _balanced(up: Up) -> dict[str, tuple[int, str]]:
    """By part: requests, and what the load balancer thinks of it."""
    try:
        async with asyncio.timeout(_WITHIN):
            text = await balancer(up, "show stat")
    except (OSError, TimeoutError):
        return {}
    found: dict[str, tuple[int, str]] = {}
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        if row["svname"] == "FRONTEND":
            found["haproxy"] = (int(row["req_tot"] or 0), "ready")
        elif row["svname"] != "BACKEND":
            requests = sum(int(row[f"hrsp_{kind}"] or 0) for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"))
            status = row["status"]
            state = "drained" if "DRAIN" in status else "ready" if status.startswith("UP") else "away"
            found[row["svname"]] = (requests, state)
    return found


async def cached(up: Up, *, within: float = _WITHIN) -> Cached | None:
    """None without an edge cache. Keys of services that do not answer in time are left out."""
    edges = up.topology.of("varnish")
    if not edges:
        return None
    work = up.servers[edges[0].name].folder / "work"
    tool = await asyncio.create_subprocess_exec(
        *(str(find("varnishstat", "varnish")), "-n", str(work), "-j"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await tool.communicate()
    if tool.returncode:
        return None
    tellers = up.topology.of("projector", "command")
    said_by_them = await asyncio.gather(
        *(get(up.servers[part.name].address, "/metrics", within=within) for part in tellers)
    )
    purged = sum(int(float(count)) for each in said_by_them for count in _PURGED.findall(each[1] if each else ""))
    counters: dict[str, Any] = json.loads(said)["counters"]

    def value(name: str) -> int:
        return int(counters.get(f"MAIN.{name}", {}).get("value", 0))

    return Cached(
        hits=value("cache_hit"),
        misses=value("cache_miss"),
        passed=value("s_pass"),
        objects=value("n_object"),
        purged=purged,
    )


async def _lags(up: Up) -> dict[str, str]:
    found = dict(
        await asyncio.gather(*(_projecting(up.servers[each.name]) for each in up.topology.of("projector", "all")))
    )
    if up.topology.of("replica"):
        found |= await _replicating(up)
    return {name: lag for name, lag in found.items() if lag}


async def _projecting(server: Server) -> tuple[str, str]:
    told = await get(server.address, "/metrics", within=_WITHIN)
    behind: dict[str, float] = {}
    for what, value in _BEHIND.findall(told[1] if told else ""):
        behind[what] = max(behind.get(what, 0.0), float(value))
    text = f"{behind.get('events', 0):.0f} events, {behind.get('seconds', 0):.1f} s" if behind else ""
    return server.part.name, text


_REPLAYED = """
select application_name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint,
       case when replay_lsn = pg_current_wal_lsn() then 0 else coalesce(extract(epoch from replay_lag), 0) end::float
from pg_stat_replication
"""


async def _replicating(up: Up) -> dict[str, str]:
    """Zero where all is replayed, however long ago that was."""
    driver = psycopg()
    conninfo = connection(up.place.addresses["primary"], up.place.password)
    try:
        async with asyncio.timeout(_WITHIN), await driver.AsyncConnection.connect(conninfo, autocommit=True) as opened:
            rows = await (await opened.execute(_REPLAYED)).fetchall()
    except (driver.Error, TimeoutError, OSError):
        return {}
    return {str(name).replace("_", "-"): f"{size:,} bytes, {seconds:.1f} s" for name, size, seconds in rows}
