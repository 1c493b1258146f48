"""Figures at a glance."""

from collections.abc import Sequence
from html import escape

from nicegui import ui

__all__ = ["card", "sparkline", "sparkline_svg"]


def card(
    label: str, figure: str, *, unit: str = "", target: str = "", points: Sequence[float] = (), colour: str = ""
) -> ui.html:
    """A figure with its name, the line of its last values, and the screen behind it."""
    unit_html = f'<span class="d-unit">{escape(unit)}</span>' if unit else ""
    line = sparkline_svg(points, colour) if points else ""
    markup = f'<div class="d-label">{escape(label)}</div><div class="d-figure">{escape(figure)}{unit_html}</div>{line}'
    made = ui.html(markup, tag="a" if target else "div").classes("d-card")
    if target:
        made.props["href"] = target
    return made


def sparkline(points: Sequence[float], colour: str = "command") -> ui.html:
    return ui.html(sparkline_svg(points, colour))


def sparkline_svg(points: Sequence[float], colour: str = "command") -> str:
    """The last values as a line; `colour`: one of the kinds."""
    if len(points) < 2:
        points = [*points, *points] or [0.0, 0.0]
    top = max(max(points), 1e-9)
    step = 200 / (len(points) - 1)
    spots = [f"{n * step:.1f},{30 - 26 * max(0.0, value) / top:.1f}" for n, value in enumerate(points)]
    ink = f"var(--{escape(colour or 'command')})"
    return (
        '<svg class="d-spark" viewBox="0 0 200 32" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="0,31 {" ".join(spots)} 200,31" fill="{ink}" opacity="0.12"></polygon>'
        f'<polyline points="{" ".join(spots)}" fill="none" stroke="{ink}" stroke-width="1.6" '
        'vector-effect="non-scaling-stroke"></polyline></svg>'
    )
