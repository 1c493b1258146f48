"""Criteria as SQL: one range scan of the tag index for each tagged alternative."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from daicho.adapters.stores.sqlite.driver import Connection
from daicho.core.conditions import Criteria

__all__ = ["marks", "matches_all", "positions", "positions_after"]


def marks(count: int) -> str:
    """`?, ?, ?`"""
    return ", ".join("?" * count)


def matches_all(criteria: Criteria) -> bool:
    return not criteria.items or any(not item.types and not item.tags for item in criteria.items)


@lru_cache(maxsize=512)
def _alternative(types: int, tags: int, limited: bool, newest_first: bool, ranged: int) -> str:
    table, where = ("event_tags", ["at.tag = ?"]) if tags else ("events", [])
    where += ["at.position > ?", "at.position <= ?"][:ranged]
    if types:
        where.append(f"at.type in ({marks(types)})")
    where += [
        "exists (select 1 from event_tags too where too.tag = ? and too.position = at.position)"
        for _ in range(tags - 1)
    ]
    order = f" order by at.position {'desc' if newest_first else 'asc'} limit ?" if limited else ""
    return f"select position from (select at.position from {table} at where {' and '.join(where)}{order})"  # noqa: S608


def positions(
    criteria: Criteria, *, after: int, up_to: int | None, limit: int | None, newest_first: bool = False
) -> tuple[str, list[Any]]:
    """SQL of the positions that match, and its values. Each alternative looks at no more than it has to."""
    parts: list[str] = []
    bound: list[Any] = []
    span = [after] if up_to is None else [after, up_to]
    for item in criteria.items:
        parts.append(_alternative(len(item.types), len(item.tags), limit is not None, newest_first, len(span)))
        bound += [*item.tags[:1], *span, *item.types, *item.tags[1:]]
        if limit is not None:
            bound.append(limit)
    return " union ".join(parts), bound


def positions_after(
    connection: Connection, criteria: Criteria, after: int, limit: int, seen: Sequence[int] = ()
) -> list[int]:
    """The first positions after `after` that match, but for those in `seen`."""
    wanted, limit = limit, limit + len(seen)
    if matches_all(criteria):
        rows = connection.execute(
            "select position from events where position > ? order by position limit ?", (after, limit)
        )
    elif len(criteria.items) == 1:
        rows = connection.execute(*positions(criteria, after=after, up_to=None, limit=limit))
    else:
        text, bound = positions(criteria, after=after, up_to=None, limit=limit)
        rows = connection.execute(f"{text} order by position limit ?", [*bound, limit])
    return [position for (position,) in rows if position not in seen][:wanted]
