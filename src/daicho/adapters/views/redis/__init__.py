"""Read models in Redis: rows as JSON, each table with sorted sets to find them by."""

from daicho.adapters.views.redis.location import Location, parse_url
from daicho.adapters.views.redis.store import RedisReadStore

__all__ = ["Location", "RedisReadStore", "parse_url"]
