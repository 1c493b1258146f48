"""How far each processor has come, and who runs it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = ["Advance", "Checkpoint", "CheckpointStore"]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One durable reader of the log."""

    processor: str
    """`projection:orders`, `projection:orders@2` (a rebuild), `reaction:reserve_inventory`."""
    position: int
    """Everything up to here has been dealt with."""
    token: int = 0
    """Grows with every change of owner: a writer with an old token is refused."""
    owner: str | None = None
    updated_at: str = ""
    fold: str | None = None
    """Fingerprint of the code that was registered last."""


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

    async def release(self, owner: str) -> None:
        """Gives up everything that `owner` owns, at once."""
        ...

    async def advance(self, move: Advance) -> None:
        """Moves the checkpoint. Raises LostLease if the token or the old position is not the present one."""
        ...

    async def rewind(self, processor: str, position: int) -> None:
        """Puts the checkpoint there by hand and takes it from its owner."""
        ...

    async def forget(self, processor: str) -> None:
        """Removes the checkpoint and everything parked under it."""
        ...

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """All of them, by name."""
        ...
