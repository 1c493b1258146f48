"""The shop as three services with a register each, joined only by a bus; and a fourth that came later.

orders ── places, confirms, cancels; its process manager leads
inventory ── reserves, releases, deducts         none imports another: what a service hears and asks of
payments ── requests, receives, refunds          another, it declares itself, as its own copy of the words
shipping ── hears that an order is confirmed
"""
