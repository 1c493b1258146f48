"""Boxes and lines between them, in columns: drawn here, so that they are the same in every browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

__all__ = ["Box", "Line", "boxes_svg"]

_LINE, _BETWEEN = 17, 22


@dataclass(frozen=True, kw_only=True)
class Box:
    name: str
    """Lines name it."""
    title: str
    lines: Sequence[str] = ()
    kind: str = ""
    """command, event, view, policy, external, good, bad or warn: the colour of its edge."""
    column: int = 0
    target: str = ""
    """Address of a screen."""


@dataclass(frozen=True, kw_only=True)
class Line:
    start: str
    end: str
    label: str = ""
    kind: str = ""
    """good, warn or bad: its colour; the label says the same in words."""
    width: float = 1.5
    is_dashed: bool = False


def boxes_svg(found: Sequence[Box], lines: Sequence[Line], *, wide: int = 208, gap: int = 92) -> str:
    """`wide`: of a box; `gap`: between columns, where labels of lines stand."""
    columns: dict[int, list[Box]] = {}
    for box in found:
        columns.setdefault(box.column, []).append(box)
    heights = {n: sum(_height(box) + _BETWEEN for box in column) - _BETWEEN for n, column in columns.items()}
    tall = max(heights.values(), default=0) + 24
    order = sorted(columns)
    whole = len(order) * wide + (len(order) - 1) * gap + 8
    places: dict[str, tuple[float, float, int]] = {}
    for index, n in enumerate(order):
        y = (tall - heights[n]) / 2
        for box in columns[n]:
            places[box.name] = (4 + index * (wide + gap), y, _height(box))
            y += _height(box) + _BETWEEN
    drawn = "".join(_line_svg(line, places, wide) for line in lines if line.start in places and line.end in places)
    drawn += "".join(_box_svg(box, *places[box.name], wide) for box in found)
    return (
        f'<svg viewBox="0 0 {whole} {tall:.0f}" width="{whole}" height="{tall:.0f}" role="img" '
        f'style="max-width:100%;height:auto">{drawn}</svg>'
    )


def _height(box: Box) -> int:
    return 34 + _LINE * len(box.lines) + (6 if box.lines else 0)


def _box_svg(box: Box, x: float, y: float, height: int, wide: int) -> str:
    ink = f"var(--{escape(box.kind)})" if box.kind else "var(--dim)"
    texts = "".join(
        f'<text x="{x + 14:.0f}" y="{y + 40 + n * _LINE:.0f}" class="s">{escape(_cut(line, wide // 7))}</text>'
        for n, line in enumerate(box.lines)
    )
    body = (
        f'<g class="box"><title>{escape(box.title)}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{wide}" height="{height}" rx="9"></rect>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="5" height="{height}" rx="2" style="fill:{ink};stroke:none"></rect>'
        f'<text x="{x + 14:.0f}" y="{y + 22:.0f}" class="t">{escape(_cut(box.title, wide // 8))}</text>{texts}</g>'
    )
    return f'<a href="{escape(box.target)}">{body}</a>' if box.target else body


def _line_svg(line: Line, places: Mapping[str, tuple[float, float, int]], wide: int) -> str:
    (x1, y1, h1), (x2, y2, h2) = places[line.start], places[line.end]
    ink = f"var(--{escape(line.kind)})" if line.kind else "var(--dim)"
    dashes = ' stroke-dasharray="5 4"' if line.is_dashed else ""
    if x1 == x2:  # within a column: from below to above, or the other way
        down = y1 < y2
        x = x1 + wide / 2
        start, end = (y1 + h1, y2) if down else (y1, y2 + h2)
        path, tip = f"M{x:.0f},{start:.0f} L{x:.0f},{end:.0f}", (x, end, 0.0, 1.0 if down else -1.0)
        at = (x + 6, (start + end) / 2 + 4, "start")
    else:
        right = x1 < x2
        start_x, end_x = (x1 + wide, x2) if right else (x1, x2 + wide)
        start_y, end_y = y1 + h1 / 2, y2 + h2 / 2
        bend = (end_x - start_x) / 2
        path = (
            f"M{start_x:.0f},{start_y:.0f} C{start_x + bend:.0f},{start_y:.0f} {end_x - bend:.0f},{end_y:.0f} "
            f"{end_x:.0f},{end_y:.0f}"
        )
        tip = (end_x, end_y, 1.0 if right else -1.0, 0.0)
        near = end_x - 8 if right else end_x + 8
        at = (near, end_y + (14 if start_y < end_y else -7), "end" if right else "start")  # beside the line
    label = f'<text x="{at[0]:.0f}" y="{at[1]:.0f}" text-anchor="{at[2]}" class="l">{escape(line.label)}</text>'
    return (
        f'<path d="{path}" style="fill:none;stroke:{ink};stroke-width:{line.width:.1f}"{dashes}></path>'
        f'<polygon points="{_arrow(*tip)}" style="fill:{ink}"></polygon>{label if line.label else ""}'
    )


def _arrow(x: float, y: float, dx: float, dy: float) -> str:
    """The tip of a line that comes in this direction."""
    spots = ((x, y), (x - 7 * dx - 4 * dy, y - 7 * dy - 4 * dx), (x - 7 * dx + 4 * dy, y - 7 * dy + 4 * dx))
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)


def _cut(text: str, most: int) -> str:
    """Letters of East Asia are as wide as two others."""
    room = float(most)
    for n, letter in enumerate(text):
        room -= 1.8 if east_asian_width(letter) in "WF" else 1
        if room < 0:
            return f"{text[: n - 1]}…"
    return text
