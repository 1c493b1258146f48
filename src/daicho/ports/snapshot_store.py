"""Cached states. Losing one costs time, never truth."""

from typing import Protocol

import msgspec

__all__ = ["Snapshot", "SnapshotStore"]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    version: int
    """The state after this many events."""
    fold: str
    """Fingerprint of the code and schema that made it; one made by other code is ignored."""
    state: bytes


class SnapshotStore(Protocol):
    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The newest snapshot of the stream, whoever made it."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps the snapshot unless a newer one of the same fold is there. Not necessarily durable at once."""
        ...

    async def drop_snapshots(self, stream: str | None = None) -> int:
        """Forgets the stream's snapshot, or all of them. Returns how many there were."""
        ...
