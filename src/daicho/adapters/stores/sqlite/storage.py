"""One SQLite file that holds everything, opened."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from daicho.adapters.stores.sqlite.apsw_driver import apsw_driver
from daicho.adapters.stores.sqlite.backup import back_up
from daicho.adapters.stores.sqlite.base import Opened
from daicho.adapters.stores.sqlite.checkpoints import SqliteCheckpoints
from daicho.adapters.stores.sqlite.commands import SqliteCommandLog
from daicho.adapters.stores.sqlite.driver import Connection, Driver
from daicho.adapters.stores.sqlite.events import SqliteEvents
from daicho.adapters.stores.sqlite.examination import look_at
from daicho.adapters.stores.sqlite.letters import SqliteDeadLetters
from daicho.adapters.stores.sqlite.location import Location
from daicho.adapters.stores.sqlite.readers import Readers
from daicho.adapters.stores.sqlite.schema import prepare_reader, prepare_writer
from daicho.adapters.stores.sqlite.sidecar import Sidecar
from daicho.adapters.stores.sqlite.snapshots import SqliteSnapshots
from daicho.adapters.stores.sqlite.states import SqliteStates
from daicho.adapters.stores.sqlite.stdlib_driver import stdlib_driver
from daicho.adapters.stores.sqlite.timers import SqliteScheduler
from daicho.adapters.stores.sqlite.views import SqliteViews
from daicho.adapters.stores.sqlite.watch import Watches
from daicho.adapters.stores.sqlite.writer import Transaction, Writer
from daicho.core.errors import BadUrl, MissingExtra, StoreReadOnly
from daicho.ports.storage import Finding

__all__ = ["SqliteStorage"]

_SLOW_COMMIT = 100
"""Milliseconds from which a commit is a reason to look at the disk."""
_COMMITS = 5


class SqliteStorage(
    SqliteEvents,
    SqliteSnapshots,
    SqliteStates,
    SqliteCheckpoints,
    SqliteDeadLetters,
    SqliteCommandLog,
    SqliteScheduler,
    SqliteViews,
):
    """Fulfils `daicho.ports.storage.Storage` over one file, for any number of event loops, threads and processes.

    With `durability=full` (the default) whatever was acknowledged survives a power cut. Opening raises BadUrl,
    ForeignStore, StoreCorrupt, StoreReadOnly, StoreBusy, UnsafeSqlite or MissingExtra, and then has changed nothing
    in a file that is not Daicho's.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        super().__init__(url, now=now)
        self._driver = _driver(self._location)
        self._sidecar: Sidecar | None = None

    @property
    def url(self) -> str:
        return self._location.url

    async def open(self) -> None:
        if self._open is None:
            await asyncio.to_thread(self._open_now)

    async def close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            await asyncio.to_thread(self._close_now, opened)

    async def examine(self) -> list[Finding]:
        opened, sidecar = self._opened(), self._sidecar
        assert sidecar is not None
        findings = await opened.readers.aside(
            lambda connection: look_at(connection, self._driver, self._location, sidecar)
        )
        synchronous = head = 0
        took = float("inf")
        for _ in range(_COMMITS):  # a disk is as fast as its fastest answer: one that came late may have other reasons
            started = time.perf_counter()
            synchronous, head = await opened.writer.run(_touch)
            took = min(took, (time.perf_counter() - started) * 1000)
            if took < _SLOW_COMMIT:
                break
        durable = synchronous >= 2
        return [
            *findings,
            Finding(
                what="durability",
                ok=durable,
                detail="synchronous=FULL: acknowledged events survive a power cut"
                if durable
                else "synchronous=NORMAL: the last events before a power cut may be lost",
                do="" if durable else "leave durability=relaxed out of the store URL",
            ),
            Finding(
                what="commit time",
                ok=took < _SLOW_COMMIT,
                detail=f"{took:.2f} ms for a commit of one row"
                + (f", {opened.writer.commit_seconds * 1000:.2f} ms of late" if opened.writer.commits else ""),
                do=""
                if took < _SLOW_COMMIT
                else "put the file on a local disk; look for another process that holds its lock",
            ),
            Finding(what="head", ok=True, detail=f"position {head}"),
        ]

    def backup(self, target: Path) -> AsyncIterator[tuple[int, int]]:
        self._opened()
        return back_up(self._driver, self._location.path, target)

    def describe(self) -> dict[str, Any]:
        return {
            "engine": "sqlite",
            "version": ".".join(map(str, self._driver.version)),
            "driver": self._driver.name,
            "durability": self._location.durability,
            "file": self._location.path,
        }

    def _connect(self, *, read_only: bool) -> Connection:
        connection = self._driver.connect(self._location.path, read_only=read_only)
        try:
            if read_only:
                prepare_reader(connection, self._location)
            else:
                prepare_writer(connection, self._location)
        except BaseException:
            connection.close()
            raise
        return connection

    def _reader(self) -> Connection:
        return self._connect(read_only=True)

    def _open_now(self) -> None:
        location = self._location
        _check_file(location)
        self._sidecar = Sidecar(location.path, self._driver.version, allow_affected=location.allow_affected_sqlite)
        made: list[Callable[[], None]] = [self._sidecar.close]
        try:
            writing = self._connect(read_only=False)
            made.append(writing.close)
            readers = Readers(self._reader)
            made.append(readers.close)
            watching = self._reader()
            made.append(watching.close)
            watches = Watches(watching, location.path)
            writer = Writer(
                writing, path=location.path, now=self._now, busy_timeout=location.busy_timeout, moved=watches.moved
            )
        except BaseException:
            for undo in reversed(made):
                undo()
            raise
        self._open = Opened(writer, readers, watches)

    def _close_now(self, opened: Opened) -> None:
        opened.watches.close()
        opened.readers.close()
        opened.writer.close()  # last: SQLite folds the log away with the last connection
        if self._sidecar is not None:
            self._sidecar.close()
            self._sidecar = None


def _touch(transaction: Transaction) -> tuple[int, int]:
    """Changes one page, so that the commit has something to write."""
    connection = transaction.connection
    [(synchronous,)] = connection.execute("pragma synchronous")
    [(version,)] = connection.execute("pragma user_version")
    connection.execute(f"pragma user_version = {version}")
    return int(synchronous), transaction.head


def _driver(location: Location) -> Driver:
    if location.driver == "sqlite3" or (location.driver is None and apsw_driver is None):
        return stdlib_driver
    if apsw_driver is None:
        raise MissingExtra(
            "apsw is not installed", why=f"{location.url} asks for it", do="pip install apsw, or write ?driver=sqlite3"
        )
    return apsw_driver


def _check_file(location: Location) -> None:
    """What SQLite would only call "unable to open database file"."""
    folder = os.path.dirname(location.path)
    if not os.path.isdir(folder):
        raise BadUrl(
            f"{location.url!r} lies in a folder that does not exist",
            why=f"there is no folder {folder}",
            do=f"mkdir -p {folder}, or name another place",
            url=location.url,
        )
    try:
        mode = os.stat(location.path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreReadOnly(f"{location.path} cannot be opened", why=str(error), do="check its permissions") from error
    if not stat.S_ISREG(mode):
        raise BadUrl(
            f"{location.url!r} is not a file", why=f"{location.path} is a folder or a device", do="name a file in it"
        )
    if not os.access(location.path, os.W_OK):
        raise StoreReadOnly(
            f"{location.path} cannot be written",
            why="its permissions do not allow it",
            do="change its owner or permissions, or run as another user",
            file=location.path,
        )
