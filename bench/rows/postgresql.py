"""Rows in the database that has the events; by hand, in a database of their own in the same cluster."""

from collections.abc import Mapping
from typing import Any

import psycopg

from bench import postgresql
from bench.model import Customer

CREATE = "create table customers (key text primary key, customer text not null, lines bigint not null, total numeric)"
ON_CONFLICT = """on conflict (key) do update
set customer = excluded.customer, lines = excluded.lines, total = excluded.total"""
UPSERT = f"insert into customers values (%s, %s, %s, %s) {ON_CONFLICT}"
UPSERT_MANY = f"""insert into customers
select * from unnest(%s::text[], %s::text[], %s::bigint[], %s::text[]::numeric[]) {ON_CONFLICT}"""


class Postgresql:
    share = 1.0

    def __init__(self) -> None:
        """Raises `tests.services.find.Unavailable`, which says what is missing."""
        self._store = postgresql.Postgresql()
        with psycopg.connect(self._store.fresh()) as connection:
            version = connection.info.server_version
        self.title = f"PostgreSQL {version // 10000}.{version % 10000}"
        self.events, self.rows = self._store.fresh(), None
        self.client = Client(self._store.fresh())

    def close(self) -> None:
        self._store.close()


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        [self._cursor] = await postgresql.cursors(self._url, 1)
        await self._cursor.execute("drop table if exists customers")
        await self._cursor.execute(CREATE)

    async def put(self, rows: Mapping[str, Customer]) -> None:
        columns = zip(*(_columns(key, row) for key, row in rows.items()), strict=True)
        await self._cursor.execute(UPSERT_MANY, [list(column) for column in columns])

    async def settle(self) -> None:
        pass

    async def write(self, key: str, row: Customer) -> None:
        await self._cursor.execute(UPSERT, _columns(key, row))

    async def read(self, key: str) -> Customer:
        await self._cursor.execute("select customer, lines, total from customers where key = %s", (key,))
        [(customer, lines, total)] = await self._cursor.fetchall()
        return Customer(customer=customer, lines=lines, total=total)

    async def close(self) -> None:
        await postgresql.hang_up([self._cursor])


def _columns(key: str, row: Customer) -> tuple[Any, ...]:
    return key, row.customer, row.lines, str(row.total)
