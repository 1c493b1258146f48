"""Keys in a PostgreSQL database, best in another one than the events: `postgresql://host/keys?schema=people`.

A backup that holds both keys and events brings back who was forgotten since. PostgreSQL keeps old versions of rows
until VACUUM, and write-ahead log and base backups as long as they are archived; see docs/howto/personal.md.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from daicho.core.errors import BadUrl, StoreClosed, StoreError, StoreFailed, StoreUnavailable, SubjectHeld
from daicho.ports.key_store import Certificate, Hold

__all__ = ["PostgresKeys"]

T = TypeVar("T")
Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,50}\Z")
_OF_STORES = {"pool", "pooler", "migrate", "reconnect_within"}
"""Options of an event store's URL, which mean nothing here: so that the same URL can be given."""
_TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.personal_key (
    name text PRIMARY KEY, key bytea, destroyed bigint UNIQUE, made_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS {schema}.personal_certificate (
    certificate_id text PRIMARY KEY, subject text NOT NULL, forgotten_at text NOT NULL, content bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.personal_hold (subject text PRIMARY KEY, content bytea NOT NULL);
"""
_LOCK = 7_313_118_401
"""Advisory lock: who destroys, or makes the tables, does so alone, so that the numbers of the destroyed are handed out
in commit order."""


class PostgresKeys:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        schema = dict(given).get("schema", "daicho_keys")
        host = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{host}{parts.path}"
        if not _SCHEMA.match(schema) or schema.startswith("pg_"):
            raise BadUrl(f"schema={schema} is not possible", do="write small letters, digits and _", url=self.url)
        theirs = [(name, value) for name, value in given if name != "schema" and name not in _OF_STORES]
        try:
            plain = urlunsplit(parts._replace(query=urlencode(theirs, quote_via=quote)))
            self._conninfo = make_conninfo(plain, client_encoding="utf8")
        except psycopg.Error as error:
            raise BadUrl(f"{self.url!r} cannot be understood", why=str(error).strip(), url=self.url) from None
        self._schema = sql.Identifier(schema)
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._open = False

    async def open(self) -> None:
        self._open = True
        try:
            await self._run(self._opened)
        except BaseException:
            await self.close()
            raise

    async def _opened(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            await connection.execute(self._text(_TABLES))

    async def close(self) -> None:
        self._open = False
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def find(self, names: Sequence[str]) -> dict[str, bytes | None]:
        return await self._run(lambda connection: self._find(connection, names))

    async def _find(self, connection: Connection, names: Sequence[str]) -> dict[str, bytes | None]:
        text = self._text("SELECT name, key FROM {schema}.personal_key WHERE name = ANY(%s)")
        found: dict[str, bytes | None] = dict(await (await connection.execute(text, (list(names),))).fetchall())
        return found

    async def make(self, keys: Mapping[str, bytes]) -> dict[str, bytes | None]:
        async def make(connection: Connection) -> dict[str, bytes | None]:
            names = sorted(keys)  # in one order: two that make the same ones wait for each other, never in a circle
            text = self._text(
                "INSERT INTO {schema}.personal_key (name, key) SELECT * FROM unnest(%s::text[], %s::bytea[]) "
                "ON CONFLICT DO NOTHING"
            )
            await connection.execute(text, (names, [keys[name] for name in names]))
            return await self._find(connection, names)

        return await self._run(make)

    async def destroy(self, names: Sequence[str], certificate: Certificate) -> int:
        async def destroy(connection: Connection) -> int:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                return await self._destroy(connection, list(dict.fromkeys(names)), certificate)

        return await self._run(destroy)

    async def _destroy(self, connection: Connection, names: Sequence[str], certificate: Certificate) -> int:
        text = self._text("SELECT content FROM {schema}.personal_hold WHERE subject = %s FOR SHARE")
        for (content,) in await (await connection.execute(text, (certificate.subject,))).fetchall():
            hold = msgspec.json.decode(content, type=Hold)
            raise SubjectHeld.by(hold.subject, hold.reason, hold.held_by)
        text = self._text("SELECT coalesce(max(destroyed), 0) FROM {schema}.personal_key")
        row = await (await connection.execute(text)).fetchone()
        number, known = int(row[0]) if row else 0, await self._find(connection, names)
        fresh = [name for name in names if known.get(name, b"") is not None]
        text = self._text(
            "INSERT INTO {schema}.personal_key (name, key, destroyed) "
            "SELECT name, NULL, number FROM unnest(%s::text[], %s::bigint[]) AS given (name, number) "
            "ON CONFLICT (name) DO UPDATE SET key = NULL, destroyed = excluded.destroyed"
        )
        await connection.execute(text, (fresh, [number + n for n in range(1, len(fresh) + 1)]))
        await self._certify(connection, certificate)
        return sum(name in known for name in fresh)

    async def destroyed(self, after: int) -> tuple[int, Sequence[str]]:
        text = self._text("SELECT destroyed, name FROM {schema}.personal_key WHERE destroyed > %s ORDER BY destroyed")
        rows = await self._rows(text, (after,))
        return (int(rows[-1][0]) if rows else after), [str(name) for _, name in rows]

    async def certify(self, certificate: Certificate) -> None:
        await self._run(lambda connection: self._certify(connection, certificate))

    async def _certify(self, connection: Connection, certificate: Certificate) -> None:
        text = self._text(
            "INSERT INTO {schema}.personal_certificate VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (certificate_id) DO UPDATE SET content = excluded.content"
        )
        content = msgspec.json.encode(certificate)
        values = (certificate.certificate_id, certificate.subject, certificate.forgotten_at, content)
        await connection.execute(text, values)

    async def certificates(self, subject: str | None = None) -> Sequence[Certificate]:
        text = self._text(
            "SELECT content FROM {schema}.personal_certificate WHERE %s::text IS NULL OR subject = %s "
            "ORDER BY forgotten_at DESC, certificate_id DESC"
        )
        return [msgspec.json.decode(row[0], type=Certificate) for row in await self._rows(text, (subject, subject))]

    async def hold(self, hold: Hold) -> None:
        text = self._text(
            "INSERT INTO {schema}.personal_hold VALUES (%s, %s) "
            "ON CONFLICT (subject) DO UPDATE SET content = excluded.content RETURNING subject"
        )
        await self._rows(text, (hold.subject, msgspec.json.encode(hold)))

    async def release(self, subject: str) -> bool:
        text = self._text("DELETE FROM {schema}.personal_hold WHERE subject = %s RETURNING subject")
        return bool(await self._rows(text, (subject,)))

    async def holds(self) -> Sequence[Hold]:
        text = self._text('SELECT content FROM {schema}.personal_hold ORDER BY subject COLLATE "C"')
        return [msgspec.json.decode(row[0], type=Hold) for row in await self._rows(text, ())]

    # -- how ------------------------------------------------------------------------------------------------------

    def _text(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(schema=self._schema)  # pyright: ignore[reportArgumentType] - constants of this file

    async def _rows(self, text: sql.Composed, values: Sequence[object]) -> Sequence[tuple[Any, ...]]:
        async def rows(connection: Connection) -> Sequence[tuple[Any, ...]]:
            return await (await connection.execute(text, values)).fetchall()

        return await self._run(rows)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Once more on a new connection if the old one was lost: everything here may be done twice."""
        async with self._turn:
            if not self._open:
                raise StoreClosed(f"the key store {self.url} is not open", do="use it inside `async with app:`")
            for last in (False, True):
                connection = self._connection
                try:
                    if connection is None or connection.closed:
                        connection = self._connection = await psycopg.AsyncConnection.connect(
                            self._conninfo, autocommit=True, prepare_threshold=None
                        )
                    return await work(connection)
                except psycopg.Error as error:
                    away = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
                    if away and not last and (connection is None or connection.closed):
                        continue
                    raise self._translated(error, away) from error
        raise AssertionError("the second try returns or raises")

    def _translated(self, error: Exception, away: bool) -> StoreError:
        text = str(error).strip() or type(error).__name__
        if away:
            return StoreUnavailable(f"the key store {self.url} does not answer", why=text, do="check the server")
        return StoreFailed(f"the key store {self.url} refused", why=text, do="look into the server's log")
