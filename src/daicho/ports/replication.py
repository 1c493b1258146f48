"""A store that has replicas, and one of them.

primary   commits ... commits, and every moment a beat: its number, the time, up to where the log is complete
   │ the log of the database, in order of commits
replica   shows what it has replayed: of which the newest beat tells how far that is, and how old
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import msgspec

from daicho.ports.storage import Storage

__all__ = ["Replicated", "ReplicaStorage", "Sample"]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a primary or a replica. All of it is of the same moment, or earlier."""

    data: str
    """Whose data it is: the same for a primary and all its replicas, and for nobody else."""
    server: str
    """Which start of which server answered."""
    standby: bool
    beat: int
    """Number of the newest beat that is there."""
    position: int
    """All events up to here are there."""
    beat_at: float
    """When that beat was made, by the clock of the primary: seconds since 1970."""
    now: float
    """By the clock of the server that answered."""
    arrived: int
    """Bytes of the database's log that have come in; for a primary, that are on its disk."""
    shown: int
    """Of those, what readers see."""
    follows: bool
    """Whether it is connected to whom it follows."""


@runtime_checkable
class Replicated(Protocol):
    """A store of a kind that can have replicas."""

    async def sample(self, within: float) -> Sample:
        """Looks at it on a connection kept for that. Raises StoreUnavailable after `within` seconds, StoreFailed."""
        ...

    def beat(self) -> None:
        """Makes beats from now on, also if nobody is seen to follow. May be called twice."""
        ...


class ReplicaStorage(Storage, Replicated, Protocol):
    """A replica, opened: reads as any store does, of what it has. Its head is the position of its newest beat; what is
    asked for up to a later position raises StoreBusy if it does not come in time. Writing raises StoreReadOnly."""

    @property
    def data(self) -> str:
        """`Sample.data`, known as soon as it was connected to; before that, empty."""
        ...

    async def live_tables(self) -> Mapping[str, int]:
        """By the name of a view, the generation that readers see."""
        ...

    def cut(self) -> None:
        """Whoever waits for it, or asks it from now on, gets StoreUnavailable at once. Only `close` is left to do."""
        ...
