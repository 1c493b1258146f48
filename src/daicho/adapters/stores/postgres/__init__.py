"""Everything in one PostgreSQL schema: events, views, checkpoints, letters, snapshots, commands."""

from daicho.adapters.stores.postgres.location import Location, parse_url
from daicho.adapters.stores.postgres.promotion import PostgresFailover
from daicho.adapters.stores.postgres.standby import PostgresStandby
from daicho.adapters.stores.postgres.storage import PostgresStorage

__all__ = ["Location", "PostgresFailover", "PostgresStandby", "PostgresStorage", "parse_url"]
