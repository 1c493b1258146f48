"""Migrations asked for by hand: looked at, applied, or printed for somebody who may."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager

from daicho.adapters.stores.postgres.base import Part
from daicho.adapters.stores.postgres.lines import Connection, Line
from daicho.adapters.stores.postgres.schema import applied, migrate, migrations
from daicho.adapters.stores.postgres.server import checked_version
from daicho.core.times import from_text, to_text
from daicho.ports.storage import MigrationState

__all__ = ["PostgresMigrating"]

_HEAD = """\
-- The tables and functions of a Daicho store in the schema {schema}.
-- All or nothing, in one transaction. What is there already is left alone, so this may be run again.

begin isolation level read committed;

do $daicho$ begin
  -- the lock and the table of schema.py: a Daicho that starts meanwhile waits for this, or this for it
  perform pg_advisory_xact_lock(hashtextextended('daicho migrate {schema}', 0));
  if not exists (select from pg_namespace where nspname = '{schema}') then
    create schema "{schema}";
  end if;
  if not exists (select from pg_tables where schemaname = '{schema}' and tablename = 'daicho_migrations') then
    create table "{schema}".daicho_migrations (
      version integer primary key, name text not null, sha256 text not null,
      applied_at timestamptz not null default now());
  end if;
end $daicho$;
"""
_STEP = """
-- {version}: {name}

do $daicho$ begin
if not exists (select from daicho.daicho_migrations where version = {version}) then
execute $migration$

{text}
$migration$;
insert into daicho.daicho_migrations (version, name, sha256)
values ({version}, '{name}', '{sha256}');
end if;
end $daicho$;
"""


class PostgresMigrating(Part):
    """Fulfils `daicho.ports.storage.Migratable`. `?migrate=never` forbids what happens by itself, not this."""

    async def migrations(self) -> Sequence[MigrationState]:
        async with self._alone() as connection:
            return await self._states(connection)

    async def migrate(self) -> Sequence[MigrationState]:
        async with self._alone() as connection:
            await checked_version(connection, self._location)
            done = {migration.version for migration in await migrate(connection, self._location)}
            return [state for state in await self._states(connection) if state.version in done]

    def migration_sql(self) -> str:
        return "".join(self._script())

    def _script(self) -> Iterator[str]:
        yield _HEAD.format(schema=self._location.schema)
        for each in migrations():
            step = _STEP.format(version=each.version, name=each.name, text=each.text.strip(), sha256=each.sha256)
            yield self._in_schema(step)
        yield "\ncommit;\n"

    async def _states(self, connection: Connection) -> list[MigrationState]:
        async with connection.transaction():  # behind a pooler, only within one do settings last
            await connection.execute("select set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true)")
            present = await applied(connection, self._location)
        states: list[MigrationState] = []
        for each in migrations():
            at, sha256 = present.get(each.version, (None, each.sha256))
            when = None if at is None else to_text(from_text(at))
            changed = sha256 != each.sha256
            states.append(MigrationState(version=each.version, name=each.name, applied_at=when, changed=changed))
        return states

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[Connection]:
        """A connection for this alone; the store need not be open."""
        line = Line(self._location, prepare=False)
        try:
            connection = await line.ready()
            with self._told():
                yield connection
        finally:
            await line.hang_up()
