"""Pictures of numbers, as SVG: they need no library, and say in words what colour says."""

import math
from collections.abc import Sequence
from html import escape

from nicegui import ui

__all__ = ["budget", "gauge", "heat_map"]

_BANDS = ((1, 3, "dim"), (3, 10, "view"), (10, 100, "command"), (100, 1000, "policy"))


def gauge(ratio: float | None, caption: str, names: Sequence[str]) -> ui.html:
    """A half circle, 1 to 1,000 on a logarithmic scale; `names`: of the four bands."""
    cx, cy, radius = 210.0, 190.0, 150.0
    parts = [_arc(cx, cy, radius, low, high, colour) for low, high, colour in _BANDS]
    for value in (1, 3, 10, 100, 1000):
        x, y = _spot(cx, cy, radius + 18, value)
        anchor = "end" if value == 1 else "start" if value == 1000 else "middle"  # beside the ends of the arc
        parts.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="d-svgdim">{value:,}</text>')
    for (low, high, _), name in zip(_BANDS, names, strict=True):
        x, y = _spot(cx, cy, radius + 46, math.sqrt(low * high))
        anchor = "end" if x < cx - 40 else "start" if x > cx + 40 else "middle"
        parts.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="d-svgtext">{escape(name)}</text>')
    if ratio is not None:
        x, y = _spot(cx, cy, radius - 26, min(max(ratio, 1), 1000))
        parts.append(
            f'<line x1="{cx}" y1="{cy}" x2="{x:.1f}" y2="{y:.1f}" stroke="var(--ink)" stroke-width="4" '
            f'stroke-linecap="round"></line><circle cx="{cx}" cy="{cy}" r="8" fill="var(--ink)"></circle>'
        )
    text = "–" if ratio is None else f"{ratio:,.1f}"
    parts.append(
        f'<text x="{cx}" y="{cy + 44}" text-anchor="middle" class="d-svgbig">{text}</text>'
        f'<text x="{cx}" y="{cy + 64}" text-anchor="middle" class="d-svgdim">{escape(caption)}</text>'
    )
    return ui.html(f'<svg viewBox="-70 -20 560 282" role="img" class="d-gauge">{"".join(parts)}</svg>')


def _spot(cx: float, cy: float, radius: float, value: float) -> tuple[float, float]:
    angle = math.pi * (1 - math.log10(value) / 3)
    return cx + radius * math.cos(angle), cy - radius * math.sin(angle)


def _arc(cx: float, cy: float, radius: float, low: float, high: float, colour: str) -> str:
    (x1, y1), (x2, y2) = _spot(cx, cy, radius, low), _spot(cx, cy, radius, high)
    return (
        f'<path d="M{x1:.1f},{y1:.1f} A{radius},{radius} 0 0 1 {x2:.1f},{y2:.1f}" fill="none" '
        f'stroke="var(--{colour})" stroke-width="20"></path>'
    )


def heat_map(columns: Sequence[str], rows: Sequence[tuple[str, str, Sequence[int]]]) -> ui.html:
    """Rows of a name, a colour and a number for each column; the darker, the more. The number is in the cell's title,
    and shown where there is room."""
    head = "".join(f"<th>{escape(each)}</th>" for each in columns)
    body: list[str] = []
    for name, colour, values in rows:
        top = max(max(values, default=0), 1)
        cells = "".join(_cell(value, top, colour, column) for value, column in zip(values, columns, strict=True))
        body.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    table = f'<table class="d-heat"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return ui.html(table).classes("d-heatwrap")


def _cell(value: int, top: int, colour: str, column: str) -> str:
    share = 0 if not value else 14 + round(76 * value / top)
    text = f"{value}" if 0 < value < 1000 else f"{value / 1000:.0f}k" if value else ""
    ground = f"background:color-mix(in srgb,var(--{escape(colour)}) {share}%,var(--panel))"
    return f'<td style="{ground}" title="{escape(column)}: {value:,}">{text}</td>'


def budget(p50: float, p95: float, p99: float, limit: float) -> str:
    """Three percentiles on a line of twice the budget, with the budget drawn; as markup for a table of its own."""
    whole = 2 * limit
    marks = "".join(
        f'<i style="width:{min(100, 100 * value / whole):.1f}%;opacity:{opacity};background:var(--{colour})"></i>'
        for value, opacity, colour in (
            (p99, 0.3, "view" if p99 <= limit else "bad"),
            (p95, 0.55, "view" if p95 <= limit else "bad"),
            (p50, 1, "view" if p50 <= limit else "bad"),
        )
    )
    return f'<span class="d-budget">{marks}<b></b></span>'
