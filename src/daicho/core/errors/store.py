"""A store did not do what was asked."""

from typing import Any

from daicho.core.errors.root import DaichoError

__all__ = [
    "CannotPromote",
    "ConcurrencyError",
    "DuplicateEventId",
    "ForeignStore",
    "KeyLost",
    "NoReplica",
    "NoSuchTable",
    "NotAReplica",
    "OutcomeUnknown",
    "StaleServer",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreOutdated",
    "StoreReadOnly",
    "StoreUnavailable",
    "UnsafeSqlite",
]


class StoreError(DaichoError):
    """The event store did not do what was asked. Unless the class says otherwise, nothing was written."""

    code = "D200"


class ConcurrencyError(StoreError):
    """Somebody else was faster: the expected version or the append condition no longer holds.

    `expected` is what the append asked for, `actual` the stream's version now, `events` the events in the way
    (recorded ones, as far as the store could name them). Nothing was written; load again and decide again.
    """

    code = "D201"

    def __init__(self, what: str, *, expected: object, actual: int | None, events: tuple[Any, ...] = ()) -> None:
        super().__init__(
            what,
            why="another writer recorded events there first",
            do="load the current state and decide again; `send` does this by itself a few times",
            expected=expected,
            actual=actual,
            events=events,
        )
        self.expected, self.actual, self.events = expected, actual, events


class DuplicateEventId(StoreError):
    """An event id was used before, for another event. Appending the very same events again is fine."""

    code = "D202"


class StoreClosed(StoreError):
    """The store is not open (any more)."""

    code = "D203"


class StoreBusy(StoreError):
    """Another process held the database's write lock for longer than the time-out."""

    code = "D204"


class StoreFull(StoreError):
    """The disk is full, or the database reached its size limit."""

    code = "D205"


class StoreReadOnly(StoreError):
    """The database, its folder or its file system does not allow writing."""

    code = "D206"


class StoreCorrupt(StoreError):
    """The database file is damaged. Nothing is served from it; restore a backup."""

    code = "D207"


class ForeignStore(StoreError):
    """The file or database belongs to something else, or to a newer Daicho."""

    code = "D208"


class UnsafeSqlite(StoreError):
    """This SQLite library can corrupt a database that two processes write to, and another process has it open."""

    code = "D209"


class StoreFailed(StoreError):
    """The database refused for a reason that has no class of its own; `__cause__` holds the driver's error."""

    code = "D210"


class NoSuchTable(StoreFailed):
    """There is no table for rows of that generation: it was dropped, or never opened. Raised instead of an answer."""

    code = "D214"


class StoreUnavailable(StoreError):
    """The database server cannot be reached, refuses connections, or is shutting down."""

    code = "D212"


class StaleServer(StoreUnavailable):
    """The server that answers has been replaced by another one, which was promoted: it must not take any writes."""

    code = "D810"


class CannotPromote(StoreError):
    """A standby was not promoted, and nothing was changed."""

    code = "D813"


class KeyLost(StoreError):
    """A key under which personal data is enciphered cannot be had, although its subject was not forgotten: another key
    store than the one that made it, an older copy of it, or another master key. Nothing is shown in place of the data,
    for that would be a wrong history."""

    code = "D851"


class StoreOutdated(StoreError):
    """The database lacks tables that this Daicho needs, and creating them was not allowed (`?migrate=never`)."""

    code = "D213"


class NotAReplica(StoreError):
    """What a `read_from` URL leads to holds other data than the store: it is no replica of it."""

    code = "D800"


class NoReplica(StoreError):
    """No replica is near enough to the primary to answer, and the primary does not answer, or has enough to do."""

    code = "D801"


class OutcomeUnknown(StoreError):
    """The connection broke after the commit was sent. Retry with the same ids: it cannot double."""

    code = "D211"
