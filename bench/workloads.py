"""What is measured, by the numbers of the paper on performance, and what Daicho is to reach."""

from typing import Any, NamedTuple


class Target(NamedTuple):
    must: float | None = None
    stretch: float | None = None


class Workload(NamedTuple):
    name: str
    method: str
    """Of each side; a side that has no such method is left out."""
    options: dict[str, Any]
    targets: dict[str, Target]
    """By store; it is not run on others."""
    unit: str = "/s"

    def __str__(self) -> str:
        return self.name


_SQLITE, _POSTGRESQL = "sqlite", "postgresql"


def _workload(
    name: str,
    method: str,
    sqlite: Target | None = None,
    postgresql: Target | None = None,
    *,
    unit: str = "/s",
    **options: Any,
) -> Workload:
    targets = {_SQLITE: sqlite, _POSTGRESQL: postgresql}
    return Workload(name, method, options, {store: at for store, at in targets.items() if at is not None}, unit)


T, NONE = Target, Target()

WORKLOADS = (
    _workload("W1   append, 1 caller", "append_single", T(0.75, 0.85), T(0.75, 0.85)),
    _workload("W1b  append, 16 callers", "append_concurrent", T(2.5, 5), T(1.2, 1.5), callers=16),
    _workload("W1b  append, 64 callers", "append_concurrent", T(2.5, 5), T(2.3, 2.9), callers=64),
    _workload("W1b  append, 256 callers", "append_concurrent", None, T(3, 4), callers=256),
    _workload("W1c  append, 100 events at once", "append_many", NONE, T(0.7, 0.9), events=100),
    _workload("W1p  append, 2 processes of 64 callers", "append_processes", None, NONE, processes=2, callers=64),
    _workload("W1p  append, 4 processes of 64 callers", "append_processes", None, NONE, processes=4, callers=64),
    _workload(
        "W2   command, 1 caller, state from disk", "command", NONE, T(0.75, 0.85), callers=1, streams=100, hot=False
    ),
    _workload("W2   command, 1 caller, hot state", "command", NONE, T(1.2, 1.4), callers=1, streams=100, hot=True),
    _workload("W2b  command, 16 callers, from disk", "command", None, T(1.1, 1.4), callers=16, streams=1000, hot=False),
    _workload("W2b  command, 16 callers, hot", "command", None, T(2.2, 2.9), callers=16, streams=1000, hot=True),
    _workload("W2b  command, 64 callers, hot", "command", T(1.1, 1.4), NONE, callers=64, streams=1000, hot=True),
    _workload("W2s  command on a kept state, 1 caller", "state", NONE, NONE, callers=1, streams=100),
    _workload("W2s  command on a kept state, 16 callers", "state", None, NONE, callers=16, streams=1000),
    _workload("W3   rehydrate 1,000 events", "rehydrate", None, T(0.55, 0.8), n=1000),
    _workload("W3   rehydrate 10,000 events", "rehydrate", T(0.55, 0.8), T(0.55, 0.8), n=10_000),
    _workload("W3   snapshot and 10 events", "snapshot", None, T(0.77, None), n=1000, tail=10),
    _workload("W4   catch-up read, typed, with envelope", "catch_up", T(1.0, 1.3), T(1.1, 1.6), n=50_000),
    _workload("W5   projection rebuild, exactly once", "rebuild", T(0.9, 1.2), T(0.9, 1.5), n=200_000),
    _workload("W5   new projection catches up (pages of 500)", "project", NONE, NONE, n=50_000),
    _workload("W6   append to row read, ms (p99)", "latency", None, T(1.5, 1.1), unit="ms"),
)
