"""What a run came to."""

from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = ["Counted", "Figures", "percentile"]


class Counted(msgspec.Struct, kw_only=True):
    """What one process of load saw."""

    seconds: float = 0.0
    reads: list[float] = msgspec.field(default_factory=list[float])
    """Seconds that each took."""
    writes: list[float] = msgspec.field(default_factory=list[float])
    with_token: int = 0
    stale: int = 0
    """Answers that were older than the token that they were asked with."""
    refused: int = 0
    """Reads with a token that were answered 503: the server said itself that it is not as far."""
    hits: int = 0
    failed: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict[str, int])


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of all processes of load together. Times in milliseconds."""

    seconds: float
    reads: int
    writes: int
    reads_per_second: float
    writes_per_second: float
    read_p50: float
    read_p99: float
    write_p50: float
    write_p99: float
    with_token: int
    """Reads that carried the token of a write of the same caller."""
    stale: int
    """Of them, those answered with something older, as the client counts it: it should be none."""
    refused: int
    hit_rate: float
    """Of the reads, answered by an edge cache."""
    failed: int
    errors: dict[str, int]

    @classmethod
    def of(cls, counted: Sequence[Counted]) -> "Figures":
        reads = sorted(wait for each in counted for wait in each.reads)
        writes = sorted(wait for each in counted for wait in each.writes)
        seconds = max((each.seconds for each in counted), default=0.0)
        errors: dict[str, int] = {}
        for each in counted:
            for name, count in each.errors.items():
                errors[name] = errors.get(name, 0) + count
        return cls(
            seconds=round(seconds, 2),
            reads=len(reads),
            writes=len(writes),
            reads_per_second=round(len(reads) / seconds, 1) if seconds else 0.0,
            writes_per_second=round(len(writes) / seconds, 1) if seconds else 0.0,
            read_p50=_milliseconds(reads, 0.50),
            read_p99=_milliseconds(reads, 0.99),
            write_p50=_milliseconds(writes, 0.50),
            write_p99=_milliseconds(writes, 0.99),
            with_token=sum(each.with_token for each in counted),
            stale=sum(each.stale for each in counted),
            refused=sum(each.refused for each in counted),
            hit_rate=round(sum(each.hits for each in counted) / len(reads), 4) if reads else 0.0,
            failed=sum(each.failed for each in counted),
            errors=errors,
        )

    def told(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


def percentile(waits: Sequence[float], share: float) -> float:
    """Nearest rank, of waits in order; 0 of none."""
    return waits[min(len(waits) - 1, int(len(waits) * share))] if waits else 0.0


def _milliseconds(waits: Sequence[float], share: float) -> float:
    return round(percentile(waits, share) * 1000, 2)
