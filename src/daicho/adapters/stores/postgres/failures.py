"""What PostgreSQL and the way to it may say, as Daicho's errors."""

import psycopg
from psycopg import errors as pg

from daicho.core.errors import (
    InvalidMessage,
    LostLease,
    MessageError,
    NoSuchTable,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

__all__ = ["is_lost", "is_outdated", "is_promoted", "is_refused", "translated"]

_AWAY = (pg.AdminShutdown, pg.CrashShutdown, pg.CannotConnectNow, pg.IdleInTransactionSessionTimeout)
_TAKEN = (pg.LockNotAvailable, pg.QueryCanceled, pg.DeadlockDetected, pg.SerializationFailure)
_UNFIT = (psycopg.DataError, pg.ProgramLimitExceeded)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, so that nobody knows what became of the statement under way."""
    if isinstance(error, _AWAY):
        return True
    # without an SQLSTATE it was not the server that spoke
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and error.sqlstate is None


def is_outdated(error: psycopg.Error) -> bool:
    """Whether a prepared statement was made for a table that has been made anew since, with other columns."""
    return isinstance(error, pg.FeatureNotSupported) and error.diag.source_function == "RevalidateCachedQuery"


def is_promoted(error: BaseException) -> bool:
    """Whether the server refused an append because it was promoted: nothing was done, and an epoch has to begin."""
    return isinstance(error, psycopg.Error) and error.sqlstate == "DA001"


def is_refused(error: BaseException) -> bool:
    """Whether nothing was written, because the server takes no writes: it may have been the primary until just now."""
    return isinstance(error, pg.ReadOnlySqlTransaction)


def translated(error: BaseException, url: str) -> StoreError | MessageError | LostLease:
    """The error to raise instead; the given one should be its cause."""
    text = str(error).strip() or type(error).__name__
    if is_promoted(error):
        return StoreBusy(f"{url} has been promoted just now", why=text, do="do it again")
    if isinstance(error, psycopg.Error) and error.sqlstate == "DA002":
        return LostLease(f"{url} does not have what was read", why=text, do="nothing: it goes on from the checkpoint")
    if is_lost(error):
        return StoreUnavailable(f"{url} does not answer", why=text, do="check that the server runs and can be reached")
    if isinstance(error, _TAKEN):
        return StoreBusy(
            f"{url} kept a statement waiting for too long", why=text, do="`daicho doctor` shows who holds what"
        )
    if isinstance(error, (pg.DiskFull, pg.OutOfMemory)):
        return StoreFull(f"{url} has no room left", why=text, do="free space on the database server")
    if isinstance(error, pg.TooManyConnections):
        return StoreUnavailable(
            f"{url} takes no more connections", why=text, do="lower ?pool=, raise max_connections, or use pgbouncer"
        )
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return StoreReadOnly(
            f"{url} takes no writes",
            why=f"{text}: it is a standby, or its transactions are read-only by default",
            do="name the primary, or several hosts and ?target_session_attrs=read-write",
        )
    if isinstance(error, (pg.DataCorrupted, pg.IndexCorrupted)):
        return StoreCorrupt(f"{url} found damaged data", why=text, do="stop writing; fail over or restore a backup")
    if isinstance(error, pg.InsufficientPrivilege):
        return StoreFailed(
            f"{url}: this user may not do that", why=text, do="grant the rights that docs/howto/postgresql.md lists"
        )
    if isinstance(error, pg.UndefinedTable):
        do = "read the generation that is live, or call `open_table` first"
        return NoSuchTable(f"{url} refused", why=text, do=do)
    if isinstance(error, _UNFIT):
        return InvalidMessage(
            "PostgreSQL cannot store one of the values", why=text, do="check the message's texts (no NUL) and numbers"
        )
    return StoreFailed(f"{url} refused", why=text, do="look into the server's log")
