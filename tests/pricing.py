"""Products and their prices: an aggregate that may be kept either way."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

from daicho import Aggregate, Command, Event, Rejected, apply, handle


class Price(Command):
    sku: str
    price: Decimal
    name: str = ""


class Drop(Command):
    sku: str


class Priced(Event, name="product.priced"):
    sku: str
    price: Decimal
    name: str = ""


class Dropped(Event, name="product.dropped"):
    sku: str


def product(persistence: Literal["events", "state"], **further: Any) -> type[Aggregate]:
    class Product(Aggregate, category="product", key="sku", persistence=persistence, **further):
        price: Decimal | None = None
        names: tuple[str, ...] = ()
        changes: int = 0

        @handle
        def set_price(self, command: Price) -> Iterator[Priced]:
            if command.price < 0:
                raise Rejected("a price is not negative")
            if command.price != self.price:
                yield Priced(sku=command.sku, price=command.price, name=command.name)

        @handle
        def drop(self, command: Drop) -> Iterator[Dropped]:
            if self.price is not None:
                yield Dropped(sku=command.sku)

        @apply
        def priced(self, event: Priced) -> None:
            self.price = event.price
            self.changes += 1
            if event.name and event.name not in self.names:
                self.names = (*self.names, event.name)

        @apply
        def dropped(self, _: Dropped) -> None:
            self.price = None
            self.changes += 1

    return Product


def values(state: Any) -> tuple[Decimal | None, tuple[str, ...], int]:
    return state.price, state.names, state.changes
