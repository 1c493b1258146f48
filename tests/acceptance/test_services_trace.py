"""`daicho trace` of an order that went through three services, told from the registers of all of them."""

import asyncio
import re
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from daicho.cli import main
from daicho.testing import VirtualClock, at_rest
from examples.services import inventory, orders, payments, shipping

pytestmark = pytest.mark.slow
SERVICES = {
    "orders": orders.service,
    "inventory": inventory.service,
    "payments": payments.service,
    "shipping": shipping.service,
}


def urls(tmp_path: Path) -> dict[str, str]:
    return {name: f"sqlite:///{tmp_path / name}.db?durability=relaxed" for name in SERVICES}


async def play(stores: dict[str, str]) -> None:
    """An order that is paid and shipped, one that nobody pays, and one for more than there is. A second goes by between
    what one does and what the next one does."""
    clock, bus = VirtualClock(), f"memory:{uuid4()}"
    order, depot, money, late = (make(stores[name], bus, clock=clock) for name, make in SERVICES.items())
    async with order, depot, money, late:

        async def rest() -> None:
            await at_rest(order, depot, money, late)
            await clock.advance(1)

        await depot.send(inventory.Receive(sku="tea", quantity=10))
        placed = await order.send(orders.PlaceOrder(order_id="o-1", sku="tea", quantity=2, cents=900), actor="ann")
        await rest()
        asked = payments.ReceivePayment(order_id="o-1", cents=900)
        await money.send(asked, actor="bank", correlation_id=placed.correlation_id)
        await rest()
        await order.send(orders.PlaceOrder(order_id="o-2", sku="tea", quantity=3, cents=900), actor="ben")
        await rest()
        await order.send(orders.PlaceOrder(order_id="o-3", sku="tea", quantity=9, cents=900), actor="eve")
        await rest()
        await clock.advance(orders.PATIENCE)
        await rest()


def told(stores: dict[str, str], reference: str, *options: str) -> list[str]:
    also = [word for name in SERVICES if name != "orders" for word in ("--also", stores[name])]
    run = CliRunner().invoke(main, ["--store", stores["orders"], "trace", reference, *also, *options])
    assert run.exit_code == 0, run.output
    return run.stdout.splitlines()


def tree(lines: list[str]) -> list[str]:
    """Without the times, places and branches, and without the process manager's notes of what was answered: those come
    in any order."""
    found = [re.sub(r" v\d+ @\d+", "", re.sub("[│├└─]", " ", line[14:])) for line in lines[1:]]
    return unanswered(found)


def diagram(lines: list[str]) -> list[str]:
    found = [re.sub(r" v\d+$", "", line.strip()) for line in lines]
    return unanswered(found)


def unanswered(lines: list[str]) -> list[str]:
    """A note is a line, and one about the event that it is."""
    done = {n for n, line in enumerate(lines) if "fulfilment done" in line}
    return [line for n, line in enumerate(lines) if not {n, n - 1} & done]


async def test_one_order_is_told_from_four_registers(tmp_path: Path) -> None:
    stores = urls(tmp_path)
    await play(stores)
    paid = await asyncio.to_thread(told, stores, "order-o-1")
    assert tree(paid) == PAID.splitlines()
    assert {line.split("ms")[0].strip() for line in paid[1:]} == {"+0.0", "+1,000.0"}
    assert diagram(await asyncio.to_thread(told, stores, "order-o-1", "--mermaid")) == PAID_DRAWN.splitlines()
    assert tree(await asyncio.to_thread(told, stores, "order-o-2")) == UNPAID.splitlines()
    drawn = diagram(await asyncio.to_thread(told, stores, "order-o-2", "--mermaid"))
    assert "p1->>p1: fulfilment deadline (process:fulfilment)" in drawn, "nobody asked for that"
    assert tree(await asyncio.to_thread(told, stores, "order-o-3")) == TOO_LARGE.splitlines()
    drawn = diagram(await asyncio.to_thread(told, stores, "order-o-3", "--mermaid"))
    assert drawn[1:4] == ["actor a0 as eve", "participant p1 as orders", "participant p2 as inventory"]
    assert drawn[-2:] == ["p1->>p2: stock.reserve (process:fulfilment)", "p2--xp1: rejected: only 5 of tea left"]


