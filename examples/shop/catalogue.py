"""What the shop sells. Master data: a table of rows, edited in place, without commands or events."""

from collections.abc import Iterable
from decimal import Decimal

from daicho import Crud, Rejected, Row
from examples.shop.values import Money, Sku

__all__ = ["ASSORTMENT", "PriceList", "Product", "products"]


class Product(Row):
    sku: Sku
    name: str
    price: Money


products = Crud(Product, key="sku", name="products")


class PriceList:
    """The prices that a decision may look at. Given to the App as a collaborator: `provide=[PriceList(...)]`.

    An order keeps the price it was made at, so that a later change of the list changes no history.
    """

    def __init__(self, assortment: Iterable[Product]) -> None:
        self._prices = {product.sku: product.price for product in assortment}

    def price_of(self, sku: Sku) -> Money:
        price = self._prices.get(sku)
        if price is None:
            raise Rejected(f"we do not sell {sku!r}")
        return price


ASSORTMENT = (
    Product(sku="pen", name="Fountain pen", price=Decimal("24.50")),
    Product(sku="ink", name="Blue-black ink, 50 ml", price=Decimal("9.80")),
    Product(sku="notebook", name="Notebook, dotted", price=Decimal("12.00")),
    Product(sku="lamp", name="Desk lamp", price=Decimal("79.00")),
    Product(sku="desk", name="Oak desk", price=Decimal("1290.00")),
)
