"""Five orders: one is paid, one is paid before it is placed, one never, one too late, and one is too large."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from daicho.testing import VirtualClock, at_rest
from examples.services import inventory, orders, payments, shipping

__all__ = ["demo"]


async def demo(bus: str, say: Callable[[str], object]) -> None:
    """All services in this process, each with a register of its own, on a clock that can be moved on."""
    clock, run = VirtualClock(datetime.now(UTC)), uuid4().hex[:6]
    bus = _afresh(bus, run)
    shop = [service("memory:", bus, clock=clock) for service in (orders.service, inventory.service, payments.service)]
    order, stock, money = shop
    sku, ids = f"tea-{run}", [f"{run}-{n}" for n in range(1, 6)]
    async with order, stock, money:
        await stock.send(inventory.Receive(sku=sku, quantity=10))
        await money.send(payments.ReceivePayment(order_id=ids[1], cents=900))
        say("A payment came in before its order.")
        for number, order_id in enumerate(ids):
            quantity = 50 if number == 4 else 2
            await order.send(orders.PlaceOrder(order_id=order_id, sku=sku, quantity=quantity, cents=900))
        await money.send(payments.ReceivePayment(order_id=ids[0], cents=900))
        say("Five orders were placed, for 2 each and one for 50, of the 10 that are there; the first was paid.")
        await at_rest(*shop)
        await clock.advance(orders.PATIENCE + timedelta(seconds=1))
        await at_rest(*shop)
        say("Half a minute went by.")
        await money.send(payments.ReceivePayment(order_id=ids[3], cents=900))
        await at_rest(*shop)
        say("A payment came in too late.")
        async with (late := shipping.service("memory:", bus, clock=clock)):
            await at_rest(*shop, late)
            say("A shipping service was added, and heard of everything from the beginning.\n")
            for number, order_id in enumerate(ids, 1):
                state, paid = await order.load(orders.Order, order_id), await money.load(payments.Payment, order_id)
                parcel = await late.load(shipping.Parcel, order_id)
                told = [
                    f"order {number}: {state.status}",
                    "paid" if paid.received else "",
                    "paid back" if paid.refunded else "",
                    "shipped" if parcel.shipped else "",
                ]
                say(", ".join(filter(None, told)))
        shelf = await stock.load(inventory.Shelf, sku)
        say(f"on the shelf: {shelf.free}, spoken for: {sum(shelf.reserved.values())}")


def _afresh(bus: str, run: str) -> str:
    """Registers in memory are new each time; what those of an earlier run told a broker is not theirs."""
    return f"{bus}-{run}" if bus.startswith("memory:") else f"{bus}{'&' if '?' in bus else '?'}prefix=demo{run}"
