"""Epochs: what a failover leaves behind in a store that was replicated.

    epoch 0   1 ........ 100 | 101 .... 350         101 to 350 were acknowledged, and not replicated yet
                             | the standby is promoted: `survived` = 100
    epoch 1                  | (1, 133) (1, 134) ...   positions that nobody has had before

Whoever is at a position of an older epoch that is greater than what survived has seen events that no longer exist.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from daicho.core.stored import StoredEvent

__all__ = ["Epoch", "Epochs"]


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch of the register."""

    epoch: int
    timeline: int
    """Of the PostgreSQL server that it began on; 0 if that does not tell."""
    system_id: int
    mark: str
    survived: int
    """The greatest position of an event when it began. Greater ones of older epochs are lost."""
    drawn: int
    """The greatest position that may have been drawn on this server before it began."""
    seen: int = 0
    """The greatest position of before that any process has known of; 0 if none has told."""
    began_at: str = ""


@runtime_checkable
class Epochs(Protocol):
    """A store whose server may be replaced by another one that lacks the last events."""

    @property
    def epoch(self) -> int:
        """The present one, as far as this process knows."""
        ...

    @property
    def known_epochs(self) -> Sequence[Epoch]:
        """All of them, oldest first, as far as this process knows. Costs nothing."""
        ...

    async def epochs(self) -> Sequence[Epoch]:
        """All of them, oldest first, asked for anew."""
        ...

    def on_new_epoch(self, listener: Callable[[Epoch], None]) -> None:
        """Calls `listener`, from the event loop, once this process has noticed that another epoch has begun. Whatever
        was remembered of events behind `survived` is then wrong."""
        ...

    def lost_here(self) -> Sequence[StoredEvent]:
        """Events that this process appended, that were acknowledged, and that a failover has lost since: those that it
        still remembers, which are the last ones, at most some thousands."""
        ...
