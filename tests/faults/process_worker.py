"""A process of its own with the shop that fulfils orders; killed by whoever started it.

python -m tests.faults.process_worker STORE FIRST LAST       places these orders, says each, pays every second one
python -m tests.faults.process_worker STORE                  only works
"""

import asyncio
import sys

from daicho import App, Rejected
from daicho.ports.probe import silent
from examples.fulfilment import Fulfilment, PlacePurchase, ReceivePayment, parts

SKUS = ("pen", "cup", "hat")


def order(n: int) -> PlacePurchase:
    return PlacePurchase(order_id=f"o-{n}", sku=SKUS[n % 3], quantity=1 + n % 4, cents=100 + n)


def is_paid(n: int) -> bool:
    return n % 2 == 0


def shop(store: str, **more: object) -> App:
    given = {"probe": silent, **more}
    return App(*parts, name="shop", store=store, segments={Fulfilment: 4}, **given)  # type: ignore[arg-type]


async def place(app: App, n: int) -> None:
    """Again, it changes nothing."""

    async def pay() -> None:
        await app.send(ReceivePayment(order_id=f"o-{n}", cents=100 + n), key=f"pay-{n}")

    if is_paid(n) and n % 4 == 0:
        await pay()  # before the order
    try:
        await app.send(order(n), key=f"place-{n}")
    except Rejected as refusal:
        if not refusal.data.get("duplicate"):
            raise
    if is_paid(n) and n % 4:
        await pay()


async def main(store: str, first: int = 0, last: int = 0) -> None:
    async with shop(store) as app:
        print("ready", flush=True)
        for n in range(first, last):
            await place(app, n)
            print(n, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
