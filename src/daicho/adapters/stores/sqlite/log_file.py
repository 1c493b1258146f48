"""The write-ahead log beside the file, as the writer keeps it: neither growing without end nor too short."""

import logging
import os

from daicho.adapters.stores.sqlite.driver import Connection
from daicho.core.errors import StoreBusy

__all__ = ["LogFile"]

_PAGES = 1024  # 4 MiB: then it is copied into the file, and written over from its beginning
_PAGE_SIZE = 4096
_COMMITS_BEFORE_ROOM = 16

log = logging.getLogger("daicho.sqlite")


class LogFile:
    """Used by whoever holds the writer's turn, except `is_due`."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection, self._path = connection, path
        self._checkpoint_at, self._pages = _PAGES, 0
        self._room_at = _COMMITS_BEFORE_ROOM

    def is_due(self, commits: int) -> bool:
        """Whether there is something to `tend`, after this many commits."""
        pages = self._connection.wal_pages()
        if pages < self._pages:  # it started anew
            self._checkpoint_at = _PAGES
        self._pages = pages
        return pages >= self._checkpoint_at or commits >= self._room_at > 0

    def tend(self, commits: int) -> None:
        if commits >= self._room_at > 0:
            self._room_at = 0 if self._make_room() else commits * 2
        self._checkpoint()

    def fold_back(self) -> None:
        """Into the file, as far as nobody is in the way."""
        try:
            self._connection.wait_for_locks(0.1)
            self._connection.execute("pragma wal_checkpoint(truncate)")
        except Exception as error:  # noqa: BLE001 - the log is a part of the database: nothing is lost
            log.debug("%s: not checkpointed on close: %s", self._path, error)

    def _checkpoint(self) -> None:
        """Copies what no reader needs any more from the log into the file. Never waits for anybody."""
        try:
            [(_, pages, _)] = self._connection.execute("pragma wal_checkpoint(passive)")
        except Exception:
            log.exception("%s: could not checkpoint; the write-ahead log grows", self._path)
            self._checkpoint_at += _PAGES
            return
        # Unless the log starts anew now, a reader of old pages is in the way: come back after as much again.
        self._checkpoint_at, self._pages = pages + _PAGES, pages

    def _make_room(self) -> bool:
        """Lets the log have its full size at once. False if somebody is writing.

        A commit that makes a file longer costs the disk about twice as much as one that writes over what is there. So
        a large row is begun that does not fit into the cache, and undone: SQLite puts it into the log on the way, and
        leaves the log as long as it was then.
        """
        try:
            if os.stat(f"{self._path}-wal").st_size >= _PAGES * _PAGE_SIZE:
                return True
            self._connection.execute("begin immediate")
        except StoreBusy:
            return False
        except Exception as error:  # noqa: BLE001 - it is only faster with it
            log.debug("%s: no room made in the log: %s", self._path, error)
            return True
        [(cache,)] = self._connection.execute("pragma cache_size")
        try:
            self._connection.execute("pragma cache_size = 10")
            self._connection.execute("create table daicho_room (room)")
            self._connection.execute("insert into daicho_room values (zeroblob(?))", (_PAGES * _PAGE_SIZE,))
        except Exception as error:  # noqa: BLE001 - a full disk, for one: whoever writes is told of that
            log.debug("%s: no room made in the log: %s", self._path, error)
        finally:
            if self._connection.in_transaction():
                self._connection.execute("rollback")
            self._connection.execute(f"pragma cache_size = {cache}")
        return True
