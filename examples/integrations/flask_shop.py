"""In Flask: synchronous views, any number of threads, one App.

flask --app "examples.integrations.flask_shop:api()" run
"""

import atexit

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from daicho import Rejected, SyncApp
from examples.quickstart import CreateOrder, FindOrders, shop

__all__ = ["api_for"]


def api_for(app: SyncApp) -> Flask:
    api = Flask(__name__)

    @api.put("/orders/<order_id>")
    def order(order_id: str) -> ResponseReturnValue:
        given = request.args
        receipt = app.send(CreateOrder(order_id=order_id, sku=given["sku"], quantity=int(given["quantity"])))
        return jsonify(position=receipt.position)

    @api.get("/orders")
    def orders() -> ResponseReturnValue:
        rows = app.ask(FindOrders(status=request.args["status"]), after=int(request.args.get("after", 0)))
        return jsonify([row.order_id for row in rows])

    @api.errorhandler(Rejected)
    def rejected(error: Rejected) -> ResponseReturnValue:
        return jsonify(detail=error.what), 409

    _ = order, orders, rejected
    return api


def api() -> Flask:
    app = shop().sync()
    app.__enter__()
    atexit.register(app.__exit__, None, None, None)
    return api_for(app)
