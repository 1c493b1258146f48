"""Stores that outlive their App, for tests of what a deploy does, and all that is in them."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import apsw
import psycopg

from daicho.adapters.stores.memory import MemoryStorage

__all__ = ["LastingMemory", "everything_in"]


class LastingMemory(MemoryStorage):
    """Closing it forgets nothing."""

    def __init__(self) -> None:
        super().__init__(now=lambda: datetime.now(UTC))

    async def open(self) -> None:
        if self._contents is None:
            await super().open()

    async def close(self) -> None: ...


def everything_in(url: str, memory: MemoryStorage | None = None) -> dict[str, Any]:
    """All rows of all tables; but for leases, which every heartbeat prolongs."""
    if memory is not None:
        contents = memory._opened()
        names = ("events", "streams", "snapshots", "checkpoints", "letters", "outcomes", "tables", "live")
        return {name: repr(getattr(contents, name)) for name in names}
    if url.startswith("sqlite"):
        # the library of the App: a second one in the same process would drop the locks of the first
        with closing(apsw.Connection(url.removeprefix("sqlite:///").partition("?")[0])) as connection:
            found = connection.execute("select name from sqlite_schema where type = 'table' order by name")
            tables = [name for (name,) in found.fetchall()]
            return {name: sorted(map(repr, connection.execute(_all_but_leases(connection, name)))) for name in tables}
    with psycopg.connect(url) as connection:
        found = connection.execute("select tablename from pg_tables where schemaname = 'daicho' order by 1")
        return {
            name: _rows(connection.execute(f"select to_jsonb(t) - 'lease_until' from daicho.\"{name}\" t".encode()))
            for (name,) in found.fetchall()
        }


def _all_but_leases(connection: Any, table: str) -> str:
    columns = [row[1] for row in connection.execute(f'pragma table_info("{table}")') if row[1] != "lease_until"]
    named = ", ".join(f'"{column}"' for column in columns)
    return f'select {named} from "{table}"'


def _rows(cursor: Any) -> list[str]:
    kept = [n for n, column in enumerate(cursor.description) if column[0] != "lease_until"]
    return sorted(repr([row[n] for n in kept]) for row in cursor.fetchall())
