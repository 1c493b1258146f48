"""Parked events: what a handler could not take, and everything of the same key behind it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = ["DeadLetter", "DeadLetterStore", "ParkedEvent"]


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event to park, as its processor hands it over together with the checkpoint."""

    key: str
    position: int
    event_id: str
    type: str
    stream: str
    correlation_id: str
    error: str | None
    """Type and text of the exception; None for a follower that was parked only because of its key."""
    trace: str | None = None
    attempts: int = 1
    code: str | None = None
    """Fingerprint of the code that failed; None for a follower, which no code was tried on."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One parked event."""

    number: int
    processor: str
    key: str
    position: int
    event_id: str
    type: str
    stream: str
    correlation_id: str
    error: str | None
    trace: str | None
    attempts: int
    parked_at: str
    state: str
    """`parked`, `retry` (asked for), `retried` (went through) or `skipped`."""
    reason: str | None
    """Why it was skipped, in the words of who skipped it; or why it was retried without being asked for."""
    code: str | None = None
    """Fingerprint of the code that failed on it last."""


class DeadLetterStore(Protocol):
    """Letters enter only together with a checkpoint (`ViewStore.commit`, `park`), so none is lost or invented."""

    async def park(self, processor: str, token: int, old: int, new: int, events: Sequence[ParkedEvent]) -> None:
        """Parks `events` and advances the checkpoint in one transaction. Raises LostLease."""
        ...

    async def letters(
        self, processor: str | None = None, *, states: Sequence[str] = ("parked", "retry"), limit: int = 1000
    ) -> Sequence[DeadLetter]:
        """Oldest first."""
        ...

    async def parked_keys(self, processor: str) -> set[str]:
        """Keys whose later events must be parked too."""
        ...

    async def ask_retry(self, processor: str | None = None, *, number: int | None = None) -> int:
        """Marks letters of whole keys for retry by the processor's owner, wherever it runs. Returns how many."""
        ...

    async def ask_retry_by(self, processor: str, code: str, reason: str) -> int:
        """Marks letters for retry, with a reason, of the keys whose first open letter did not fail by `code`: what the
        same code failed on is not tried again by itself. Returns how many."""
        ...

    async def retried(
        self, processor: str, numbers: Sequence[int], *, error: str | None = None, code: str | None = None
    ) -> None:
        """Notes that the letters went through, or that `code` failed on them again with `error`: except those that
        somebody has given up meanwhile."""
        ...

    async def skip(self, number: int, reason: str) -> None:
        """Gives one letter up for good, with a reason that stays on record. Raises NotParked."""
        ...

    async def parked_counts(self) -> dict[str, int]:
        """How many letters each processor has parked, those asked to be retried included."""
        ...

    async def purge(self, before: str, states: Sequence[str]) -> int:
        """Removes letters parked before then (ISO 8601 UTC text) that are `retried` or `skipped`, if `states` names
        that; others never, whatever it names. Returns how many."""
        ...
