"""SQLite through apsw: a library of its own, always a recent one."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from daicho.adapters.stores.sqlite.driver import Connection, Driver, Progress, compare_decimals, translated

try:
    import apsw

    _installed = True
except ImportError:  # the standard library's sqlite3 takes its place
    if TYPE_CHECKING:
        raise
    apsw, _installed = None, False

__all__ = ["ApswDriver", "apsw_driver"]

_STEP = 1000


class ApswConnection:
    def __init__(self, path: str, read_only: bool) -> None:
        self._path, self._wal_pages = path, 0
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        try:
            self._raw = apsw.Connection(path, flags=flags, statementcachesize=256)
        except apsw.Error as error:
            raise self._translated(error) from error
        self._raw.create_collation("daicho_decimal", compare_decimals)
        self._cursor: Any = self._raw.cursor()
        self._changes = self._raw.changes

    def execute(self, sql: str, bound: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = self._cursor.execute(sql, bound).fetchall()
            return rows
        except apsw.Error as error:
            raise self._translated(error) from error

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._cursor.executemany(sql, rows)
        except apsw.Error as error:
            raise self._translated(error) from error

    def changes(self) -> int:
        return self._changes()

    def last_row(self) -> int:
        return self._raw.last_insert_rowid()

    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    def checkpoint_by_hand(self) -> None:
        # The one hook: it takes the place of the automatic checkpoint (and the pragma would take it away again).
        self._raw.set_wal_hook(self._committed)

    def wal_pages(self) -> int:
        return self._wal_pages

    def wait_for_locks(self, seconds: float) -> None:
        self._raw.set_busy_timeout(int(seconds * 1000))

    def copy_to(self, target: Connection, progress: Progress) -> None:
        assert isinstance(target, ApswConnection)
        try:
            with target._raw.backup("main", self._raw, "main") as copy:
                while not copy.done:
                    copy.step(_STEP)
                    progress(copy.page_count - copy.remaining, copy.page_count)
        except apsw.Error as error:
            raise self._translated(error) from error

    def close(self) -> None:
        self._cursor.close(True)
        self._raw.close(True)

    def _committed(self, _: Any, __: str, pages: int) -> int:
        self._wal_pages = pages
        return 0

    def _translated(self, error: "apsw.Error") -> Exception:
        code = int(getattr(error, "extendedresult", 0) or getattr(error, "result", 0))
        return translated(code, str(error), self._path)


class ApswDriver:
    name = "apsw"

    def __init__(self) -> None:
        self.version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))

    def connect(self, path: str, *, read_only: bool = False) -> Connection:
        return ApswConnection(path, read_only)


apsw_driver: Driver | None = ApswDriver() if _installed else None
