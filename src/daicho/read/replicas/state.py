"""How a replica stands, for people and for metrics."""

from datetime import datetime

import msgspec

__all__ = ["PrimaryReads", "ReplicaState"]


class ReplicaState(msgspec.Struct, frozen=True, kw_only=True):
    """As last looked at. What is not known is None."""

    name: str
    """Host, port and database: nothing secret."""
    in_service: bool
    """Whether it is asked."""
    why: str
    """Why it is not in service, or why it is although it is behind; empty if all is well."""
    lag_seconds: float | None
    """Age of the oldest thing that the primary has and it has not; 0 when there is nothing, however quiet it is."""
    lag_bytes: int | None
    """Of the log that it has not replayed yet."""
    position: int
    """All events up to here are there."""
    reads: int
    """Questions that it answered."""
    under_way: int
    """Questions that it is answering."""
    moved: int
    """Questions that it was asked, and that had to be asked elsewhere."""
    taken_out: int
    """How often it was taken out of service."""
    last_seen: datetime | None
    """When it last answered."""


class PrimaryReads(msgspec.Struct, frozen=True, kw_only=True):
    """What the primary had to do for replicas that could not."""

    reads: int
    """Questions that it answered because no replica could."""
    refused: int
    """Questions that nobody could answer in time."""
    under_way: int
    answers: bool | None
    """Whether it does, when last looked at; None: this process has no way to it."""
