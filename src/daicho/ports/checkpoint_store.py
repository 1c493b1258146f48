"""How far each processor has come, and who runs it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

__all__ = ["CUT", "NOBODY", "PAUSED", "Advance", "Checkpoint", "CheckpointStore"]

PAUSED = "paused"
"""The owner of what nobody is to run."""
CUT = "cut"
"""The owner of a processor whose work is done by its segments; its own position means nothing meanwhile."""
NOBODY = frozenset({PAUSED, CUT})
"""Owners who never die and never work."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One durable reader of the log."""

    processor: str
    """`projection:orders@2` (its second build), `projection:orders@2/0.4` (the first of its four segments),
    `reaction:reserve_inventory`."""
    position: int
    """Everything up to here has been dealt with."""
    token: int = 0
    """Grows with every change of owner: a writer with an old token is refused."""
    owner: str | None = None
    updated_at: str = ""
    fold: str | None = None
    """Fingerprint of the code that was registered last."""
    runs: bool = False
    """Whether it has an owner who lives, as far as the store can tell."""


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """A move of one checkpoint by its owner."""

    processor: str
    token: int
    old: int
    new: int


class CheckpointStore(Protocol):
    async def register(self, processor: str, *, position: int, fold: str | None = None) -> Checkpoint:
        """The checkpoint; created at `position` if there was none. Notes `fold` either way."""
        ...

    async def claim(self, processor: str, owner: str) -> Checkpoint | None:
        """Makes `owner` the one process that runs it and returns the checkpoint with a fresh token.

        None while another living owner has it. An owner is living while it renews; a store that can tell that the
        owner's process is gone may hand over at once. Claiming what one already owns keeps the token.
        """
        ...

    async def renew(self, owner: str) -> None:
        """Says that `owner` is alive, for everything it owns."""
        ...

    async def release(self, owner: str, processor: str | None = None) -> None:
        """Gives up everything that `owner` owns, or that one, at once."""
        ...

    async def pause(self, processor: str) -> None:
        """Takes it from its owner for `PAUSED`, who never dies: until `release(PAUSED, processor)`, nobody runs it."""
        ...

    async def recut(self, owner: str, old: Sequence[Checkpoint], new: Mapping[str, int]) -> bool:
        """Replaces the segments of a processor by others, at the given positions, free to be claimed.

        The whole processor is one of the old or new ones if it is, or is to be, one piece; its checkpoint stays for
        ever, owned by `CUT` while there are several. False, and nothing changed, if one of `old` is not at its position
        any more, or is paused, or is owned by somebody living other than `owner`. What is parked stays where it is.
        """
        ...

    async def advance(self, move: Advance) -> None:
        """Moves the checkpoint. Raises LostLease if the token or the old position is not the present one."""
        ...

    async def rewind(self, processor: str, position: int) -> None:
        """Puts the checkpoint there by hand and takes it from its owner. Does nothing to one that is cut."""
        ...

    async def unseat(self, processor: str) -> None:
        """Takes the checkpoint from its owner, wherever it stands: what that one writes next is refused. Does nothing
        if there is no such checkpoint."""
        ...

    async def forget(self, processor: str) -> None:
        """Removes the checkpoint and everything parked under it."""
        ...

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """All of them, by name."""
        ...
