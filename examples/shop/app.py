"""How the shop is put together. Everything is listed, nothing is discovered; this alone knows that there is a store.

daicho --app examples.shop.app:app run
"""

from decimal import Decimal

from daicho import App, Route
from examples.shop.catalogue import ASSORTMENT, PriceList, products
from examples.shop.customer import ChangeAddress, ChangeEmail, Customer, RegisterCustomer
from examples.shop.inventory import CountStock, Inventory, ReceiveStock, WriteOffStock
from examples.shop.invoice import Invoice
from examples.shop.order import AddOrderLine, CancelOrder, ConfirmOrder, CreateOrder, Order
from examples.shop.payment import CreditPolicy, payment
from examples.shop.reactions import REACTIONS
from examples.shop.views import customers, invoices, orders, sales, stock
from examples.shop.views import products as product_sales

__all__ = ["app", "shop"]

ROUTES = (
    Route("POST", "/orders", CreateOrder),
    Route("POST", "/orders/{order_id}/lines", AddOrderLine),
    Route("POST", "/orders/{order_id}/confirmation", ConfirmOrder),
    Route("POST", "/orders/{order_id}/cancellation", CancelOrder),
    Route("GET", "/orders", orders.FindOrders),
    Route("GET", "/orders/{order_id}", orders.FindOrderById),
    Route("POST", "/stock/{sku}/deliveries", ReceiveStock),
    Route("POST", "/stock/{sku}/losses", WriteOffStock),
    Route("POST", "/stock/{sku}/counts", CountStock),
    Route("GET", "/stock/{sku}", stock.StockOf),
    Route("POST", "/customers", RegisterCustomer),
    Route("PUT", "/customers/{customer_id}/address", ChangeAddress),
    Route("PUT", "/customers/{customer_id}/email", ChangeEmail),
    Route("GET", "/customers", customers.BestCustomers),
    Route("GET", "/customers/{customer_id}", customers.ContactOf),
    Route("GET", "/customers/{customer_id}/history", customers.CustomerHistory),
    Route("GET", "/invoices", invoices.FindInvoices),
    Route("GET", "/sales", sales.SalesInAll),
    Route("GET", "/sales/days", sales.SalesByDay),
    Route("GET", "/sales/months", sales.SalesByMonth),
    Route("GET", "/sales/countries", sales.SalesByCountry),
    Route("GET", "/sales/products", product_sales.SalesByProduct),
)


def shop(store: str = "sqlite:///shop.db", *, credit_limit: Decimal = Decimal(1000)) -> App:
    return App(
        Order,
        Inventory,
        payment,
        Customer,
        Invoice,
        products,
        *REACTIONS,
        *orders.PARTS,
        *stock.PARTS,
        *sales.PARTS,
        *product_sales.PARTS,
        *customers.PARTS,
        *invoices.PARTS,
        *ROUTES,
        name="shop",
        store=store,
        provide=[PriceList(ASSORTMENT), CreditPolicy(limit=credit_limit)],
    )


app = shop()
