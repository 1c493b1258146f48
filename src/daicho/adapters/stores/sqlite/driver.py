"""One small face over two drivers, and what their errors mean."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

from daicho.core.errors import (
    NoSuchTable,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
)

__all__ = ["Connection", "ConstraintFailed", "Driver", "Progress", "compare_decimals", "translated"]

Progress: TypeAlias = Callable[[int, int], None]
"""Told (pages done, pages in all) during a copy. Whatever it raises ends the copy."""


class Connection(Protocol):
    """A connection in autocommit mode, used by one thread at a time. Errors are StoreErrors."""

    def execute(self, sql: str, bound: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None: ...

    def changes(self) -> int:
        """Rows changed by the last statement."""
        ...

    def last_row(self) -> int:
        """The rowid that the last insert was given."""
        ...

    def in_transaction(self) -> bool: ...

    def checkpoint_by_hand(self) -> None:
        """No commit of this connection checkpoints any more; `wal_pages` tells when to do it."""
        ...

    def wal_pages(self) -> int:
        """About how many pages the write-ahead log holds since it was last started anew."""
        ...

    def wait_for_locks(self, seconds: float) -> None: ...

    def copy_to(self, target: "Connection", progress: Progress) -> None:
        """Online backup, a thousand pages at a time."""
        ...

    def close(self) -> None: ...


class Driver(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def version(self) -> tuple[int, ...]:
        """Of the SQLite library."""
        ...

    def connect(self, path: str, *, read_only: bool = False) -> Connection: ...


class ConstraintFailed(StoreFailed):
    """A unique key is taken. Does not leave this package."""


_PERM, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _PROTOCOL, _AUTH, _CONSTRAINT, _NOTADB = (
    *(3, 5, 6, 8, 10, 11, 13, 14, 15, 23, 19, 26),
)


def compare_decimals(one: str, other: str) -> int:
    """The collation `daicho_decimal`: decimals kept as text, compared as numbers, exactly."""
    a, b = Decimal(one), Decimal(other)
    return (a > b) - (a < b)


def translated(code: int, text: str, path: str) -> StoreError:
    """The StoreError for a SQLite result code (https://sqlite.org/rescode.html), primary or extended."""
    primary = code & 0xFF
    facts: dict[str, Any] = {"file": path, "sqlite_code": code}
    if primary == _CONSTRAINT:
        return ConstraintFailed(f"a constraint of {path} failed", why=text, **facts)
    if primary in {_BUSY, _LOCKED, _PROTOCOL}:
        return StoreBusy(
            f"{path} is locked",
            why=f"another process held its write lock for longer than busy_timeout ({text})",
            do="try again, look for a long transaction in another process, or raise ?busy_timeout=",
            **facts,
        )
    if primary == _FULL:
        return StoreFull(
            f"{path} cannot grow",
            why=f"the disk is full, or the database is at its size limit ({text})",
            do="free space on the disk, then try again: nothing was written",
            **facts,
        )
    if primary in {_READONLY, _PERM, _AUTH, _CANTOPEN}:
        return StoreReadOnly(
            f"{path} cannot be written",
            why=f"the file, its folder or its file system does not allow it ({text})",
            do="check owner and permissions of the file and of its folder: SQLite writes two more files beside it",
            **facts,
        )
    if primary in {_CORRUPT, _NOTADB}:
        return StoreCorrupt(
            f"{path} is damaged, or is not a database",
            why=text,
            do="keep the file, restore a backup; `daicho doctor` tells how far the damage goes",
            **facts,
        )
    if text.startswith("no such table"):
        do = "read the generation that is live, or call `open_table` first"
        return NoSuchTable(f"SQLite refused: {text}", why=text, do=do, **facts)
    why = f"the disk reported an error ({text})" if primary == _IOERR else text
    return StoreFailed(f"SQLite refused: {text}", why=why, do="run `daicho doctor`", **facts)
