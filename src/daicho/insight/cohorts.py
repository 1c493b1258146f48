"""Who comes back: keys by the period in which they began, and in which later periods they were seen again."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from daicho.insight.happenings import Happening

__all__ = ["Cohort", "Period", "cohorts"]

Period: TypeAlias = Literal["day", "week", "month"]


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    begins: date
    """First day of its period, by UTC; weeks begin on Monday."""
    keys: int
    """To whom the first event happened then."""
    again: list[int]
    """So many of them were seen again in the same period, the next one, the one after that, ... up to the last period
    in which anything happened."""


async def cohorts(found: AsyncIterator[Happening], first: str, again: str, *, every: Period = "month") -> list[Cohort]:
    """`first` begins a key's history, the first time that it happens; `again` is what it is to be seen doing."""
    began: dict[str, int] = {}
    seen: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    last = 0
    async for key, type_, at in found:
        period = _number(at, every)
        last = max(last, period)
        if key not in began:
            if type_ == first:
                began[key] = period
            continue
        if type_ == again and period >= began[key]:
            seen[began[key]][period - began[key]].add(key)
    sizes: dict[int, int] = defaultdict(int)
    for period in began.values():
        sizes[period] += 1
    return [
        Cohort(
            begins=_first_day(period, every),
            keys=size,
            again=[len(seen[period][n]) for n in range(last - period + 1)],
        )
        for period, size in sorted(sizes.items())
    ]


def _number(at: datetime, every: Period) -> int:
    day = at.astimezone(UTC).date()
    match every:
        case "day":
            return day.toordinal()
        case "week":
            return (day.toordinal() - 1) // 7  # day 1 was a Monday
        case "month":
            return day.year * 12 + day.month - 1


def _first_day(number: int, every: Period) -> date:
    match every:
        case "day":
            return date.fromordinal(number)
        case "week":
            return date.fromordinal(1) + timedelta(weeks=number)
        case "month":
            return date(number // 12, number % 12 + 1, 1)
