"""Criteria as SQL: one range scan of the tag index for each tagged alternative."""

from typing import Any

from daicho.core.conditions import Criteria

__all__ = ["matches_all", "positions"]


def matches_all(criteria: Criteria) -> bool:
    return not criteria.items or any(not item.types and not item.tags for item in criteria.items)


def positions(
    criteria: Criteria, *, after: int, up_to: int | None, limit: int | None, newest_first: bool = False
) -> tuple[str, list[Any]]:
    """SQL of the positions that match, and its values. Each alternative looks at no more than it has to."""
    parts: list[str] = []
    bound: list[Any] = []
    for item in criteria.items:
        table, where = ("event_tags", ["at.tag = %s"]) if item.tags else ("events", [])
        bound += item.tags[:1]
        where.append("at.position > %s")
        bound.append(after)
        if up_to is not None:
            where.append("at.position <= %s")
            bound.append(up_to)
        if item.types:
            where.append("at.type = any (%s)")
            bound.append(list(item.types))
        for tag in item.tags[1:]:
            where.append(
                "exists (select 1 from daicho.event_tags too where too.tag = %s and too.position = at.position)"
            )
            bound.append(tag)
        text = f"select at.position from daicho.{table} at where {' and '.join(where)}"  # noqa: S608
        if limit is not None:
            text += f" order by at.position {'desc' if newest_first else 'asc'} limit %s"
            bound.append(limit)
        parts.append(f"({text})")
    return " union ".join(parts), bound
