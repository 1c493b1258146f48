"""What an inline projection does inside an append's transaction. Synchronous, like the projection."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import psycopg

from daicho.adapters.stores.postgres.failures import is_lost, translated
from daicho.adapters.stores.postgres.queries import queries_for
from daicho.adapters.stores.postgres.tables import table_for
from daicho.adapters.stores.postgres.together import Together

__all__ = ["Ask", "Moved", "PostgresInline"]

Ask: TypeAlias = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Executes one statement in the middle of the append's transaction and returns its rows."""


class Moved(Exception):
    """Somebody put a checkpoint elsewhere in the meantime: the append is to be done again."""


class PostgresInline:
    """Fulfils `InlineTransaction`, by statements in the middle of a transaction.

    What the database refuses is raised as Daicho's error; only a lost connection stays what the driver calls it.
    """

    def __init__(self, ask: Ask, now: str, schema: str, *, first: int, shown: str) -> None:
        """`first`: position of the first event of the append. The transaction has taken its turn (`inline_turn`)."""
        self._ask, self._now, self._schema, self._first, self._shown = ask, now, schema, first, shown
        self._queries = queries_for(schema)
        self._stored: dict[str, int] = {}

    def checkpoint(self, processor: str) -> int | None:
        """Where the processor stands: right before this append, too, if only holes lie in between."""
        rows = self._rows(self._queries["checkpoint"], (processor,))
        if not rows:
            return None
        position: int = rows[0][1]
        self._stored[processor] = position
        before = self._first - 1
        if position < before:
            [(nothing,)] = self._rows(self._queries["nothing_between"], (self._first, position, self._first))
            return before if nothing else position
        return position

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
        old = self._stored.get(processor)
        values = (position, self._now, processor, old)
        if not self._rows(self._queries["advance_inline"], values) and old is not None:
            raise Moved(f"the checkpoint of {processor} was moved while an append was at it")

    def _rows(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._ask(text, values)
        except psycopg.Error as error:
            if is_lost(error):
                raise
            raise translated(error, self._shown) from error
