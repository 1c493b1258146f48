"""The figures of the whole import, every one of them read back from the views."""

from daicho import App, State
from examples.shop.views.customers import customer_history
from examples.shop.views.invoices import invoices
from examples.shop.views.products import sales_by_product
from examples.shop.views.sales import Totals, sales_by_country, sales_by_month, totals
from examples.shop.views.stock import stock

__all__ = ["Figures", "ProductFigures", "astray", "figures"]


class ProductFigures(State):
    lines: int
    quantity: int
    total: str


class Figures(State):
    """Amounts are exact, as text."""

    lines: int
    invoices: int
    cancellation_invoices: int
    bad_debt_invoices: int
    total: str
    customers: int
    lines_without_customer: int
    exact_duplicate_lines: int
    products: int
    most_lines_of_one_customer: tuple[str, int] | None
    total_by_country: dict[str, str]
    total_by_month: dict[str, str]
    by_product: dict[str, ProductFigures]


async def figures(app: App) -> Figures:
    views = app.views
    in_all = await views[totals].get("all") or Totals()
    busiest = await views[customer_history].find(order_by="lines", descending=True, limit=1)
    return Figures(
        lines=in_all.lines,
        invoices=await views[invoices].count(),
        cancellation_invoices=await views[invoices].count(kind="credit note"),
        bad_debt_invoices=await views[invoices].count(kind="adjustment"),
        total=str(in_all.total),
        customers=await views[customer_history].count(),
        lines_without_customer=in_all.lines_without_customer,
        exact_duplicate_lines=in_all.repeated_lines,
        products=await views[sales_by_product].count(),
        most_lines_of_one_customer=(busiest[0].customer_id, busiest[0].lines) if busiest else None,
        total_by_country={row.country: str(row.total) for row in await views[sales_by_country].find()},
        total_by_month={row.month: str(row.total) for row in await views[sales_by_month].find()},
        by_product={
            row.sku: ProductFigures(lines=row.lines, quantity=row.quantity, total=str(row.total))
            for row in await views[sales_by_product].find()
        },
    )


async def astray(app: App, found: Figures) -> dict[str, tuple[int, int]]:
    """Products whose stock movements do not add up to what the invoices say: (moved, invoiced).

    A second way to the same number: the one came with 25,900 documents, the other with half a million movements that
    followed from them, one command and one event for each line.
    """
    moved = {row.sku: row.sold - row.returned - row.written_off for row in await app.views[stock].find()}
    invoiced = {sku: product.quantity for sku, product in found.by_product.items()}
    return {
        sku: (moved.get(sku, 0), invoiced.get(sku, 0))
        for sku in sorted(moved.keys() | invoiced.keys())
        if moved.get(sku, 0) != invoiced.get(sku, 0)
    }
