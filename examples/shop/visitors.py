"""Customers and a warehouse that come over HTTP, in a thread: somebody to look at in `make run`."""

import contextlib
import random
import threading

from daicho import DaichoError
from daicho.client import SyncClient
from examples.shop.catalogue import ASSORTMENT
from examples.shop.inventory import ReceiveStock
from examples.shop.living import an_order
from examples.shop.views.customers import BestCustomers
from examples.shop.views.orders import FindOrderById, FindOrders
from examples.shop.views.sales import SalesByDay
from examples.shop.views.stock import StockOf

__all__ = ["let_in"]

LOOKS = 8
"""So often is looked before somebody buys."""


def let_in(url: str, *, pause: float) -> None:
    """They come until the process ends; while the shop does not answer, they wait."""
    threading.Thread(target=_come, args=(url, pause), name="visitors", daemon=True).start()


def _come(url: str, pause: float) -> None:
    wait = threading.Event()
    with SyncClient(url) as shop:
        while not wait.wait(pause):
            with contextlib.suppress(DaichoError):
                _visit(shop)


def _visit(shop: SyncClient) -> None:
    for product in ASSORTMENT:
        if random.random() < 0.2:
            shop.send(ReceiveStock(sku=product.sku, quantity=20))
    for _ in range(LOOKS):
        shop.ask(StockOf(sku=random.choice(ASSORTMENT).sku))
    shop.ask(FindOrders(status="confirmed"))
    shop.ask(BestCustomers())
    shop.ask(SalesByDay())
    order = an_order()
    shop.send(order)
    shop.ask(FindOrderById(order_id=order.order_id))
