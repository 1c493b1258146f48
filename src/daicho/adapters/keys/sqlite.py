"""Keys in a SQLite file of their own: `sqlite:///shop-keys.db`.

Never in the file of the events: a backup of the events that held the keys would bring back who was forgotten, and two
SQLite libraries in one process on one file undo each other's locks (sqlite.org/howtocorrupt.html, 2.2.1).

Destroyed keys are overwritten: `secure_delete` zeroes what a row leaves behind, and without a write-ahead log no older
copy of the page stays. What a file system or a disk keeps of overwritten blocks is beyond this.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from daicho.core.errors import BadUrl, StoreBusy, StoreClosed, StoreError, StoreFailed, SubjectHeld
from daicho.ports.key_store import Certificate, Hold

__all__ = ["SqliteKeys", "file_of"]

T = TypeVar("T")

_TABLES = """
CREATE TABLE IF NOT EXISTS personal_key (
    name TEXT PRIMARY KEY, key BLOB, destroyed INTEGER UNIQUE, made_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;
CREATE TABLE IF NOT EXISTS personal_certificate (
    certificate_id TEXT PRIMARY KEY, subject TEXT NOT NULL, forgotten_at TEXT NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS personal_hold (subject TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
"""
_MOST = 500
"""Names in one statement; older SQLite takes 999 parameters."""


def file_of(url: str) -> str:
    """The absolute path that the URL names. Raises BadUrl."""
    rest = unquote(url.removeprefix("sqlite://"))
    if not url.startswith("sqlite:///") or rest in ("/", "/:memory:") or "?" in rest or "\0" in rest:
        raise BadUrl(f"{url!r} does not name a file of keys", do="write sqlite:///shop-keys.db", url=url)
    return os.path.abspath(rest[1:])


class SqliteKeys:
    def __init__(self, url: str) -> None:
        self.url, self.path = url, file_of(url)
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="daicho-keys")
        try:
            await self._run(self._opened)
        except BaseException:
            await self.close()
            raise

    def _opened(self) -> None:
        if not Path(self.path).exists():  # readable by its owner alone
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = self._connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_TABLES)

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                await asyncio.wrap_future(thread.submit(self._closed))
            finally:
                thread.shutdown()

    def _closed(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def find(self, names: Sequence[str]) -> dict[str, bytes | None]:
        return await self._run(self._find, list(names))

    def _find(self, names: Sequence[str]) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for start in range(0, len(names), _MOST):
            some = names[start : start + _MOST]
            marks = ",".join("?" * len(some))
            found.update(self._db.execute(f"SELECT name, key FROM personal_key WHERE name IN ({marks})", some))  # noqa: S608
        return found

    async def make(self, keys: Mapping[str, bytes]) -> dict[str, bytes | None]:
        def make() -> dict[str, bytes | None]:
            statement = "INSERT INTO personal_key (name, key) VALUES (?, ?) ON CONFLICT DO NOTHING"
            self._within(lambda: self._db.executemany(statement, keys.items()))
            return self._find(list(keys))

        return await self._run(make)

    async def destroy(self, names: Sequence[str], certificate: Certificate) -> int:
        return await self._run(lambda: self._within(lambda: self._destroy(names, certificate)))

    def _destroy(self, names: Sequence[str], certificate: Certificate) -> int:
        held = self._db.execute("SELECT content FROM personal_hold WHERE subject = ?", (certificate.subject,))
        for (content,) in held.fetchall():
            hold = msgspec.json.decode(content, type=Hold)
            raise SubjectHeld.by(hold.subject, hold.reason, hold.held_by)
        (number,) = self._db.execute("SELECT coalesce(max(destroyed), 0) FROM personal_key").fetchone()
        known, count = self._find(list(names)), 0
        for name in dict.fromkeys(names):
            if name in known and known[name] is None:
                continue
            number, count = number + 1, count + (name in known)
            self._db.execute(
                "INSERT INTO personal_key (name, key, destroyed) VALUES (?, NULL, ?) "
                "ON CONFLICT (name) DO UPDATE SET key = NULL, destroyed = excluded.destroyed",
                (name, number),
            )
        self._certify(certificate)
        return count

    async def destroyed(self, after: int) -> tuple[int, Sequence[str]]:
        def look() -> tuple[int, Sequence[str]]:
            statement = "SELECT destroyed, name FROM personal_key WHERE destroyed > ? ORDER BY destroyed"
            rows = self._db.execute(statement, (after,)).fetchall()
            return (rows[-1][0] if rows else after), [name for _, name in rows]

        return await self._run(look)

    async def certify(self, certificate: Certificate) -> None:
        await self._run(self._certify, certificate)

    def _certify(self, certificate: Certificate) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO personal_certificate VALUES (?, ?, ?, ?)",
            (
                certificate.certificate_id,
                certificate.subject,
                certificate.forgotten_at,
                msgspec.json.encode(certificate),
            ),
        )

    async def certificates(self, subject: str | None = None) -> Sequence[Certificate]:
        statement = (
            "SELECT content FROM personal_certificate WHERE ?1 IS NULL OR subject = ?1 "
            "ORDER BY forgotten_at DESC, certificate_id DESC"
        )
        rows = await self._run(lambda: self._db.execute(statement, (subject,)).fetchall())
        return [msgspec.json.decode(content, type=Certificate) for (content,) in rows]

    async def hold(self, hold: Hold) -> None:
        content = msgspec.json.encode(hold)
        statement = "INSERT OR REPLACE INTO personal_hold VALUES (?, ?)"
        await self._run(lambda: self._db.execute(statement, (hold.subject, content)))

    async def release(self, subject: str) -> bool:
        statement = "DELETE FROM personal_hold WHERE subject = ?"
        return await self._run(lambda: self._db.execute(statement, (subject,)).rowcount) > 0

    async def holds(self) -> Sequence[Hold]:
        statement = "SELECT content FROM personal_hold ORDER BY subject"
        rows = await self._run(lambda: self._db.execute(statement).fetchall())
        return [msgspec.json.decode(content, type=Hold) for (content,) in rows]

    # -- how ------------------------------------------------------------------------------------------------------

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise self._not_open()
        return self._connection

    def _within(self, work: Callable[[], T]) -> T:
        """In one transaction, begun as a writer."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = work()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return done

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._thread is None:
            raise self._not_open()
        try:
            return await asyncio.wrap_future(self._thread.submit(work, *arguments))
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error

    def _not_open(self) -> StoreClosed:
        return StoreClosed(f"the key store {self.url} is not open", do="use it inside `async with app:`")

    def _translated(self, error: Exception) -> StoreError:
        text = str(error)
        if "locked" in text or "busy" in text:
            return StoreBusy(f"the key store {self.url} is in use for too long", why=text, do="try again")
        return StoreFailed(f"the key store {self.url} refused", why=text, do="check the file and its folder")
