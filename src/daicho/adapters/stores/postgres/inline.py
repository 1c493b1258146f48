"""What an inline projection does inside an append's transaction. Synchronous, like the projection."""

from collections.abc import Sequence
from typing import Any

import psycopg

from daicho.adapters.stores.postgres.failures import is_lost, translated
from daicho.adapters.stores.postgres.queries import queries_for
from daicho.adapters.stores.postgres.tables import table_for
from daicho.adapters.stores.postgres.together import Together

__all__ = ["PostgresInline"]


class PostgresInline:
    """Fulfils `InlineTransaction`, on a connection in the middle of a transaction.

    What the database refuses is raised as Daicho's error; only a lost connection stays what the driver calls it.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], now: str, schema: str) -> None:
        self._connection, self._now, self._schema = connection, now, schema
        self._queries = queries_for(schema)

    def checkpoint(self, processor: str) -> int | None:
        rows = self._rows(self._queries["checkpoint"], (processor,))
        return rows[0][1] if rows else None

    def has_parked(self, processor: str) -> bool:
        return bool(self._rows(self._queries["has_parked"], (processor,)))

    def rows(self, table: Any, keys: Sequence[str]) -> dict[str, Any]:
        compiled = table_for(self._schema, table)
        return compiled.keyed(self._rows(*compiled.get_many(keys)))

    def write(self, table: Any, upserts: dict[str, Any], deletes: Sequence[str]) -> None:
        together = Together(self._queries, self._now)
        table_for(self._schema, table).write(together, upserts, deletes)
        self._rows(together.text, together.values)

    def advance(self, processor: str, position: int) -> None:
        self._rows(self._queries["advance_inline"], (position, self._now, processor))

    def _rows(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(text.encode(), values, binary=True)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            if is_lost(error):
                raise
            raise translated(error, self._connection.info.dbname) from error
