"""Look-to-Book of each table, from `pg_stat_statements` of a PostgreSQL database."""

import asyncio
import importlib
from collections import Counter
from typing import Any, NamedTuple

import msgspec

from daicho.advisor.sql import touched
from daicho.advisor.usage import Tally, Usage
from daicho.core.errors import MeterUnavailable, MissingExtra

__all__ = ["Sample", "read_statements", "usage_of"]

SQL = """
SELECT s.queryid, s.query, s.calls
FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = current_database() AND s.calls > 0
"""
_RESET = "SELECT extract(epoch FROM now() - stats_reset)::float8 FROM pg_stat_statements_info"


class Sample(NamedTuple):
    """The counters at one moment, and how long they have been counting, in seconds."""

    calls: Counter[tuple[int, str]]
    seconds: float | None


async def read_statements(url: str, *, seconds: float = 0) -> Usage:
    """What was counted since the statistics were reset; with `seconds`, in that time from now on.

    Raises MeterUnavailable if the database does not answer or the extension is not there, NothingMeasured if it has
    seen no statement on a table, MissingExtra.
    """
    try:
        psycopg: Any = importlib.import_module("psycopg")
    except ImportError as error:
        do = 'pip install "daicho[postgres]"'
        raise MissingExtra("statements are read by psycopg", why=str(error), do=do, extra="postgres") from error
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
            before = await _sample(connection) if seconds else Sample(Counter(), None)
            if seconds:
                await asyncio.sleep(seconds)
            after = await _sample(connection)
    except psycopg.errors.UndefinedTable as error:
        do = "shared_preload_libraries = 'pg_stat_statements', restart, and CREATE EXTENSION pg_stat_statements"
        raise MeterUnavailable("there is no pg_stat_statements in this database", why=str(error), do=do) from error
    except psycopg.Error as error:
        do = "see that the server runs, and that pg_stat_statements is loaded and may be read"
        raise MeterUnavailable("the database cannot be asked", why=str(error).strip(), do=do) from error
    return usage_of(after, before, seconds)


async def _sample(connection: Any) -> Sample:
    calls: Counter[tuple[int, str]] = Counter()
    for queryid, query, count in await (await connection.execute(SQL)).fetchall():
        calls[queryid or 0, query or ""] += count
    reset = await (await connection.execute("SELECT to_regclass('pg_stat_statements_info') IS NOT NULL")).fetchone()
    if not reset[0]:  # PostgreSQL 13
        return Sample(calls, None)
    (age,) = await (await connection.execute(_RESET)).fetchone()
    return Sample(calls, age)


def usage_of(after: Sample, before: Sample, seconds: float) -> Usage:
    """From two samples of the counters. Raises NothingMeasured."""
    tally = Tally()
    for (queryid, query), count in (after.calls - before.calls).items():
        tables = touched(query) if queryid else []
        for table, kind in tables:
            (tally.writes if kind == "write" else tally.reads)[table] += count
        tally.ignored += 0 if tables else count
    found = tally.usage("pg_stat_statements")
    return msgspec.structs.replace(found, seconds=seconds or after.seconds)
