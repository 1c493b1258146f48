"""The stock of one product, told by given / when / then."""

from daicho.testing import given
from examples.shop.inventory import (
    CountStock,
    DeductInventory,
    Inventory,
    InventoryDeducted,
    InventoryReleased,
    InventoryReserved,
    InventoryReturned,
    InventoryShort,
    ReceiveStock,
    ReleaseInventory,
    ReserveInventory,
    ReturnInventory,
    StockCounted,
    StockReceived,
    StockWrittenOff,
    WriteOffStock,
)

ten = StockReceived(sku="pen", quantity=10)
reserve = ReserveInventory(sku="pen", order_id="o-1", quantity=6)
reserved = InventoryReserved(sku="pen", order_id="o-1", quantity=6)
release = ReleaseInventory(sku="pen", order_id="o-1")
released = InventoryReleased(sku="pen", order_id="o-1", quantity=6)


def test_receives() -> None:
    given(Inventory).when(ReceiveStock(sku="pen", quantity=10)).then(ten)


def test_reserves_what_is_available() -> None:
    given(Inventory, ten).when(reserve).then(reserved)


def test_is_short_of_what_others_have_reserved() -> None:
    other = ReserveInventory(sku="pen", order_id="o-2", quantity=5)
    short = InventoryShort(sku="pen", order_id="o-2", wanted=5, available=4)
    given(Inventory, ten, reserved).when(other).then(short)
    given(Inventory).when(reserve).then(InventoryShort(sku="pen", order_id="o-1", wanted=6, available=0))


def test_answers_each_order_once() -> None:
    short = InventoryShort(sku="pen", order_id="o-1", wanted=6, available=0)
    given(Inventory, ten, reserved).when(reserve).then_nothing()
    given(Inventory, ten, reserved, released).when(reserve).then_nothing()
    given(Inventory, short, ten).when(reserve).then_nothing()


def test_releases_what_was_reserved_and_nothing_else() -> None:
    given(Inventory, ten, reserved).when(release).then(released)
    given(Inventory, ten, reserved, released).when(release).then_nothing()
    given(Inventory, ten).when(release).then_nothing()
    assert given(Inventory, ten, reserved, released).state.available == 10


def test_writes_off_whatever_the_books_say() -> None:
    lost = StockWrittenOff(sku="pen", quantity=12, reason="flood")
    given(Inventory, ten).when(WriteOffStock(sku="pen", quantity=12, reason="flood")).then(lost)
    assert given(Inventory, ten, lost).state.available == -2


def test_stocktaking_corrects_the_books() -> None:
    count = CountStock(sku="pen", counted=8)
    given(Inventory, ten).when(count).then(StockCounted(sku="pen", counted=8, missing=2))
    given(Inventory, ten, StockCounted(sku="pen", counted=8, missing=2)).when(count).then_nothing()
    assert given(Inventory, ten, reserved, StockCounted(sku="pen", counted=8, missing=2)).state.available == 2


def test_the_past_is_not_refused() -> None:
    deducted = InventoryDeducted(sku="pen", invoice="536365", quantity=6)
    given(Inventory).when(DeductInventory(sku="pen", invoice="536365", quantity=6)).then(deducted)
    returned = InventoryReturned(sku="pen", invoice="C536366", quantity=2)
    given(Inventory, deducted).when(ReturnInventory(sku="pen", invoice="C536366", quantity=2)).then(returned)
    assert given(Inventory, deducted, returned).state.on_hand == -4
