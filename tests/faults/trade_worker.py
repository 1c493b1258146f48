"""A service that works until it is killed: `python -m tests.faults.trade_worker orders|inventory STORE BUS LIFE`."""

import asyncio
import sys

from tests.faults.test_services_unruly import SKUS
from tests.trade import PlaceOrder, inventory, orders


async def main(kind: str, store: str, bus: str, life: str) -> None:
    async with (orders if kind == "orders" else inventory)(store, bus) as app:
        n = 0
        print("begun", flush=True)
        while True:
            if kind == "orders":
                await app.send(PlaceOrder(order=f"{life}-{n}", sku=SKUS[n % 3], quantity=1))
                n += 1
                print(n, flush=True)
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
