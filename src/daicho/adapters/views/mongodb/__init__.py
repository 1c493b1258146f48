"""Read models in MongoDB: each generation a collection of plain documents."""

from daicho.adapters.views.mongodb.location import Location, parse_url
from daicho.adapters.views.mongodb.store import MongoReadStore

__all__ = ["Location", "MongoReadStore", "parse_url"]
