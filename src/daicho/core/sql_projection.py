"""A projection that is SQL: statements over a whole page of events, run where the events and the rows are."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from daicho.core.errors import ConfigurationError, WiringError
from daicho.core.fingerprint import fingerprint
from daicho.core.messages import Event, Row
from daicho.core.projection import Table, indexable

__all__ = ["Sql", "SqlFold", "SqlProjection", "sql_projection", "written"]

RowT = TypeVar("RowT", bound=Row)
Sql: TypeAlias = str | Sequence[str]
"""One statement, or several that run in order."""

_DIALECTS = ("postgresql", "sqlite")
_TOKEN = re.compile(r"\{(table|events)\}")
_LEAD = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WITH = re.compile(r"with(?:\s+(recursive))?\b", re.IGNORECASE)
_CONTROL = re.compile(
    r"(begin|start|commit|end|rollback|abort|savepoint|release|prepare\s+transaction)\b", re.IGNORECASE
)
_EVENTS = "daicho_events"


@dataclass(frozen=True, eq=False)
class SqlProjection(Table[RowT]):
    """Rows that the database makes of pages of events, by statements of yours. Made by `sql_projection`."""

    name: str
    events: tuple[type[Event], ...]
    sql: Mapping[str, tuple[str, ...]]
    """By dialect: `postgresql`, `sqlite`."""
    row_type: type[RowT]
    inline: bool = False
    """Never: it follows the log in transactions of its own."""


def sql_projection(
    name: str, *, row: type[RowT], events: Sequence[type[Event]], sql: Sql | Mapping[str, Sql]
) -> SqlProjection[RowT]:
    """Declares a projection that is SQL instead of a function: one statement for a whole page of events.

        sales = sql_projection(
            "sales",
            row=Sales,
            events=[OrderPlaced],
            sql="insert into {table} (_key, day, cents) "
            "select data->>'day', data->>'day', sum((data->>'cents')::bigint) from {events} group by 2 "
            "on conflict (_key) do update set cents = {table}.cents + excluded.cents",
        )

    `{table}` is the table of rows: `_key` and the fields of `row`. `{events}` holds the events of this step that are of
    these classes, with every column of the events table (`position`, `stream`, `version`, `type`, `schema_version`,
    `data`, ...), in no order. Everything else is passed on as it is written, other braces included. Several statements
    run in order. A mapping `{"postgresql": ..., "sqlite": ...}` gives each database its own.

    The statements and the checkpoint are committed together, so each event counts exactly once; how many events one
    step has is not promised. They are not run for a step without events; at start they are run on none, and undone, to
    be checked. They see what is stored: no upcasting, former names and versions of the classes included, and only JSON.
    Let them read `{events}` and `{table}` alone, and write `{table}` alone, or a rebuild gives other rows.

    Raises WiringError. An App whose store does not run this SQL raises ConfigurationError when it starts.
    """
    if not _is_a(row, Row):
        raise WiringError(f"{name!r}: {row!r} is no class of rows", do="give row=MyRow, with `class MyRow(Row)`")
    classes = tuple(dict.fromkeys(events))
    for event in classes:
        if not _is_a(event, Event):
            raise WiringError(f"{name!r}: {event!r} is no class of events", do="give events=[MyEvent, ...]")
    if not classes:
        raise WiringError(f"{name!r} names no events", do="give events=[MyEvent, ...]")
    by_dialect = sql if isinstance(sql, Mapping) else dict.fromkeys(_DIALECTS, sql)
    if strange := [dialect for dialect in by_dialect if dialect not in _DIALECTS]:
        raise WiringError(f"{name!r}: {strange[0]!r} is no dialect", do=f"use {' and '.join(map(repr, _DIALECTS))}")
    statements = {dialect: _statements(name, text) for dialect, text in by_dialect.items()}
    if not statements:
        raise WiringError(f"{name!r} has no SQL", do="give sql='insert into {table} ... from {events} ...'")
    return SqlProjection(name, classes, statements, indexable(row))


def _is_a(given: object, kind: type) -> bool:
    return isinstance(given, type) and issubclass(given, kind)


def _statements(name: str, sql: Sql) -> tuple[str, ...]:
    found = (sql,) if isinstance(sql, str) else tuple(sql)
    for token in ("{table}", "{events}"):
        if not any(token in statement for statement in found):
            raise WiringError(
                f"the SQL of {name!r} does not name {token}",
                why="it writes the rows of one table from the events of one step",
                do="write `insert into {table} (_key, ...) select ... from {events} ...`",
            )
    for statement in found:
        start = statement[_led(statement) :]
        if not start:
            raise WiringError(f"a statement of {name!r} is empty", do="take it out")
        if control := _CONTROL.match(start):
            raise WiringError(
                f"a statement of {name!r} is `{control[0].lower()}`",
                why="rows and checkpoint share one transaction, which is not the statement's to end",
                do="take it out",
            )
    return found


def _led(statement: str) -> int:
    """Where it begins, behind blanks and comments."""
    lead = _LEAD.match(statement)
    return lead.end() if lead else 0


def written(
    statement: str, *, table: str, events: str, own: Callable[[str], str] = lambda text: text
) -> tuple[str, bool]:
    """The statement for one table, and whether it reads events: then its parameters are those of `events`, a query that
    stands first, without a line break, so that the database counts lines as the author does. `own` treats their text.
    """
    parts = _TOKEN.split(statement)
    names = {"table": table, "events": _EVENTS}
    body = "".join(names[part] if n % 2 else own(part) for n, part in enumerate(parts))
    if "events" not in parts[1::2]:
        return body, False
    begin = _led(body)
    common = f"{_EVENTS} as ({' '.join(events.split())})"
    if found := _WITH.match(body, begin):
        recursive = "recursive " if found[1] else ""
        return f"{body[:begin]}with {recursive}{common},{body[found.end() :]}", True
    return f"{body[:begin]}with {common} {body[begin:]}", True


class SqlFold(Generic[RowT]):
    """A projection that is SQL, compiled."""

    def __init__(self, part: SqlProjection[RowT]) -> None:
        self.part, self.name, self.events = part, part.name, part.events
        names = sorted(event.__message_name__ for event in part.events)
        self.code = fingerprint(sorted(part.sql.items()), names, part.row_type)

    def statements(self, dialect: str) -> tuple[str, ...]:
        found = self.part.sql.get(dialect)
        if found is None:
            raise ConfigurationError(
                f"the projection {self.name!r} has no SQL for {dialect}",
                why=f"it has some for {', '.join(sorted(self.part.sql))}",
                do=f'add sql={{..., "{dialect}": "insert into ..."}}, or give App a store that it has SQL for',
                projection=self.name,
            )
        return found
