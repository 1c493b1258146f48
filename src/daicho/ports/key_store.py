"""Where the keys are under which personal data is enciphered: one for each subject, so that each can be forgotten."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

__all__ = ["Certificate", "Hold", "KeyStore", "Shredder", "ViewTold"]


class ViewTold(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one view."""

    name: str
    state: str
    """`rebuilt` (from what is left of history, and the old rows dropped) or `left`."""
    why: str = ""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What was shredded, when, by whom. Holds no personal data but the subject's id."""

    certificate_id: str
    subject: str
    forgotten_at: str
    """ISO 8601, UTC: when the key was destroyed."""
    forgotten_by: str
    reason: str = ""
    keys: int = 0
    """How many keys were destroyed: of the subject, and of snapshots that held its data."""
    events: int = 0
    """Events whose personal data nobody can read any more."""
    streams: tuple[str, ...] = ()
    types: Mapping[str, int] = {}
    """How many events of each type."""
    plain: int = 0
    """Events of the subject that were recorded without encryption, before it was configured: still readable."""
    snapshots: int = 0
    views: tuple[ViewTold, ...] = ()
    letters: tuple[int, ...] = ()
    """Numbers of parked events of the subject: pointers, whose event is read as forgotten when it is retried."""
    notes: tuple[str, ...] = ()
    """What is not within reach, and has to be looked at elsewhere."""
    complete: bool = False
    """False: the keys are destroyed, but the rest was interrupted. Forgetting again finishes it."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A reason that stands against forgetting a subject: a lawsuit, a duty to keep."""

    subject: str
    reason: str
    held_by: str
    held_at: str
    """ISO 8601, UTC."""


class KeyStore(Protocol):
    """Keys by name. A name whose key was destroyed stays known as destroyed, for ever, and never gets another.

    Every method raises StoreError of the precise kind: StoreUnavailable, StoreClosed, StoreFailed.
    """

    async def open(self) -> None:
        """Opens or creates it."""
        ...

    async def close(self) -> None:
        """May be called twice."""
        ...

    async def find(self, names: Sequence[str]) -> dict[str, bytes | None]:
        """Those that are known: the key, or None for one that was destroyed."""
        ...

    async def make(self, keys: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """Keeps these keys, durably, unless one of the name is known or was destroyed. Returns what stands now, for
        each of the names: of two that make one at once, both get the same."""
        ...

    async def destroy(self, names: Sequence[str], certificate: Certificate) -> int:
        """Destroys the keys and keeps the certificate, in one transaction, durably. Names that were not known are
        known as destroyed from now on. Returns how many keys there were. Raises SubjectHeld, and then nothing was
        done, if the certificate's subject is held."""
        ...

    async def destroyed(self, after: int) -> tuple[int, Sequence[str]]:
        """The names destroyed since the number `after`, and the number of the last one."""
        ...

    async def certify(self, certificate: Certificate) -> None:
        """Replaces the certificate of that id."""
        ...

    async def certificates(self, subject: str | None = None) -> Sequence[Certificate]:
        """Newest first."""
        ...

    async def hold(self, hold: Hold) -> None:
        """Nobody forgets the subject from now on. Replaces an earlier hold of it."""
        ...

    async def release(self, subject: str) -> bool:
        """Whether there was a hold."""
        ...

    async def holds(self) -> Sequence[Hold]:
        """By subject."""
        ...


class Shredder(Protocol):
    """The key store, and the keys of it that this process holds in memory."""

    @property
    def keys(self) -> KeyStore: ...

    async def destroy(self, names: Iterable[str], certificate: Certificate) -> int:
        """See KeyStore. When this returns, this process has forgotten the keys too."""
        ...
