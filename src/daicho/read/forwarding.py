"""A view store in front of another one: whoever changes only part of what it does, says only that."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from daicho.ports.view_store import Mark, TableSpec, ViewChange, ViewStore

__all__ = ["Forwarding"]

S = TypeVar("S", bound=ViewStore)


class Forwarding(ViewStore, Generic[S]):
    """Does what the store behind it does."""

    def __init__(self, store: S) -> None:
        self.store = store

    async def open_table(self, table: TableSpec) -> None:
        await self.store.open_table(table)

    async def live_generation(self, name: str) -> int | None:
        return await self.store.live_generation(name)

    async def generations(self, name: str) -> Sequence[int]:
        return await self.store.generations(name)

    async def shape_fits(self, table: TableSpec) -> bool:
        return await self.store.shape_fits(table)

    async def plain(
        self, table: TableSpec, *, limit: int, after: str | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        return await self.store.plain(table, limit=limit, after=after)

    async def switch(self, table: TableSpec) -> None:
        await self.store.switch(table)

    async def drop_table(self, table: TableSpec) -> None:
        await self.store.drop_table(table)

    async def get(self, table: TableSpec, key: str) -> Any | None:
        return await self.store.get(table, key)

    async def get_many(self, table: TableSpec, keys: Sequence[str]) -> dict[str, Any]:
        return await self.store.get_many(table, keys)

    async def find(
        self,
        table: TableSpec,
        equals: Mapping[str, object],
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Any]:
        return await self.store.find(
            table, equals, order_by=order_by, descending=descending, limit=limit, offset=offset
        )

    async def page(
        self,
        table: TableSpec,
        equals: Mapping[str, object],
        *,
        limit: int,
        order_by: str | None = None,
        descending: bool = False,
        after: Mark | None = None,
    ) -> list[tuple[str, Any]]:
        return await self.store.page(table, equals, limit=limit, order_by=order_by, descending=descending, after=after)

    async def search(
        self, table: TableSpec, text: str, equals: Mapping[str, object], *, limit: int, offset: int = 0
    ) -> list[Any]:
        return await self.store.search(table, text, equals, limit=limit, offset=offset)

    async def count(self, table: TableSpec, equals: Mapping[str, object]) -> int:
        return await self.store.count(table, equals)

    async def settle(self, table: TableSpec) -> None:
        await self.store.settle(table)

    async def commit(self, change: ViewChange) -> None:
        await self.store.commit(change)
