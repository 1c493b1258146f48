"""Whether a replica is near enough to answer. Pure: what was seen goes in, what follows from it comes out.

lag = age of the oldest beat that the primary has made and the replica does not show; none: 0, however quiet it is

    in service ──more than max_lag, `samples` times in a row──> out ──less than half of it──> in service
         └────────────────does not answer in time─────────────────┘

While the primary does not answer, beats do not come, and nobody can tell how old a replica is. One that shows all that
it received still has everything there is to be had, so it may answer for a while.
"""

from daicho.ports.replication import Sample
from daicho.read.replicas.policy import ReplicaPolicy
from daicho.read.replicas.primary import Primary

__all__ = ["FOREIGN", "Standing", "is_ahead", "strangeness"]

FOREIGN = "it follows another primary: what it shows never happened on this one"
_SAME = 1e-5
"""Seconds by which a time may differ from itself, as a floating-point number."""
_NEW = "it has not been looked at yet"


def is_ahead(before: tuple[Sample, float] | None, primary: Primary) -> bool:
    """Whether the look before, which ended then, saw a beat that the primary, looked at later, had not made. That can
    happen once: a commit may be seen on a replica a moment before it is on the primary."""
    latest = primary.latest
    return (
        before is not None
        and latest is not None
        and primary.answers
        and before[1] <= primary.looked_at
        and before[0].beat > latest.beat
    )


def strangeness(sample: Sample, primary: Primary) -> str:
    """Why this is no replica of that primary; empty if it may be one."""
    latest = primary.latest
    if latest is None:
        return ""
    if sample.data != latest.data:
        return "it holds the data of another database"
    if not sample.standby:
        return "it is no replica: it takes writes itself"
    if not primary.answers:
        return ""
    made = primary.beat_at(sample.beat)
    return FOREIGN if made is not None and abs(made - sample.beat_at) > _SAME else ""


class Standing:
    """In service or not, from look to look."""

    def __init__(self, policy: ReplicaPolicy) -> None:
        self._policy = policy
        self.in_service = False
        self.why = _NEW
        self.lag_seconds: float | None = None
        self.lag_bytes: int | None = None
        self._late = 0

    def gone(self, why: str) -> None:
        self.in_service, self.why, self._late = False, why, 0

    def seen(self, sample: Sample, primary: Primary) -> None:
        """After a look at what is, as far as can be seen, a replica of that primary."""
        lag = self.lag_seconds = self._lag(sample, primary)
        self.lag_bytes = self._bytes(sample, primary)
        most = self._policy.max_lag
        if lag > most and self._is_all_there_is(sample, primary, lag):
            self.in_service, self._late = True, 0
            self.why = f"the primary cannot be asked; it shows all that it received, the last of it {lag:.1f} s ago"
            return
        self._late = self._late + 1 if lag > most else 0
        enters = lag <= most if self.why == _NEW else lag < most / 2
        stays = not self._late or (self._late < self._policy.samples and not self.why)
        self.in_service = stays if self.in_service else enters
        self.why = "" if self.in_service else f"it is {lag:.1f} s behind"

    def _lag(self, sample: Sample, primary: Primary) -> float:
        if primary.latest is None:
            return max(0.0, sample.now - sample.beat_at)
        if not primary.answers:
            return max(0.0, primary.now() - sample.beat_at)
        first = primary.first_behind(sample.beat)
        return 0.0 if first is None else max(0.0, primary.now() - first)

    @staticmethod
    def _bytes(sample: Sample, primary: Primary) -> int:
        there = primary.latest.shown if primary.latest is not None and primary.answers else sample.arrived
        return max(0, there - sample.shown)

    def _is_all_there_is(self, sample: Sample, primary: Primary, lag: float) -> bool:
        if primary.answers or sample.arrived > sample.shown:
            return False
        if primary.storage is None and sample.follows:
            return True  # its primary has nothing to send, or it will notice soon that it is cut off
        return lag <= self._policy.cut_off_within
