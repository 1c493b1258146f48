"""When a replica may answer, in numbers."""

import msgspec

from daicho.core.errors import ConfigurationError

__all__ = ["ReplicaPolicy"]


class ReplicaPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """All times in seconds. Raises ConfigurationError for what makes no sense."""

    max_lag: float = 2.0
    """A replica that is further behind answers nothing; below half of it, it answers again."""
    samples: int = 3
    """So many looks one after the other must find it too far behind before it is taken out."""
    every: float = 0.25
    """Between two looks at each replica."""
    answer_within: float = 1.0
    """A replica that takes longer to be looked at is frozen: it is taken out at once, and what it was asked is asked
    elsewhere."""
    read_within: float = 30.0
    """The longest that one question may take on a replica."""
    wait: float = 0.5
    """How long a reader with a token waits for one replica to get that far, before it goes elsewhere."""
    on_primary: int = 16
    """Questions at once that the primary answers because no replica can. Others wait for their turn."""
    cut_off_within: float = 60.0
    """While the primary itself does not answer, a replica that has all it received may be this old and still answer."""

    def __post_init__(self) -> None:
        times = (self.max_lag, self.every, self.answer_within, self.read_within, self.cut_off_within)
        if min(times) <= 0 or self.wait < 0 or self.samples < 1 or self.on_primary < 0:
            raise ConfigurationError(
                f"{self!r} makes no sense", why="times are seconds above 0, counts at least 1", do="mend the number"
            )
