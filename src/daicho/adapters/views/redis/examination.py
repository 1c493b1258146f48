"""The health of the server: version, what it throws away, what it writes to disk, memory."""

from collections.abc import Mapping
from typing import Any

from daicho.ports.storage import Finding

__all__ = ["findings"]


def findings(info: Mapping[str, Any]) -> list[Finding]:
    """From what INFO says."""
    return [
        Finding(what="Redis", ok=True, detail=f"{info['redis_version']}, {info.get('redis_mode', 'standalone')}"),
        _eviction(info),
        _durability(info),
        _memory(info),
    ]


def _eviction(info: Mapping[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy", "unknown")
    ok = policy == "noeviction"
    return Finding(
        what="eviction",
        ok=ok,
        detail=f"maxmemory-policy {policy}" + ("" if ok else ": short of memory, the server throws rows away silently"),
        do="" if ok else "set maxmemory-policy to noeviction: then it refuses writes, and the projection waits",
    )


def _durability(info: Mapping[str, Any]) -> Finding:
    fsync = info["appendfsync"]
    if info.get("loading"):
        detail, ok = "the server loads its files", False
    elif not info.get("aof_enabled"):
        detail, ok = "appendonly no: rows since the last snapshot are projected again after a crash", True
    elif info.get("aof_last_write_status", "ok") != "ok":
        detail, ok = "the last write to the append-only file failed", False
    else:
        lost = {
            "always": "what was committed survives a power cut",
            "everysec": "a power cut may cost a second, which is projected again",
        }
        detail = f"appendonly yes, appendfsync {fsync}: " + lost.get(
            fsync, "a power cut may cost half a minute, which is projected again"
        )
        ok = True
    return Finding(what="durability", ok=ok, detail=detail, do="" if ok else "look at the server's log and disk")


def _memory(info: Mapping[str, Any]) -> Finding:
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    ok = not most or used < most * 0.9
    of = f" of {most / 2**20:,.0f}" if most else ", without a limit"
    return Finding(
        what="memory",
        ok=ok,
        detail=f"{used / 2**20:,.1f} MiB{of}",
        do="" if ok else "raise maxmemory before the server refuses writes",
    )
