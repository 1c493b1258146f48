"""In Django: synchronous views, any number of threads, one App. Here in one file, settings included.

python -m examples.integrations.django_shop runserver --noreload
"""
# pyright: basic

import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from daicho import Rejected, SyncApp
from examples.quickstart import CreateOrder, FindOrders, shop

__all__ = ["api_for"]

urlpatterns: list[Any] = []


def api_for(app: SyncApp) -> WSGIHandler:
    def order(request: HttpRequest, order_id: str) -> HttpResponse:
        given: Any = request.GET
        receipt = app.send(CreateOrder(order_id=order_id, sku=given["sku"], quantity=int(given["quantity"])))
        return JsonResponse({"position": receipt.position})

    def orders(request: HttpRequest) -> HttpResponse:
        given: Any = request.GET
        rows = app.ask(FindOrders(status=given["status"]), after=int(given.get("after", 0)))
        return JsonResponse([row.order_id for row in rows], safe=False)

    urlpatterns[:] = [path("orders/<str:order_id>", order), path("orders", orders)]
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["127.0.0.1", "localhost"],
            ROOT_URLCONF=__name__,
            SECRET_KEY="only-for-this-example",  # noqa: S106
            MIDDLEWARE=[f"{__name__}.rejections"],
        )
    return get_wsgi_application()


def rejections(get_response: Callable[[HttpRequest], HttpResponse]) -> "Rejections":
    return Rejections(get_response)


class Rejections:
    """Middleware: what the business refused is a conflict."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        return JsonResponse({"detail": error.what}, status=409) if isinstance(error, Rejected) else None


if __name__ == "__main__":
    with shop().sync() as running:
        api_for(running)
        execute_from_command_line(sys.argv)
