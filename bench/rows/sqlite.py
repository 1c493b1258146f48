"""Rows in the file that has the events; by hand, in a file of their own."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import apsw

from bench import sqlite
from bench.model import Customer

UPSERT = """insert into customers values(?, ?, ?, ?)
on conflict(key) do update set customer=excluded.customer, lines=excluded.lines, total=excluded.total"""


class Sqlite:
    share = 1.0

    def __init__(self) -> None:
        self._store = sqlite.Sqlite()
        self.title = f"SQLite {apsw.sqlite_lib_version()}"
        self.events, self.rows = self._store.fresh(), None
        self.client = Client(self._store.path())

    def close(self) -> None:
        self._store.close()


class Client:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        self._connection = sqlite.connect(self._path)
        self._connection.execute("drop table if exists customers")
        self._connection.execute(
            "create table customers(key text primary key, customer text, lines integer, total text) without rowid"
        )

    async def put(self, rows: Mapping[str, Customer]) -> None:
        with self._connection:
            self._connection.executemany(UPSERT, [_columns(key, row) for key, row in rows.items()])

    async def settle(self) -> None:
        pass

    async def write(self, key: str, row: Customer) -> None:
        self._connection.execute(UPSERT, _columns(key, row))

    async def read(self, key: str) -> Customer:
        [(customer, lines, total)] = self._connection.execute(
            "select customer, lines, total from customers where key=?", (key,)
        ).fetchall()
        return Customer(customer=customer, lines=lines, total=Decimal(total))

    async def close(self) -> None:
        self._connection.close()


def _columns(key: str, row: Customer) -> tuple[str, str, int, str]:
    return key, row.customer, row.lines, str(row.total)
