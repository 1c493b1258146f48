"""Tables of others, read and never written: SQLite files, PostgreSQL databases, CSV files."""

import csv
import importlib
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from daicho.adapters.stores.sqlite import parse_url
from daicho.core.errors import BadUrl, MissingExtra, NotFound, StoreError, StoreUnavailable

__all__ = ["ForeignTable", "Source", "source_of"]


class ForeignTable(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    rows: int
    columns: tuple[str, ...]
    key: str | None
    """The primary key, if it is one column."""


class Source(Protocol):
    def tables(self) -> list[ForeignTable]: ...

    def rows(self, table: ForeignTable) -> Iterator[Mapping[str, Any]]:
        """In the order of the key."""
        ...

    def table(self, name: str) -> ForeignTable:
        """Raises NotFound."""
        ...


class _Named:
    def tables(self) -> list[ForeignTable]:
        raise NotImplementedError

    def table(self, name: str) -> ForeignTable:
        tables = {table.name: table for table in self.tables()}
        if name not in tables:
            raise NotFound(f"there is no table {name!r}", do=f"name one of {', '.join(tables) or 'none'}")
        return tables[name]


@contextmanager
def source_of(url: str) -> Generator[Source, None, None]:
    """`sqlite:///old.db`, `postgresql://host/db`, or the name of a .csv file.

    Raises BadUrl, StoreError, MissingExtra.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        path = Path(parse_url(url).path)
        if not path.exists():
            raise StoreError(
                f"there is no database at {url}", why=f"the file {path} does not exist", do="check the name"
            )
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            yield _Sqlite(connection, url)
    elif scheme in ("postgresql", "postgres"):
        with _connected(url) as connection:
            yield _Postgres(connection)
    elif url.endswith(".csv"):
        if not Path(url).exists():
            raise StoreError(f"there is no file {url}", do="check the name")
        yield _Csv(Path(url))
    else:
        raise BadUrl(
            f"{url!r} is no place that rows can be taken from",
            do="write sqlite:///old.db, postgresql://host/db, or the name of a .csv file",
        )


class _Sqlite(_Named):
    def __init__(self, connection: sqlite3.Connection, url: str) -> None:
        self._connection, self._url = connection, url

    def tables(self) -> list[ForeignTable]:
        try:
            names = [
                row[0]
                for row in self._connection.execute(
                    "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name"
                )
            ]
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self._url} cannot be read", why=str(error)) from error
        return [self._described(name) for name in names]

    def _described(self, name: str) -> ForeignTable:
        columns = self._connection.execute(f"pragma table_info({_quoted(name)})").fetchall()
        keys = [row["name"] for row in columns if row["pk"]]
        [count] = self._connection.execute(f"select count(*) from {_quoted(name)}").fetchone()  # noqa: S608
        return ForeignTable(
            name=name,
            rows=count,
            columns=tuple(row["name"] for row in columns),
            key=keys[0] if len(keys) == 1 else None,
        )

    def rows(self, table: ForeignTable) -> Iterator[Mapping[str, Any]]:
        order = f" order by {_quoted(table.key)}" if table.key else ""
        for row in self._connection.execute(f"select * from {_quoted(table.name)}{order}"):  # noqa: S608
            yield dict(zip(row.keys(), row, strict=True))


@contextmanager
def _connected(url: str) -> Generator[Any, None, None]:
    try:
        psycopg: Any = importlib.import_module("psycopg")
    except ImportError as error:
        raise MissingExtra(
            "rows of PostgreSQL need an extra", why=str(error), do='pip install "daicho[postgres]"', extra="postgres"
        ) from error
    try:
        connection = psycopg.connect(url, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise StoreUnavailable("the database does not answer", why=str(error), do="check the URL") from error
    with closing(connection):
        connection.read_only = True
        yield connection


class _Postgres(_Named):
    """Tables of the search path's first schema; all that is read is of one moment."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        connection.isolation_level = 3  # repeatable read

    def tables(self) -> list[ForeignTable]:
        found: list[ForeignTable] = []
        names = self._connection.execute(
            "select table_name from information_schema.tables where table_schema = current_schema() "
            "and table_type = 'BASE TABLE' order by 1"
        ).fetchall()
        for (name,) in names:
            columns = self._connection.execute(
                "select column_name from information_schema.columns where table_schema = current_schema() "
                "and table_name = %s order by ordinal_position",
                (name,),
            ).fetchall()
            keys = self._connection.execute(
                "select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid "
                "and a.attnum = any(i.indkey) where i.indisprimary and i.indrelid = %s::regclass",
                (_quoted(name),),
            ).fetchall()
            [count] = self._connection.execute(f"select count(*) from {_quoted(name)}").fetchone()  # noqa: S608
            key = keys[0][0] if len(keys) == 1 else None
            found.append(ForeignTable(name=name, rows=count, columns=tuple(c for (c,) in columns), key=key))
        return found

    def rows(self, table: ForeignTable) -> Iterator[Mapping[str, Any]]:
        order = f" order by {_quoted(table.key)}" if table.key else ""
        with self._connection.cursor(name="daicho_adopt") as cursor:
            cursor.execute(f"select * from {_quoted(table.name)}{order}")  # noqa: S608
            for row in cursor:
                yield dict(zip(table.columns, row, strict=True))


class _Csv(_Named):
    """One table with the name of the file. The first column is taken for the key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tables(self) -> list[ForeignTable]:
        with self._path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            columns = tuple(next(reader, ()))
            count = sum(1 for row in reader if row)
        key = columns[0] if columns else None
        return [ForeignTable(name=self._path.stem, rows=count, columns=columns, key=key)]

    def rows(self, table: ForeignTable) -> Iterator[Mapping[str, Any]]:
        with self._path.open(encoding="utf-8-sig", newline="") as text:
            yield from csv.DictReader(text)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
