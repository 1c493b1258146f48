"""One side of `python -m bench http` as a server process: `python -m bench.http_sides SIDE URL PORT`."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import uvicorn

from bench.model import AddLine, Customer, Order, customers, get_customer

CONNECTIONS = 8
FILL = """insert into customers
select 'customer-' || n, 'customer-' || n, 1, 12.34 from generate_series(0, 199) n"""
_decode = msgspec.json.Decoder(AddLine).decode
_encode = msgspec.json.Encoder().encode
_CUSTOMER = msgspec.json.Encoder()


def daicho(url: str) -> Any:
    """All that `daicho run all` serves."""
    from daicho import App
    from daicho.server import application

    return application(App(Order, customers, get_customer, store=url))


def raw(url: str) -> Any:
    """Starlette and the driver."""
    return _raw_sqlite(url) if url.startswith("sqlite") else _raw_postgresql(url)


def _starlette(command: Any, query: Any, lifespan: Any = None) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def post(request: Request) -> Response:
        body = await request.body()
        line = _decode(body)
        position = await command(line, _encode(line))
        return Response(_encode({"stream": line.order_id, "position": position}), 201, media_type="application/json")

    async def get(request: Request) -> Response:
        found = await query(request.query_params["customer"])
        return Response(_encode(found), media_type="application/json")

    async def live(_: Request) -> Response:
        return Response(b"ok")

    routes = [
        Route("/commands/AddLine", post, methods=["POST"]),
        Route("/queries/GetCustomer", get),
        Route("/livez", live),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _raw_sqlite(url: str) -> Any:
    import apsw

    from bench.sqlite import INSERT, SCHEMA

    path = url.removeprefix("sqlite:///")
    writer, reader = apsw.Connection(path), apsw.Connection(path)
    for connection in (writer, reader):
        connection.execute("pragma journal_mode=wal; pragma synchronous=full")
        connection.set_busy_timeout(5000)
    writer.execute(SCHEMA)
    for n in range(200):
        row = (f"customer-{n}", f"customer-{n}", 1, "12.34")
        writer.execute("insert into customers values(?, ?, ?, ?)", row)
    turn = asyncio.Lock()

    def insert(stream: str, data: bytes) -> int:
        writer.execute("begin immediate")
        writer.execute(INSERT, (stream, 1, "line.added", data.decode()))
        writer.execute("commit")
        return writer.last_insert_rowid()

    async def command(line: AddLine, data: bytes) -> int:
        async with turn:
            return await asyncio.to_thread(insert, line.order_id, data)

    async def query(customer: str) -> Customer | None:
        row = reader.execute("select customer, lines, total from customers where key = ?", (customer,)).fetchone()
        return None if row is None else Customer(customer=row[0], lines=row[1], total=Decimal(row[2]))

    return _starlette(command, query)


def _raw_postgresql(url: str) -> Any:
    from psycopg_pool import AsyncConnectionPool

    from bench.postgresql import SCHEMA

    pool = AsyncConnectionPool(url, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False, kwargs={"autocommit": True})
    insert = "insert into events (stream, version, type, data) values (%s, %s, %s, %s) returning pos"

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        async with pool:
            async with pool.connection() as connection:
                await connection.execute(SCHEMA)
                await connection.execute(FILL)
            yield

    async def command(line: AddLine, data: bytes) -> int:
        async with pool.connection() as connection:
            row = await (await connection.execute(insert, (line.order_id, 1, "line.added", data))).fetchone()
            return int(row[0]) if row else 0

    async def query(customer: str) -> Customer | None:
        async with pool.connection() as connection:
            found = await connection.execute("select customer, lines, total from customers where key = %s", (customer,))
            row = await found.fetchone()
            return None if row is None else Customer(customer=row[0], lines=row[1], total=row[2])

    return _starlette(command, query, lifespan)


def eventsourcing(url: str) -> Any:
    """FastAPI, with plain functions for endpoints, as the package is synchronous."""
    from urllib.parse import urlsplit
    from uuid import NAMESPACE_URL, uuid4, uuid5

    from eventsourcing.application import AggregateNotFoundError, Application
    from eventsourcing.domain import Aggregate, event
    from fastapi import Body, FastAPI

    class Account(Aggregate):
        def __init__(self, name: str) -> None:
            self.name, self.lines = name, 0

        @event("LineAdded")
        def add(self, order_id: str, amount: str, items: list[dict[str, Any]]) -> None:
            self.lines += 1

        @staticmethod
        def create_id(name: str) -> Any:
            return uuid5(NAMESPACE_URL, name)

    class Line(Aggregate):
        def __init__(self, order_id: str, customer: str, amount: str, items: list[dict[str, Any]]) -> None:
            self.order_id = order_id

        @staticmethod
        def create_id(order_id: str, **_: Any) -> Any:
            return uuid4()

    class Shop(Application):
        env: Any

    if url.startswith("sqlite"):
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": url.removeprefix("sqlite:///")}
    else:
        parts = urlsplit(url)
        env = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": parts.path.lstrip("/"),
            "POSTGRES_HOST": parts.hostname or "127.0.0.1",
            "POSTGRES_PORT": str(parts.port or 5432),
            "POSTGRES_USER": parts.username or "postgres",
            "POSTGRES_PASSWORD": parts.password or "",
            "POSTGRES_POOL_SIZE": str(CONNECTIONS),
        }
    shop = Shop(env=env)
    for n in range(200):
        shop.save(Account(f"customer-{n}"))
    api = FastAPI()

    @api.post("/commands/AddLine", status_code=201)
    def post(line: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
        made = Line(line["order_id"], line["customer"], line["amount"], line["items"])
        shop.save(made)
        return {"stream": str(made.id)}

    @api.get("/queries/GetCustomer")
    def get(customer: str) -> dict[str, Any] | None:
        try:
            found: Any = shop.repository.get(Account.create_id(customer))
        except AggregateNotFoundError:
            return None
        return {"customer": found.name, "lines": found.lines}

    @api.get("/livez")
    def live() -> str:
        return "ok"

    return api


SIDES = {"daicho": daicho, "raw": raw, "eventsourcing": eventsourcing}

if __name__ == "__main__":
    side, where, port = sys.argv[1:]
    uvicorn.run(SIDES[side](where), port=int(port), log_level="error", access_log=False, lifespan="auto")
