"""Everything in one SQLite file: events, views, checkpoints, letters, snapshots, commands, in shared transactions."""

from daicho.adapters.stores.sqlite.location import Location, parse_url
from daicho.adapters.stores.sqlite.storage import SqliteStorage

__all__ = ["Location", "SqliteStorage", "parse_url"]
