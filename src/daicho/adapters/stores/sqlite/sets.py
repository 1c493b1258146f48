"""Projections that are SQL: the author's statements, the checkpoint and the letters in one transaction."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.checkpoints import move_checkpoint
from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.letters import park_all, went_through
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.tables import table_for
from daicho.adapters.stores.sqlite.writer import FATAL, Transaction
from daicho.core.errors import NotSearchable, StoreFailed, WiringError
from daicho.core.sql_projection import written
from daicho.ports.sql_views import SetStep, StepRefused, Stretch
from daicho.ports.view_store import TableSpec

__all__ = ["SqliteSets"]

_STRETCH, _EVENTS, _HIDDEN = statement("stretch"), statement("step_events"), statement("hidden")
_OF_CONTENT = {1, 18, 19, 20}
"""SQLITE_ERROR (functions raise it), TOOBIG, CONSTRAINT, MISMATCH. The SQL itself has been rehearsed."""


def _json(values: Sequence[str]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _rehearse(transaction: Transaction, table: TableSpec, statements: Sequence[str]) -> None:
    if table.row_type.__search_fields__:
        raise NotSearchable(
            f"rows of {table.name!r} cannot be searched",
            why="SQL writes them, and only Daicho itself knows what their words are",
            do="make the projection a function with `@projection`, or leave out `search=` in the row class",
        )
    connection = transaction.connection
    connection.execute("savepoint rehearsal")
    try:
        for text, reads in _written(table, statements):
            connection.execute(text, (0, 0, "[]", "[]") if reads else ())
        connection.execute("rollback to rehearsal")  # refused if a statement ended the transaction
        connection.execute("release rehearsal")
    except FATAL:
        raise
    except Exception as error:
        raise WiringError(
            f"SQLite refuses the SQL of the projection {table.name!r}",
            why=error.why if isinstance(error, StoreFailed) else str(error),
            do="mend the statement",
            projection=table.name,
        ) from error


def _apply(transaction: Transaction, step: SetStep) -> None:
    move_checkpoint(transaction, step.advance)
    _run(transaction.connection, step)
    park_all(transaction, step.advance.processor, step.parked)
    went_through(transaction, step.advance.processor, step.retried)


def _try(transaction: Transaction, steps: Sequence[SetStep]) -> tuple[int, StepRefused | None]:
    connection = transaction.connection
    connection.execute("savepoint trial")
    try:
        for done, step in enumerate(steps):
            try:
                _run(connection, step)
            except StepRefused as error:
                return done, error
        return len(steps), None
    finally:
        connection.execute("rollback to trial")
        connection.execute("release trial")


def _run(connection: Connection, step: SetStep) -> None:
    """Raises StepRefused."""
    bound = (step.after, step.up_to, _json(step.types), _json(step.without))
    if step.careful and step.statements and connection.execute(_HIDDEN, bound):
        raise StepRefused(
            "SQL cannot read this event",
            why="it is stored as MessagePack",
            do="skip it with a reason, or make the projection a function with `@projection`",
        )
    try:
        for text, reads in _written(step.table, step.statements):
            connection.execute(text, bound if reads else ())
    except StoreFailed as error:
        if error.data.get("sqlite_code", 0) & 0xFF not in _OF_CONTENT:
            raise
        raise StepRefused(
            f"SQLite refused: {error.why}", do="mend the SQL or skip the event, then `daicho dlq retry`"
        ) from error


def _written(table: TableSpec, statements: Sequence[str]) -> list[tuple[str, bool]]:
    name = table_for(table).table
    return [_written_for(each, name) for each in statements]


@lru_cache(maxsize=256)
def _written_for(text: str, table: str) -> tuple[str, bool]:
    return written(text, table=table, events=_EVENTS)


class SqliteSets(Part):
    dialect = "sqlite"

    async def stretch(
        self, types: Sequence[str], parked: Sequence[str], *, after: int, up_to: int, limit: int
    ) -> Stretch:
        bound: tuple[Any, ...] = (_json(types), _json(parked), after, up_to, limit)
        if up_to - after < 100:
            rows = await self._here(lambda connection: connection.execute(_STRETCH, bound))
        else:
            rows = await self._aside(lambda connection: connection.execute(_STRETCH, bound))
        [(seen, last, events, followers, hidden)] = rows
        full = seen == limit
        return Stretch(last=last if full else up_to, full=full, events=events, followers=followers, hidden=hidden)

    async def rehearse(self, table: TableSpec, statements: Sequence[str]) -> None:
        await self._write(lambda transaction: _rehearse(transaction, table, statements), weight=1000)

    async def try_set(self, steps: Sequence[SetStep]) -> tuple[int, StepRefused | None]:
        return await self._write(lambda transaction: _try(transaction, steps), weight=len(steps))

    async def apply_set(self, step: SetStep) -> None:
        await self._write(lambda transaction: _apply(transaction, step), weight=step.weight)
