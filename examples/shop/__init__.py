"""The reference application: a shop with orders, inventory, payments and customers.

Read it in this order: `values`, `order`, `inventory`, `payment` (what may happen), `reactions` (what follows from
what), `views/` (what can be seen), `app` (how it is put together). Nothing above `app` knows that there is a store.
"""
