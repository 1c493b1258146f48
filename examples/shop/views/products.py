"""Sales by product."""

from decimal import Decimal

from daicho import Query, Row, Views, projection, query_handler, replace
from examples.shop.values import Money
from examples.shop.views.keeping import UNTIL_CHANGED
from examples.shop.views.sale import Sale, lines_of

__all__ = ["PARTS", "ProductSales", "SalesByProduct", "sales_by_product"]


class ProductSales(Row):
    sku: str
    lines: int = 0
    quantity: int = 0
    """Sold, less what came back or was written off."""
    total: Money = Decimal(0)


def skus_of(sale: Sale) -> list[str]:
    return [line.sku for line in sale.lines]


@projection("sales_by_product", key=skus_of)
def sales_by_product(row: ProductSales | None, sale: Sale, sku: str) -> ProductSales | None:
    row = row or ProductSales(sku=sku)
    found = lines_of(sale, sku)
    return replace(
        row,
        lines=row.lines + len(found),
        quantity=row.quantity + sum(quantity for quantity, _ in found),
        total=row.total + sum(amount for _, amount in found),
    )


class SalesByProduct(Query[list[ProductSales]]):
    """The most sold first."""

    limit: int = 20


@query_handler(cache=UNTIL_CHANGED)
async def find_sales_by_product(query: SalesByProduct, views: Views) -> list[ProductSales]:
    return await views[sales_by_product].find(order_by="quantity", descending=True, limit=query.limit)


PARTS = (sales_by_product, find_sales_by_product)
