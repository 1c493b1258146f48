"""What an inline projection does inside an append's transaction."""

from collections.abc import Sequence
from typing import Any

from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.tables import table_for

__all__ = ["SqliteInline"]

_ONE, _ADVANCE, _PARKED = statement("checkpoint"), statement("advance_inline"), statement("has_parked")


class SqliteInline:
    """Fulfils `InlineTransaction`."""

    def __init__(self, connection: Connection, now: str) -> None:
        self._connection, self._time = connection, now

    def checkpoint(self, processor: str) -> int | None:
        rows = self._connection.execute(_ONE, (processor,))
        return rows[0][1] if rows else None

    def has_parked(self, processor: str) -> bool:
        return bool(self._connection.execute(_PARKED, (processor,)))

    def rows(self, table: Any, keys: Sequence[str]) -> dict[str, Any]:
        return table_for(table).get_many(self._connection, keys)

    def write(self, table: Any, upserts: dict[str, Any], deletes: Sequence[str]) -> None:
        table_for(table).write(self._connection, upserts, deletes)

    def advance(self, processor: str, position: int) -> None:
        self._connection.execute(_ADVANCE, (position, self._time, processor))
