"""The stock of one product: what is on the shelf, and for whom it is put aside."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from daicho import Aggregate, Command, Event, apply, handle
from examples.shop.values import Id, Quantity, Sku

__all__ = [
    "CountStock",
    "DeductInventory",
    "Inventory",
    "InventoryDeducted",
    "InventoryReleased",
    "InventoryReserved",
    "InventoryReturned",
    "InventoryShort",
    "ReceiveStock",
    "ReleaseInventory",
    "ReserveInventory",
    "ReturnInventory",
    "StockCounted",
    "StockReceived",
    "StockWrittenOff",
    "WriteOffStock",
]


class ReceiveStock(Command):
    sku: Sku
    quantity: Quantity


class ReserveInventory(Command):
    sku: Sku
    order_id: Id
    quantity: Quantity


class ReleaseInventory(Command):
    sku: Sku
    order_id: Id


class WriteOffStock(Command):
    """Broken, lost or thrown away: a fact, whatever the books say."""

    sku: Sku
    quantity: Quantity
    reason: str


class CountStock(Command):
    """Stocktaking: so many are really there, whatever the books say."""

    sku: Sku
    counted: Annotated[int, Meta(ge=0)]


class DeductInventory(Command):
    """A sale of the past. It happened, so it cannot be refused, even if the books then show less than nothing."""

    sku: Sku
    invoice: Id
    quantity: Quantity


class ReturnInventory(Command):
    """A return of the past."""

    sku: Sku
    invoice: Id
    quantity: Quantity


class StockReceived(Event, name="inventory.received", version=1):
    sku: Sku
    quantity: Quantity


class InventoryReserved(Event, name="inventory.reserved", version=1):
    sku: Sku
    order_id: Id
    quantity: Quantity


class InventoryShort(Event, name="inventory.short", version=1):
    sku: Sku
    order_id: Id
    wanted: Quantity
    available: int


class InventoryReleased(Event, name="inventory.released", version=1):
    sku: Sku
    order_id: Id
    quantity: Quantity


class StockWrittenOff(Event, name="inventory.written_off", version=1):
    sku: Sku
    quantity: Quantity
    reason: str


class StockCounted(Event, name="inventory.counted", version=1):
    sku: Sku
    counted: int
    missing: int
    """How many the books had in excess; negative if some were found."""


class InventoryDeducted(Event, name="inventory.deducted", version=1):
    sku: Sku
    invoice: Id
    quantity: Quantity


class InventoryReturned(Event, name="inventory.returned", version=1):
    sku: Sku
    invoice: Id
    quantity: Quantity


class Inventory(Aggregate, category="inventory", key="sku"):
    on_hand: int = 0
    reserved: dict[str, int]
    """What is put aside, by order."""
    answered: set[str]
    """Orders that have had their answer: asking again changes nothing."""

    def __init__(self) -> None:
        self.reserved, self.answered = {}, set()

    @property
    def available(self) -> int:
        return self.on_hand - sum(self.reserved.values())

    @handle
    def receive(self, command: ReceiveStock) -> Iterator[StockReceived]:
        yield StockReceived(sku=command.sku, quantity=command.quantity)

    @handle
    def reserve(self, command: ReserveInventory) -> Iterator[InventoryReserved | InventoryShort]:
        sku, order_id, quantity = command.sku, command.order_id, command.quantity
        if order_id in self.answered:
            return
        if quantity <= self.available:
            yield InventoryReserved(sku=sku, order_id=order_id, quantity=quantity)
        else:
            yield InventoryShort(sku=sku, order_id=order_id, wanted=quantity, available=self.available)

    @handle
    def release(self, command: ReleaseInventory) -> Iterator[InventoryReleased]:
        quantity = self.reserved.get(command.order_id)
        if quantity is not None:
            yield InventoryReleased(sku=command.sku, order_id=command.order_id, quantity=quantity)

    @handle
    def write_off(self, command: WriteOffStock) -> Iterator[StockWrittenOff]:
        yield StockWrittenOff(sku=command.sku, quantity=command.quantity, reason=command.reason)

    @handle
    def count(self, command: CountStock) -> Iterator[StockCounted]:
        if missing := self.on_hand - command.counted:
            yield StockCounted(sku=command.sku, counted=command.counted, missing=missing)

    @handle
    def deduct(self, command: DeductInventory) -> Iterator[InventoryDeducted]:
        yield InventoryDeducted(sku=command.sku, invoice=command.invoice, quantity=command.quantity)

    @handle
    def take_back(self, command: ReturnInventory) -> Iterator[InventoryReturned]:
        yield InventoryReturned(sku=command.sku, invoice=command.invoice, quantity=command.quantity)

    @apply
    def received(self, event: StockReceived) -> None:
        self.on_hand += event.quantity

    @apply
    def put_aside(self, event: InventoryReserved) -> None:
        self.reserved[event.order_id] = event.quantity
        self.answered.add(event.order_id)

    @apply
    def refused(self, event: InventoryShort) -> None:
        self.answered.add(event.order_id)

    @apply
    def released(self, event: InventoryReleased) -> None:
        del self.reserved[event.order_id]

    @apply
    def written_off(self, event: StockWrittenOff) -> None:
        self.on_hand -= event.quantity

    @apply
    def counted(self, event: StockCounted) -> None:
        self.on_hand = event.counted

    @apply
    def deducted(self, event: InventoryDeducted) -> None:
        self.on_hand -= event.quantity

    @apply
    def returned(self, event: InventoryReturned) -> None:
        self.on_hand += event.quantity
