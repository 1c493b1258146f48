"""The chain of messages in one partition, as its hearer follows it."""

from collections.abc import Iterable

from daicho.ports.event_bus import Delivery

__all__ = ["Chain"]

_MOST_HELD = 5000


class Chain:
    """Puts what arrives into the order in which it was sent, and tells repeats from news and holes from ends.

        number <= at                      it came before                  repeated
        previous <= at < number           the next one                    accepted: now at = number
        at < previous                     something between is missing    held, until that comes

    At 0 nothing was ever heard, and the chain may begin anywhere: what came before is no longer kept. That is believed
    when it was waited for in vain; see `begin`.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self._held: dict[int, list[Delivery]] = {}

    def take(self, deliveries: Iterable[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
        """Those that are next, in order, and those that came before."""
        accepted, repeated = list[Delivery](), list[Delivery]()
        for delivery in deliveries:
            if not self._place(delivery, accepted, repeated):
                self._held.setdefault(delivery.message.number, []).append(delivery)
            elif self._held:
                self._release(accepted, repeated)
        return accepted, repeated

    def begin(self) -> tuple[list[Delivery], list[Delivery]]:
        """Has the chain begin with the first that is held; as `take`."""
        self.at = self._held[min(self._held)][0].message.previous
        accepted, repeated = list[Delivery](), list[Delivery]()
        self._release(accepted, repeated)
        return accepted, repeated

    @property
    def missing(self) -> int | None:
        """What has not come is behind `at`, and up to this number; None if nothing is known to be missing."""
        return self._held[min(self._held)][0].message.previous if self._held else None

    @property
    def is_full(self) -> bool:
        """Whether so much is held that no more should be taken."""
        return len(self._held) >= _MOST_HELD

    def drop(self) -> None:
        """Forgets what is held: it comes again."""
        self._held.clear()

    def _place(self, delivery: Delivery, accepted: list[Delivery], repeated: list[Delivery]) -> bool:
        message = delivery.message
        if message.number <= self.at:
            repeated.append(delivery)
        elif message.previous <= self.at:
            accepted.append(delivery)
            self.at = message.number
        else:
            return False
        return True

    def _release(self, accepted: list[Delivery], repeated: list[Delivery]) -> None:
        for number in sorted(self._held):
            first, *others = self._held[number]
            if not self._place(first, accepted, repeated):
                return
            repeated += others
            del self._held[number]
