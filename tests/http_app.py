"""A small App with an HTTP face, and clients for it: in the same process, or by way of a real server."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any

import httpx
import uvicorn
from msgspec import Meta, Struct
from starlette.applications import Starlette

from daicho import (
    Aggregate,
    App,
    Command,
    Event,
    Query,
    Rejected,
    Route,
    Row,
    Views,
    apply,
    handle,
    projection,
    query_handler,
)
from daicho.http import HttpSettings, create


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    price: Decimal = Decimal(0)
    parts: "list[Part]" = []


class Register(Command):
    tool: Annotated[str, Meta(min_length=1, max_length=40)]
    weight: Annotated[float, Meta(ge=0)] = 0.0
    parts: list[Part] = []


class Lend(Command):
    tool: str
    to: str
    days: Annotated[int, Meta(ge=1, le=60)] = 14


class Retire(Command):
    tool: str


class Burn(Command):
    """Its handler has a fault."""

    tool: str


class Registered(Event, name="tool.registered", tags=("tool",)):
    tool: str
    weight: float
    parts: list[Part] = []


class Lent(Event, name="tool.lent", tags=("tool", "to")):
    tool: str
    to: str
    days: int


class Retired(Event, name="tool.retired"):
    tool: str


class Tool(Aggregate, category="tool", key="tool"):
    state: str = "absent"

    @handle
    def register(self, command: Register) -> Iterator[Registered]:
        if self.state != "absent":
            raise Rejected(f"{command.tool} is there already", state=self.state)
        yield Registered(tool=command.tool, weight=command.weight, parts=command.parts)

    @handle
    def lend(self, command: Lend) -> Iterator[Lent]:
        if self.state != "here":
            raise Rejected(f"{command.tool} is {self.state}")
        yield Lent(tool=command.tool, to=command.to, days=command.days)

    @handle
    def retire(self, command: Retire) -> Iterator[Retired]:
        if self.state != "gone":
            yield Retired(tool=command.tool)

    @handle
    def burn(self, command: Burn) -> Iterator[Retired]:
        if command.tool:
            raise ZeroDivisionError("a secret of the code")
        yield Retired(tool=command.tool)

    @apply
    def registered(self, _: Registered) -> None:
        self.state = "here"

    @apply
    def lent(self, _: Lent) -> None:
        self.state = "lent"

    @apply
    def retired(self, _: Retired) -> None:
        self.state = "gone"


class ToolRow(Row):
    tool: str
    state: str


@projection("tools", key=lambda event: event.tool)
def tools(row: ToolRow | None, event: Registered | Lent | Retired) -> ToolRow:
    state = {Registered: "here", Lent: "lent", Retired: "gone"}[type(event)]
    return ToolRow(tool=event.tool, state=state)


class FindTools(Query[list[ToolRow]]):
    state: str | None = None
    names: list[str] = []
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    heavier_than: Decimal = Decimal(0)


class OneTool(Query[ToolRow | None]):
    tool: str


class Faulty(Query[int]):
    """Its handler has a fault."""


@query_handler
async def find(query: FindTools, views: Views) -> list[ToolRow]:
    found = await views[tools].find(**({"state": query.state} if query.state else {}))
    return [row for row in found if not query.names or row.tool in query.names][: query.limit]


@query_handler
async def one(query: OneTool, views: Views) -> ToolRow | None:
    return await views[tools].get(query.tool)


@query_handler
async def faulty(query: Faulty, views: Views) -> int:
    raise ZeroDivisionError("a secret of the code")


def lending(url: str = "memory:", *more: Any, **options: Any) -> App:
    return App(
        Tool,
        tools,
        find,
        one,
        faulty,
        Route("POST", "/tools", Register),
        Route("GET", "/tools", FindTools),
        Route("GET", "/tools/{tool}", OneTool),
        Route("PUT", "/tools/{tool}/loan", Lend),
        Route("DELETE", "/tools/{tool}", Retire, if_match=True),
        *more,
        store=url,
        name="lending",
        **options,
    )


@asynccontextmanager
async def client_of(
    app: App, settings: HttpSettings | None = None, **options: Any
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client in the same process, of the App, which runs."""
    transport = httpx.ASGITransport(create(app, settings=settings, **options), raise_app_exceptions=False)
    async with app, httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


@asynccontextmanager
async def served(asgi: Starlette) -> AsyncGenerator[int]:
    """The port of a real server, in this process. Its streams end before it does."""
    config = uvicorn.Config(asgi, log_config=None, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before the server is ready waits
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            asgi.state.streams.close()
            server.should_exit = True
            await serving
