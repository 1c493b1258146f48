"""Everything in one PostgreSQL schema: events, views, checkpoints, letters, snapshots, commands."""

from daicho.adapters.stores.postgres.location import Location, parse_url
from daicho.adapters.stores.postgres.storage import PostgresStorage

__all__ = ["Location", "PostgresStorage", "parse_url"]
