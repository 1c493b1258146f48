"""In FastAPI: the generated addresses under /shop, and an endpoint of one's own beside them.

uvicorn examples.integrations.fastapi_shop:api
"""

from fastapi import FastAPI, HTTPException

from daicho import App, Rejected
from daicho.http import create, lifespan_of
from examples.quickstart import CreateOrder, FindOrders, shop

__all__ = ["api_for"]


def api_for(app: App) -> FastAPI:
    api = FastAPI(lifespan=lifespan_of(app))  # starts and stops the App
    api.mount("/shop", create(app))

    @api.put("/orders/{order_id}")
    async def order(order_id: str, sku: str, quantity: int) -> dict[str, int]:
        try:
            receipt = await app.send(CreateOrder(order_id=order_id, sku=sku, quantity=quantity))
        except Rejected as error:
            raise HTTPException(409, error.what) from error
        return {"position": receipt.position}

    @api.get("/orders")
    async def orders(status: str, after: int = 0) -> list[str]:
        return [row.order_id for row in await app.ask(FindOrders(status=status), after=after)]

    return api


def api() -> FastAPI:
    return api_for(shop())
