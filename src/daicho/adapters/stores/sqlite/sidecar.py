"""Which SQLite libraries may share a file, and the lock that keeps the others apart.

SQLite 3.7.0 to 3.51.2 (except 3.44.6 and 3.50.7 of their branches) can corrupt a database when two connections write
and checkpoint it at the same instant (https://sqlite.org/wal.html#walresetbug). Every process holds a lock on
`<file>-daicho`: shared if its library is sound, exclusive if it is not.

The lock is on a file of its own because closing any descriptor of the database file would drop the process's own
locks on it (https://sqlite.org/howtocorrupt.html, section 2.2).
"""

import os
from typing import TYPE_CHECKING

from daicho.core.errors import StoreReadOnly, UnsafeSqlite

try:
    import fcntl

    _can_lock = True
except ImportError:  # not a POSIX system: SQLite's own locks are all there is
    if TYPE_CHECKING:
        raise
    fcntl, _can_lock = None, False

__all__ = ["Sidecar", "is_safe"]


def is_safe(version: tuple[int, ...]) -> bool:
    """Whether this library is free of the WAL-reset bug."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


class Sidecar:
    """The lock, held from construction to `close`. Raises UnsafeSqlite if it cannot be had, StoreReadOnly."""

    def __init__(self, path: str, version: tuple[int, ...], *, allow_affected: bool) -> None:
        self.path = f"{path}-daicho"
        self.safe = is_safe(version)
        self.exclusive = not (self.safe or allow_affected)
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreReadOnly(
                f"{path} cannot be written",
                why=f"its lock file {self.path} cannot be opened ({error.strerror})",
                do="check owner and permissions of the folder: a store writes three more files beside its own",
                file=path,
            ) from error
        if not _can_lock:
            return
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_EX if self.exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            number = ".".join(map(str, version))
            side = (
                f"the SQLite {number} of this process can corrupt a file that two processes write to"
                if self.exclusive
                else "the process that has it open uses a SQLite that can corrupt a file that two processes write to"
            )
            raise UnsafeSqlite(
                f"{path} is open in another process",
                why=f"{side} (fixed in 3.51.3)",
                do="`pip install apsw` brings a sound library; ?allow_affected_sqlite=true takes the risk",
                file=path,
                version=number,
                affected="this process" if self.exclusive else "the other process",
            ) from error

    def close(self) -> None:
        os.close(self._descriptor)