PAID = """\
PlaceOrder  by ann
   order.placed  order-o-1
      fulfilment start  (process:fulfilment)
         daicho.process.moved  fulfilment-o-1
            stock.reserve  (process:fulfilment)  [inventory]
               stock.reserved  shelf-tea  [inventory]
                  fulfilment event  (process:fulfilment)
                     daicho.process.moved  fulfilment-o-1
                        payment.request  (process:fulfilment)  [payments]
                           payment.requested  payment-o-1  [payments]
payment.receive  by bank  [payments]
   payment.received  payment-o-1  [payments]
      fulfilment event  (process:fulfilment)
         daicho.process.moved  fulfilment-o-1
            ConfirmOrder  (process:fulfilment)
               order.confirmed  order-o-1
                  fulfilment event  (process:fulfilment)
                     daicho.process.moved  fulfilment-o-1
                  parcel.ship  (ship)  [shipping]
                     parcel.shipped  parcel-o-1  [shipping]
            stock.deduct  (process:fulfilment)  [inventory]
               stock.deducted  shelf-tea  [inventory]
"""

PAID_DRAWN = """\
sequenceDiagram
actor a0 as ann
participant p1 as orders
participant p2 as inventory
participant p3 as payments
actor a4 as bank
participant p5 as shipping
a0->>p1: PlaceOrder
Note over p1: order.placed order-o-1
p1->>p1: fulfilment start (process:fulfilment)
Note over p1: daicho.process.moved fulfilment-o-1
p1->>p2: stock.reserve (process:fulfilment)
Note over p2: stock.reserved shelf-tea
p2-->>p1: stock.reserved
p1->>p1: fulfilment event (process:fulfilment)
Note over p1: daicho.process.moved fulfilment-o-1
p1->>p3: payment.request (process:fulfilment)
Note over p3: payment.requested payment-o-1
a4->>p3: payment.receive
Note over p3: payment.received payment-o-1
p3-->>p1: payment.received
p1->>p1: fulfilment event (process:fulfilment)
Note over p1: daicho.process.moved fulfilment-o-1
p1->>p1: ConfirmOrder (process:fulfilment)
Note over p1: order.confirmed order-o-1
p1->>p1: fulfilment event (process:fulfilment)
Note over p1: daicho.process.moved fulfilment-o-1
p1-->>p5: order.confirmed
p5->>p5: parcel.ship (ship)
Note over p5: parcel.shipped parcel-o-1
p1->>p2: stock.deduct (process:fulfilment)
Note over p2: stock.deducted shelf-tea
"""

UNPAID = """\
PlaceOrder  by ben
   order.placed  order-o-2
      fulfilment start  (process:fulfilment)
         daicho.process.moved  fulfilment-o-2
            stock.reserve  (process:fulfilment)  [inventory]
               stock.reserved  shelf-tea  [inventory]
                  fulfilment event  (process:fulfilment)
                     daicho.process.moved  fulfilment-o-2
                        payment.request  (process:fulfilment)  [payments]
                           payment.requested  payment-o-2  [payments]
fulfilment deadline  (process:fulfilment)
   daicho.process.moved  fulfilment-o-2
      CancelOrder  (process:fulfilment)
         order.cancelled  order-o-2
      stock.release  (process:fulfilment)  [inventory]
         stock.released  shelf-tea  [inventory]
"""

TOO_LARGE = """\
PlaceOrder  by eve
   order.placed  order-o-3
      fulfilment start  (process:fulfilment)
         daicho.process.moved  fulfilment-o-3
            fulfilment rejected  (process:fulfilment)
               daicho.process.moved  fulfilment-o-3
                  CancelOrder  (process:fulfilment)
                     order.cancelled  order-o-3
            ✗ stock.reserve  (process:fulfilment)  rejected: only 5 of tea left  [inventory]
"""
