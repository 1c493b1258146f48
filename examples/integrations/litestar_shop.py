"""In Litestar: the generated addresses under /shop, and an endpoint of one's own beside them.

uvicorn --factory examples.integrations.litestar_shop:api
"""

from typing import Any, cast

from litestar import Litestar, asgi, get, put
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery
from litestar.types import Receive, Scope, Send

from daicho import App, Rejected
from daicho.http import create, lifespan_of
from examples.quickstart import CreateOrder, FindOrders, shop

__all__ = ["api_for"]


def api_for(app: App) -> Litestar:
    face = create(app)

    @asgi("/shop", is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        # Litestar hands on the path without /shop and with a slash at its end
        inner: Any = {**scope, "path": scope["path"].rstrip("/") or "/", "root_path": ""}
        await face(inner, cast("Any", receive), cast("Any", send))

    @put("/orders/{order_id:str}")
    async def order(order_id: FromPath[str], sku: FromQuery[str], quantity: FromQuery[int]) -> dict[str, int]:
        try:
            receipt = await app.send(CreateOrder(order_id=order_id, sku=sku, quantity=quantity))
        except Rejected as error:
            raise HTTPException(error.what, status_code=409) from error
        return {"position": receipt.position}

    @get("/orders")
    async def orders(status: FromQuery[str], after: FromQuery[int] = 0) -> list[str]:
        return [row.order_id for row in await app.ask(FindOrders(status=status), after=after)]

    return Litestar([mounted, order, orders], lifespan=[lifespan_of(app)])


def api() -> Litestar:
    return api_for(shop())
