"""SQLite through the standard library: whatever library Python was built with."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from daicho.adapters.stores.sqlite.driver import Connection, Driver, Progress, compare_decimals, translated

__all__ = ["StdlibDriver", "stdlib_driver"]

_STEP = 1000
_PAGE = 4096


class StdlibConnection:
    def __init__(self, path: str, read_only: bool) -> None:
        self._path, self._commits, self._checkpointed, self._log_size_then = path, 0, 0, 0
        name = f"file:{quote(path)}?mode={'ro' if read_only else 'rwc'}"
        with self._errors():
            self._raw = sqlite3.connect(
                name, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=0
            )
        self._raw.create_collation("daicho_decimal", compare_decimals)
        self._cursor = self._raw.cursor()

    def execute(self, sql: str, bound: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            rows = self._cursor.execute(sql, bound).fetchall()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        if sql == "commit":
            self._commits += 1
        elif sql.startswith("pragma wal_checkpoint"):
            self._commits, self._checkpointed, self._log_size_then = 0, self._raw.total_changes, self._log_size()
        return rows

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._cursor.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def changes(self) -> int:
        return max(self._cursor.rowcount, 0)

    def last_row(self) -> int:
        return self._cursor.lastrowid or 0

    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    def checkpoint_by_hand(self) -> None:
        self.execute("pragma wal_autocheckpoint = 0")

    def wal_pages(self) -> int:
        # This driver has no hook that tells. A commit rewrites some pages, however little it holds; and the log
        # file, which never shrinks, shows what went beyond its former size.
        grown = max(0, self._log_size() - self._log_size_then) // _PAGE
        return max(grown, self._commits * 6 + (self._raw.total_changes - self._checkpointed) // 4)

    def _log_size(self) -> int:
        try:
            return os.stat(f"{self._path}-wal").st_size
        except OSError:
            return 0

    def wait_for_locks(self, seconds: float) -> None:
        self.execute(f"pragma busy_timeout = {int(seconds * 1000)}")

    def copy_to(self, target: Connection, progress: Progress) -> None:
        assert isinstance(target, StdlibConnection)

        def told(_: int, remaining: int, total: int) -> None:
            progress(total - remaining, total)

        with self._errors():
            self._raw.backup(target._raw, pages=_STEP, progress=told, sleep=0.01)

    def close(self) -> None:
        self._raw.close()

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.Error) -> Exception:
        return translated(getattr(error, "sqlite_errorcode", 0), str(error), self._path)


class StdlibDriver:
    name = "sqlite3"
    version: tuple[int, ...] = sqlite3.sqlite_version_info

    def connect(self, path: str, *, read_only: bool = False) -> Connection:
        return StdlibConnection(path, read_only)


stdlib_driver: Driver = StdlibDriver()
