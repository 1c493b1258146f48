"""What is confirmed is shipped. Added later: this file is all there is of it, and no other knows of it."""

from collections.abc import Iterator
from typing import Any

from daicho import Aggregate, App, Command, Event, apply, event_handler, handle
from daicho.ports.event_bus import EventBus

__all__ = ["Parcel", "Ship", "service"]


class OrderConfirmed(Event, name="order.confirmed"):
    order_id: str
    sku: str
    quantity: int


class Ship(Command, name="parcel.ship"):
    order_id: str
    sku: str
    quantity: int


class Shipped(Event, name="parcel.shipped"):
    order_id: str
    sku: str
    quantity: int


class Parcel(Aggregate, category="parcel", key="order_id"):
    shipped: bool = False

    @handle
    def ship(self, command: Ship) -> Iterator[Shipped]:
        if not self.shipped:
            yield Shipped(order_id=command.order_id, sku=command.sku, quantity=command.quantity)

    @apply
    def was_shipped(self, _: Shipped) -> None:
        self.shipped = True


@event_handler(from_start=True)
def ship(event: OrderConfirmed) -> Iterator[Ship]:
    yield Ship(order_id=event.order_id, sku=event.sku, quantity=event.quantity)


def service(store: str, bus: str | EventBus, *, partitions: int = 4, **more: Any) -> App:
    """`more`: whatever else an App takes, a clock for instance."""
    return App(Parcel, ship, name="shipping", store=store, bus=bus, listen=["orders"], partitions=partitions, **more)
