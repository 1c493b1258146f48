"""`python -m examples.shop run`: a shop that stays open, with a customer every moment, until Ctrl-C."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

from rich.console import Console

from daicho import RecordedEvent, Rejected
from examples.shop.app import shop
from examples.shop.catalogue import ASSORTMENT, products
from examples.shop.inventory import ReceiveStock
from examples.shop.order import CreateOrder
from examples.shop.tools import daicho, query, shown
from examples.shop.values import Line

__all__ = ["an_order", "stay_open"]


async def stay_open(store: str, console: Console, *, seconds_between: float = 1.0, orders: int | None = None) -> None:
    """Sells what is in the catalogue and prints every event. Ends after `orders` orders, or never."""
    async with shop(store) as app:
        await app.crud(products).put(*ASSORTMENT)
        console.print(
            f"The shop is open; its register is {shown(store)}. Ctrl-C closes it.", soft_wrap=True, markup=False
        )
        console.print("In another terminal:")
        for line in (daicho(store, "projection list"), query(store, "orders")):
            console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
        telling = asyncio.create_task(_tell(app.subscribe(after=await app.storage.head()), console))
        placed = 0
        try:
            while orders is None or placed < orders:
                placed += 1
                for product in ASSORTMENT:
                    if random.random() < 0.2:
                        await app.send(ReceiveStock(sku=product.sku, quantity=20), actor="warehouse")
                with contextlib.suppress(Rejected):
                    await app.send(an_order(), actor="visitor")
                await asyncio.sleep(seconds_between)
            await app.settle()
        finally:
            telling.cancel()


def an_order() -> CreateOrder:
    """Of one of fifty customers, for up to three things."""
    chosen = random.sample(list(ASSORTMENT), k=random.randint(1, min(3, len(ASSORTMENT))))
    return CreateOrder(
        order_id=f"{random.getrandbits(32):08x}",
        customer_id=f"c-{random.randint(1, 50)}",
        country=random.choice(["Japan", "France", "Brazil"]),
        lines=[Line(sku=product.sku, quantity=random.randint(1, 12)) for product in chosen],
    )


async def _tell(events: AsyncIterator[RecordedEvent[Any]], console: Console) -> None:
    async for event in events:
        time, place = f"{event.recorded_at:%H:%M:%S}", f"{event.position:>8}"
        console.print(f"{place}  {time}  {event.type:<24} {event.stream}", highlight=False)
