"""The catalogue alone, as what it is: rows that are looked at and edited, without commands, events or views.

daicho --app examples.shop.shelf:app run
"""

from daicho import App, Crud
from examples.shop.catalogue import Product

__all__ = ["app"]

app = App(Crud(Product, key="sku", name="products", path="/products"), name="shelf", store="sqlite:///shelf.db")
