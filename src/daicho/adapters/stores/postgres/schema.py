"""Migrations: numbered files, applied in order, each once, by one process at a time."""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

import msgspec
import psycopg

from daicho.adapters.stores.postgres.failures import translated
from daicho.adapters.stores.postgres.lines import Connection
from daicho.adapters.stores.postgres.location import Location
from daicho.adapters.stores.postgres.queries import in_schema
from daicho.core.errors import ForeignStore, StoreOutdated

__all__ = ["Migration", "applied", "migrate", "migrations"]

_FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(\d{4})_(\w+)\.sql\Z")
_TABLE = """create table if not exists daicho.daicho_migrations (
  version integer primary key, name text not null, sha256 text not null,
  applied_at timestamptz not null default now())"""


class Migration(msgspec.Struct, frozen=True):
    version: int
    name: str
    text: str
    """For a schema called `daicho`."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@lru_cache(1)
def migrations() -> tuple[Migration, ...]:
    """All that this Daicho knows, in order."""
    found: list[Migration] = []
    for path in sorted(_FOLDER.glob("*.sql")):
        named = _NAME.match(path.name)
        assert named is not None, path
        found.append(Migration(int(named[1]), named[2].replace("_", " "), path.read_text(encoding="utf-8")))
    return tuple(found)


async def applied(connection: Connection, location: Location) -> dict[int, tuple[str, str]]:
    """Version -> (when, sha256) of what the database has; empty for a new one. Raises ForeignStore."""
    # not by to_regclass: after waiting for a lock that may remember that there is no such table
    cursor = await connection.execute(
        "select relname from pg_class join pg_namespace n on n.oid = relnamespace "
        "where nspname = %s and relname in ('daicho_migrations', 'events')",
        (location.schema,),
    )
    tables = {name for (name,) in await cursor.fetchall()}
    if "daicho_migrations" not in tables:
        if "events" in tables:
            raise ForeignStore(
                f"the schema {location.schema!r} of {location.url} belongs to another program",
                why="it has a table `events`, but none that says which Daicho made it",
                do="name a schema of its own with ?schema=; nothing in this one was touched",
                schema=location.schema,
            )
        return {}
    text = in_schema("select version, applied_at::text, sha256 from daicho.daicho_migrations", location.schema)
    rows = await (await connection.execute(text.encode())).fetchall()
    found = {version: (at, sha256) for version, at, sha256 in rows}
    known = migrations()[-1].version
    if newest := max((version for version in found if version > known), default=0):
        raise ForeignStore(
            f"{location.url} was migrated by a newer Daicho",
            why=f"its schema is version {newest}, this Daicho knows version {known}",
            do="pip install --upgrade daicho",
            version=newest,
        )
    return found


async def migrate(connection: Connection, location: Location, *, only_check: bool = False) -> list[Migration]:
    """Applies what is missing, all of it in one transaction, and returns that.

    Safe when several processes start at once. Raises ForeignStore, StoreOutdated (`only_check`), StoreFailed.
    """
    try:
        missing = await _missing(connection, location)
    except psycopg.Error as error:
        raise translated(error, location.url) from error
    if not missing:
        return []
    if only_check:
        raise StoreOutdated(
            f"{location.url} lacks {len(missing)} of {len(migrations())} migrations",
            why="this Daicho needs tables that are not there, and ?migrate=never forbids to make them",
            do="let somebody who may do `daicho migrate up`, or run what `daicho migrate sql` prints",
            missing=[migration.version for migration in missing],
        )
    try:
        async with connection.transaction():
            # otherwise what is seen after waiting would be what was there before
            await connection.execute("set transaction isolation level read committed")
            lock = f"daicho migrate {location.schema}"
            await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (lock,))
            missing = await _missing(connection, location)  # another process may have been faster
            cursor = await connection.execute("select 1 from pg_namespace where nspname = %s", (location.schema,))
            if await cursor.fetchone() is None:  # whoever may not create schemas may still be given one
                await connection.execute(f'create schema "{location.schema}"'.encode())
            await connection.execute(in_schema(_TABLE, location.schema).encode())
            for migration in missing:
                await connection.execute(in_schema(migration.text, location.schema).encode(), prepare=False)
                note = "insert into daicho.daicho_migrations (version, name, sha256) values (%s, %s, %s)"
                await connection.execute(
                    in_schema(note, location.schema).encode(), (migration.version, migration.name, migration.sha256)
                )
    except psycopg.Error as error:
        raise translated(error, location.url) from error
    return missing


async def _missing(connection: Connection, location: Location) -> list[Migration]:
    present = await applied(connection, location)
    return [migration for migration in migrations() if migration.version not in present]
