"""Projections that are SQL: the author's statements, the checkpoint and the letters in one transaction.

The checkpoint moves last: its row is locked only for the end of a long step, so that leases can be renewed meanwhile.
Whoever has lost the lease finds out then, and everything is undone.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import psycopg

from daicho.adapters.stores.postgres.base import Part, Transaction
from daicho.adapters.stores.postgres.tables import table_for
from daicho.adapters.stores.postgres.together import Together
from daicho.core.errors import InvalidMessage, NoSuchTable, NotSearchable, StoreFailed, WiringError
from daicho.core.sql_projection import written
from daicho.ports.sql_views import SetStep, StepRefused, Stretch
from daicho.ports.view_store import TableSpec

__all__ = ["PostgresSets"]

_OF_CONTENT = {"21", "22", "23", "2F", "38", "39", "44", "54", "P0"}
"""Classes of SQLSTATE that are about what rows hold, or raised by the author's functions."""
_OF_SQL = (StoreFailed, NoSuchTable, InvalidMessage)


def _bound(text: str) -> str:
    """As part of a statement with parameters, in which psycopg gives `%` a meaning."""
    return text.replace("%", "%%")


class PostgresSets(Part):
    dialect = "postgresql"

    async def stretch(
        self, types: Sequence[str], parked: Sequence[str], *, after: int, up_to: int, limit: int
    ) -> Stretch:
        values = (list(types), list(parked), after, up_to, limit)
        [(seen, last, events, followers, hidden)] = await self._read(self._queries["stretch"], values)
        full = seen == limit
        return Stretch(last=last if full else up_to, full=full, events=events, followers=followers, hidden=hidden)

    async def rehearse(self, table: TableSpec, statements: Sequence[str]) -> None:
        if table.row_type.__search_fields__:
            raise NotSearchable(
                f"rows of {table.name!r} cannot be searched",
                why="SQL writes them, and only Daicho itself knows what their words are",
                do="make the projection a function with `@projection`, or leave out `search=` in the row class",
            )
        try:
            async with self._transaction() as transaction:
                for text, reads in self._set_texts(table, statements):
                    await transaction.once(text, (0, 0, [], []) if reads else ())
                    if not transaction.goes_on:
                        raise WiringError(
                            f"a statement of {table.name!r} ended the transaction",
                            why="rows and checkpoint are committed together",
                            do="take COMMIT and ROLLBACK out of it",
                        )
                raise psycopg.Rollback
        except _OF_SQL as error:
            if type(error) not in _OF_SQL:  # the server is in trouble, not the SQL
                raise
            raise WiringError(
                f"PostgreSQL refuses the SQL of the projection {table.name!r}",
                why=str(error.__cause__).strip(),
                do="mend the statement; lines are counted as in your text",
                projection=table.name,
            ) from error

    async def apply_set(self, step: SetStep) -> None:
        together = Together(self._queries, self._time(), step.advance)
        together.park(step.advance.processor, step.parked)
        together.went_through(step.advance.processor, step.retried)
        async with self._transaction() as transaction:
            await self._run_set(transaction, step)
            together.check(await transaction.rows(together.text, together.values))
        self._committed_lazily()

    async def try_set(self, steps: Sequence[SetStep]) -> tuple[int, StepRefused | None]:
        done, refusal = 0, None
        async with self._transaction() as transaction:
            try:
                for step in steps:
                    await self._run_set(transaction, step)
                    done += 1
            except StepRefused as error:
                refusal = error
            raise psycopg.Rollback
        return done, refusal

    async def _run_set(self, transaction: Transaction, step: SetStep) -> None:
        """Raises StepRefused."""
        values = (step.after, step.up_to, list(step.types), list(step.without))
        if step.careful and step.statements and await transaction.rows(self._queries["hidden"], values):
            raise StepRefused(
                "SQL cannot read this event",
                why="it is stored as MessagePack, or one of its texts holds a NUL",
                do="skip it with a reason, or make the projection a function with `@projection`",
            )
        async with _refusals():
            for text, reads in self._set_texts(step.table, step.statements):
                await transaction.once(text, values if reads else ())

    def _set_texts(self, table: TableSpec, statements: Sequence[str]) -> list[tuple[str, bool]]:
        name, events = table_for(self._location.schema, table).table, self._queries["step_events"]
        return [_written(statement, name, events) for statement in statements]


@lru_cache(maxsize=256)
def _written(statement: str, table: str, events: str) -> tuple[str, bool]:
    return written(statement, table=table, events=events, own=_bound)


@asynccontextmanager
async def _refusals() -> AsyncGenerator[None]:
    """Tells errors about what the events hold from all others."""
    try:
        yield
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in _OF_CONTENT:
            raise
        raise StepRefused(
            f"PostgreSQL refused: {error.diag.message_primary}",
            why=_told(error),
            do="mend the SQL or skip the event, then `daicho dlq retry`",
        ) from error


def _told(error: psycopg.Error) -> str:
    told: list[Any] = [error.diag.message_detail, error.diag.context]
    return "; ".join(" ".join(str(each).split()) for each in told if each)
