"""Pictures of what insight found, as data: Mermaid text and ECharts options. Pure functions."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from daicho.insight.cohorts import Cohort, Period
from daicho.insight.funnel import Funnel
from daicho.insight.process_map import ProcessMap
from daicho.insight.spread import buckets

__all__ = [
    "chart_of_answer",
    "chart_of_cohorts",
    "chart_of_funnel",
    "chart_of_times",
    "mermaid_of_map",
    "short_time",
]

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))
_SPECIAL = str.maketrans({'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "\n": " ", ";": "#59;", "|": "#124;"})


def short_time(seconds: float) -> str:
    """`3.2 ms`, `1.5 s`, `2.0 h`, `12 d`: two figures, or more where they stand before the point."""
    if seconds < 0:
        return f"-{short_time(-seconds)}"
    for size, unit in _UNITS:
        if seconds >= size:
            number = seconds / size
            return f"{number:.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{seconds * 1e6:.0f} µs" if seconds else "0 s"


def mermaid_of_map(found: ProcessMap, *, most: int = 40) -> str:
    """A flowchart (mermaid.js.org/syntax/flowchart): types of events with their counts, and how often and how soon
    (median) one directly followed another. The `most` most frequent arrows are drawn."""
    names = {type_: f"n{n}" for n, type_ in enumerate(found.types)}
    edges = found.edges[:most]
    drawn = {name for edge in edges for name in (edge.before, edge.after)} | set(found.starts)
    lines = ["flowchart LR", f'  begin(("{found.cases:,}"))']
    lines += [
        f'  {names[type_]}["{_clean(type_)}<br/>{count:,}"]' for type_, count in found.types.items() if type_ in drawn
    ]
    lines += [f'  begin -->|"{count:,}"| {names[type_]}' for type_, count in found.starts.items()]
    most_frequent = max((edge.count for edge in edges), default=1)
    widths: list[str] = []
    for n, edge in enumerate(edges, start=len(found.starts)):
        told = f"{edge.count:,} · {short_time(edge.took.median)}"
        lines.append(f'  {names[edge.before]} -->|"{told}"| {names[edge.after]}')
        widths.append(f"  linkStyle {n} stroke-width:{1 + 4 * edge.count / most_frequent:.1f}px")
    lines += [
        f"  style {names[type_]} fill:#f5a04a,stroke:#b8691b,color:#1d1d1d" for type_ in found.types if type_ in drawn
    ]
    return "\n".join([*lines, *widths])


def chart_of_funnel(found: Funnel) -> dict[str, Any]:
    """Bars from the left, one a step, in order."""
    names = [step.type for step in found.steps]
    return {
        "grid": {"left": 8, "right": 90, "top": 8, "bottom": 8, "containLabel": True},
        "xAxis": {"type": "value", "show": False, "max": max(1, *(step.reached for step in found.steps))},
        "yAxis": {"type": "category", "data": names, "inverse": True, "axisTick": {"show": False}},
        "series": [
            {
                "type": "bar",
                "barCategoryGap": "30%",
                "data": [
                    {
                        "value": step.reached,
                        "label": {"formatter": f"{step.reached:,}  {step.of_first:.1%}"},
                    }
                    for step in found.steps
                ],
                "label": {"show": True, "position": "right"},
            }
        ],
    }


def chart_of_times(seconds: Sequence[float]) -> dict[str, Any]:
    """How many took how long, each bar much longer than the one before."""
    found = buckets(seconds)
    labels = [_between(low, high) for low, high, _ in found]
    return {
        "grid": {"left": 8, "right": 8, "top": 24, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "category", "data": labels},
        "yAxis": {"type": "value", "minInterval": 1},
        "series": [{"type": "bar", "data": [count for _, _, count in found]}],
    }


def chart_of_cohorts(found: Sequence[Cohort], *, every: Period = "month") -> dict[str, Any]:
    """A heat map: a row for each cohort, and in it the share, in percent, that was seen again."""
    widest = max((len(cohort.again) for cohort in found), default=0)
    cells = [
        [n, row, round(100 * again / cohort.keys, 1)]
        for row, cohort in enumerate(found)
        for n, again in enumerate(cohort.again)
    ]
    return {
        "grid": {"left": 8, "right": 8, "top": 8, "bottom": 8, "containLabel": True},
        "tooltip": {},
        "xAxis": {"type": "category", "data": [f"{every} +{n}" for n in range(widest)]},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": [f"{cohort.begins.isoformat()} ({cohort.keys:,})" for cohort in found],
        },
        "visualMap": {"min": 0, "max": 100, "show": False, "inRange": {"color": ["#dbe6fb22", "#2f6fde"]}},
        "series": [{"type": "heatmap", "data": cells, "label": {"show": widest <= 16}}],
    }


def chart_of_answer(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any] | None:
    """Of rows that somebody's SQL gave: the first column that holds no numbers along the bottom, one series for each
    that does. Times make lines, names make bars. None if there is nothing to draw."""
    numbers = [n for n in range(len(columns)) if _is_numeric([row[n] for row in rows])]
    labels = [n for n in range(len(columns)) if n not in numbers]
    if not rows or not numbers or not (labels or len(numbers) > 1):
        return None
    along = labels[0] if labels else numbers[0]
    drawn = [n for n in numbers if n != along]
    kind = "line" if not labels or _is_time([row[along] for row in rows]) else "bar"
    return {
        "grid": {"left": 8, "right": 16, "top": 40, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "axis"},
        "legend": {"top": 0},
        "xAxis": {"type": "category", "data": [str(row[along]) for row in rows]},
        "yAxis": {"type": "value"},
        "series": [
            {"name": columns[n], "type": kind, "data": [None if row[n] is None else float(row[n]) for row in rows]}
            for n in drawn
        ],
    }


def _is_numeric(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float | Decimal) and type(value) is not bool for value in known)


def _is_time(values: Sequence[Any]) -> bool:
    try:
        return all(value is None or bool(date.fromisoformat(str(value)[:10])) for value in values)
    except ValueError:
        return False


def _between(low: float, high: float) -> str:
    if low == float("-inf"):
        return f"< {short_time(high)}"
    return f"≥ {short_time(low)}" if high == float("inf") else f"{short_time(low)} – {short_time(high)}"


def _clean(text: str) -> str:
    return text.translate(_SPECIAL)
