"""The shelves: what is there, and what of it is spoken for."""

from collections.abc import Iterator
from typing import Any

from daicho import Aggregate, App, Command, Event, Rejected, apply, handle
from daicho.ports.event_bus import EventBus

__all__ = ["DeductStock", "Receive", "ReleaseStock", "ReserveStock", "Shelf", "service"]


class Receive(Command, name="stock.receive"):
    sku: str
    quantity: int


class ReserveStock(Command, name="stock.reserve"):
    sku: str
    order_id: str
    quantity: int


class ReleaseStock(Command, name="stock.release"):
    sku: str
    order_id: str


class DeductStock(Command, name="stock.deduct"):
    sku: str
    order_id: str


class StockReceived(Event, name="stock.received"):
    sku: str
    quantity: int


class StockReserved(Event, name="stock.reserved"):
    sku: str
    order_id: str
    quantity: int


class StockReleased(Event, name="stock.released"):
    sku: str
    order_id: str
    quantity: int


class StockDeducted(Event, name="stock.deducted"):
    sku: str
    order_id: str
    quantity: int


class Shelf(Aggregate, category="shelf", key="sku"):
    def __init__(self) -> None:
        self.free = 0
        self.reserved: dict[str, int] = {}

    @handle
    def receive(self, command: Receive) -> Iterator[StockReceived]:
        yield StockReceived(sku=command.sku, quantity=command.quantity)

    @handle
    def reserve(self, command: ReserveStock) -> Iterator[StockReserved]:
        if command.quantity > self.free:
            raise Rejected(f"only {self.free} of {command.sku} left")
        yield StockReserved(sku=command.sku, order_id=command.order_id, quantity=command.quantity)

    @handle
    def release(self, command: ReleaseStock) -> Iterator[StockReleased]:
        quantity = self._held_for(command.order_id)
        yield StockReleased(sku=command.sku, order_id=command.order_id, quantity=quantity)

    @handle
    def deduct(self, command: DeductStock) -> Iterator[StockDeducted]:
        quantity = self._held_for(command.order_id)
        yield StockDeducted(sku=command.sku, order_id=command.order_id, quantity=quantity)

    def _held_for(self, order_id: str) -> int:
        if order_id not in self.reserved:
            raise Rejected(f"nothing is reserved for {order_id}")
        return self.reserved[order_id]

    @apply
    def received(self, event: StockReceived) -> None:
        self.free += event.quantity

    @apply
    def reserved_for(self, event: StockReserved) -> None:
        self.free -= event.quantity
        self.reserved[event.order_id] = event.quantity

    @apply
    def released(self, event: StockReleased) -> None:
        self.free += self.reserved.pop(event.order_id)

    @apply
    def deducted(self, event: StockDeducted) -> None:
        del self.reserved[event.order_id]


def service(store: str, bus: str | EventBus, *, partitions: int = 4, **more: Any) -> App:
    """`more`: whatever else an App takes, a clock for instance."""
    return App(Shelf, name="inventory", store=store, bus=bus, partitions=partitions, **more)
