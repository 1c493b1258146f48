"""Rows by hand, with the client of each store and nothing else: what the rows of views are measured beside."""

from collections.abc import Mapping
from typing import Protocol

from bench.model import Customer


class Client(Protocol):
    """Rows by key, as somebody would write them who has no use for guards, positions and generations."""

    async def open(self) -> None:
        """Connects to a table that is new and empty."""
        ...

    async def put(self, rows: Mapping[str, Customer]) -> None:
        """All of them in one go, new or not: the store's best way to write many."""
        ...

    async def settle(self) -> None:
        """When this returns, everybody finds them."""
        ...

    async def write(self, key: str, row: Customer) -> None: ...

    async def read(self, key: str) -> Customer: ...

    async def close(self) -> None: ...


class Place(Protocol):
    """Where an App has its events and the rows of its view."""

    title: str
    events: str
    """URL."""
    rows: str | None
    """URL, if they are not with the events."""
    share: float
    """Of the history that the others get: less where it would take minutes."""
    client: Client | None
    """None: there is nothing between Daicho and the rows that one could use by hand."""

    def close(self) -> None: ...
