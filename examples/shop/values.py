"""The words that every part of the shop shares. They say what is valid once, for commands and events alike."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Protocol, TypeAlias

from msgspec import Meta

from daicho import State

__all__ = ["Country", "HasAmount", "Id", "Line", "Money", "PricedLine", "Quantity", "Sku", "quantities", "total_of"]

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""An id of our own making. Never a name or an e-mail address: ids end up in stream names, which cannot be erased."""
Sku: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, examples=["pen"])]
Quantity: TypeAlias = Annotated[int, Meta(gt=0)]
Money: TypeAlias = Decimal
"""Pounds, exact. Stored as text, so that 2.50 stays 2.50."""
Country: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]


class Line(State):
    """What a customer asks for."""

    sku: Sku
    quantity: Quantity


class PricedLine(State):
    """What a customer asked for, at the price of that moment."""

    sku: Sku
    quantity: Quantity
    unit_price: Money

    @property
    def amount(self) -> Money:
        return self.quantity * self.unit_price


class HasAmount(Protocol):
    @property
    def amount(self) -> Money: ...


def total_of(lines: Iterable[HasAmount]) -> Money:
    return sum((line.amount for line in lines), Money(0))


def quantities(lines: Iterable[Line | PricedLine]) -> dict[Sku, int]:
    """How many of each product, in the order of the lines."""
    found: dict[Sku, int] = {}
    for line in lines:
        found[line.sku] = found.get(line.sku, 0) + line.quantity
    return found
