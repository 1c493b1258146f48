"""How long answers may be kept by caches."""

from daicho import Cache

__all__ = ["UNTIL_CHANGED"]

UNTIL_CHANGED = Cache(seconds=0, edge=300)
"""By an edge cache until it is told that a row has changed, and should nobody tell it, for five minutes; by browsers
and others that nobody tells, not without asking."""
