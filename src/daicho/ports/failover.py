"""What there is to know before and after another PostgreSQL server takes over."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from daicho.ports.epochs import Epoch

__all__ = ["Failover", "FailoverCheck", "Fencing", "LostEvent", "Orphan", "Promotion", "ServerState", "SlotState"]

Fencing: TypeAlias = Literal["down", "possible", "done", "impossible", "unknown"]
"""Of the old primary: nobody listens there | it can be made read-only from here | it is read-only, or a standby |
it takes writes, and we may not change that | it does not answer, which says nothing about what others see."""


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """One PostgreSQL server."""

    url: str
    """Without the password; of a replica that only its primary told of: empty."""
    name: str = ""
    """`application_name`, by which the primary knows it."""
    role: Literal["primary", "standby", "down", "unknown"]
    """`unknown`: it was told of, not asked."""
    detail: str = ""
    """Why it does not answer."""
    is_read_only: bool = False
    """Whether its new transactions are read-only by default."""
    timeline: int = 0
    epoch: int = -1
    position: int = 0
    """The greatest position of an event there."""
    received: str = ""
    replayed: str = ""
    """Places in the write-ahead log, as PostgreSQL writes them."""
    bytes_behind: int | None = None
    """Of the log, behind the primary. None: not known, for the primary does not answer."""
    seconds_behind: float | None = None
    events_behind: int | None = None
    """How many events of the primary it does not have."""
    sync: str = ""
    """`sync`, `quorum`, `potential` or `async`, as the primary tells; empty if it does not."""


class SlotState(msgspec.Struct, frozen=True, kw_only=True):
    """A replication slot on the primary: it keeps the log for somebody."""

    name: str
    kind: str
    is_active: bool
    retained_bytes: int | None


class FailoverCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen if a standby were promoted now."""

    primary: ServerState | None
    standbys: tuple[ServerState, ...]
    best: str | None
    """URL of the standby that has the most."""
    is_synchronous: bool | None
    """Whether an acknowledged event is always on a standby, too. None: the primary does not answer."""
    events_at_risk: int | None
    """Acknowledged events that would be lost if the best standby were promoted now, without waiting for it."""
    bytes_at_risk: int | None
    fencing: Fencing
    fencing_detail: str
    slots: tuple[SlotState, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    problems: tuple[str, ...] = ()
    """What is in the way of a failover, or would make it a loss; empty if nothing."""


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a promotion."""

    url: str
    """The new primary."""
    fencing: Fencing
    epoch: int
    survived: int
    """The greatest position of an event that exists there: greater ones of before are lost."""
    events_lost: int | None
    """None: the old primary did not answer before, so nobody knows."""
    seconds: float
    """That nothing could be written, from the fencing to the first write."""
    orphans: tuple["Orphan", ...] = ()


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has seen events that were lost in a failover."""

    checkpoint: str
    """`projection:orders@1`, `reaction:bill`, `relay:shop/0.8`."""
    where: str
    """The read store that vouched for it, `bus`, `events` or `memory` (of the process that ran it)."""
    position: int
    """How far it had come."""
    first: int
    last: int
    """The positions that it saw of what was lost."""
    events: int
    """So many events at most: positions may be holes."""
    epoch: int
    """The one in which they do not exist any more."""
    state: Literal["open", "repairing"]
    found_at: str = ""
    do: str = ""


class LostEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the old primary that the new one does not have."""

    position: int
    stream: str
    version: int
    type: str
    event_id: str
    recorded_at: str
    data: bytes


class Failover(Protocol):
    """Another server in the place of the primary. Works although the primary is down."""

    async def check(self, standbys: Sequence[str] = ()) -> FailoverCheck:
        """Looks at the primary, and at the standbys at these URLs. Changes nothing. Raises BadUrl."""
        ...

    async def promote(
        self, standby: str | None = None, *, standbys: Sequence[str] = (), force: bool = False, within: float = 60.0
    ) -> Promotion:
        """Promotes this standby, or the best of these; begins an epoch there; writes and reads.

        The old primary must be down, or is made read-only; then the standby is waited for, so that nothing is lost.
        `force`: also if neither can be made sure of, and whatever is lost.
        Raises CannotPromote (nothing was changed) and StoreError.
        """
        ...

    async def lost(self, old: str) -> list[LostEvent]:
        """The events that the old primary at this URL has, and the store has not, after a failover: exactly."""
        ...
