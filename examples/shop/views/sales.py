"""Sales by day, by month and by country, and all in all."""

from daicho import Event, Query, RecordedEvent, Views, projection, query_handler, replace
from examples.shop.views.sale import Sale, Takings, plus

__all__ = [
    "PARTS",
    "CountrySales",
    "DaySales",
    "MonthSales",
    "SalesByCountry",
    "SalesByDay",
    "SalesByMonth",
    "SalesInAll",
    "Totals",
    "sales_by_country",
    "sales_by_day",
    "sales_by_month",
    "totals",
]


class DaySales(Takings):
    day: str


class MonthSales(Takings):
    month: str


class CountrySales(Takings):
    country: str


class Totals(Takings):
    lines_without_customer: int = 0
    repeated_lines: int = 0
    """Lines that say exactly what an earlier line of the same document says."""


def day_of(_: Sale, recorded: RecordedEvent[Event]) -> str:
    return recorded.occurred_at.date().isoformat()


def month_of(_: Sale, recorded: RecordedEvent[Event]) -> str:
    return recorded.occurred_at.date().isoformat()[:7]


def country_of(sale: Sale) -> str:
    return sale.country


def everything(_: Sale) -> str:
    return "all"


@projection("sales_by_day", key=day_of)
def sales_by_day(row: DaySales | None, sale: Sale, day: str) -> DaySales | None:
    return plus(row or DaySales(day=day), sale)


@projection("sales_by_month", key=month_of)
def sales_by_month(row: MonthSales | None, sale: Sale, month: str) -> MonthSales | None:
    return plus(row or MonthSales(month=month), sale)


@projection("sales_by_country", key=country_of)
def sales_by_country(row: CountrySales | None, sale: Sale) -> CountrySales | None:
    return plus(row or CountrySales(country=sale.country), sale)


@projection("totals", key=everything)
def totals(row: Totals | None, sale: Sale) -> Totals | None:
    row = row or Totals()
    repeated = len(sale.lines) - len(set(sale.lines))
    unknown = 0 if sale.customer_id else len(sale.lines)
    return plus(
        replace(
            row,
            lines_without_customer=row.lines_without_customer + unknown,
            repeated_lines=row.repeated_lines + repeated,
        ),
        sale,
    )


class SalesByDay(Query[list[DaySales]]):
    """The newest days first."""

    limit: int = 31


class SalesByMonth(Query[list[MonthSales]]):
    limit: int = 24


class SalesByCountry(Query[list[CountrySales]]): ...


class SalesInAll(Query[Totals]): ...


@query_handler
async def find_sales_by_day(query: SalesByDay, views: Views) -> list[DaySales]:
    return await views[sales_by_day].find(order_by="day", descending=True, limit=query.limit)


@query_handler
async def find_sales_by_month(query: SalesByMonth, views: Views) -> list[MonthSales]:
    return await views[sales_by_month].find(order_by="month", descending=True, limit=query.limit)


@query_handler
async def find_sales_by_country(_: SalesByCountry, views: Views) -> list[CountrySales]:
    return sorted(await views[sales_by_country].find(), key=lambda row: row.total, reverse=True)


@query_handler
async def find_totals(_: SalesInAll, views: Views) -> Totals:
    return await views[totals].get("all") or Totals()


PARTS = (
    sales_by_day,
    sales_by_month,
    sales_by_country,
    totals,
    find_sales_by_day,
    find_sales_by_month,
    find_sales_by_country,
    find_totals,
)
