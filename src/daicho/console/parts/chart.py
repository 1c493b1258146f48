"""Pictures: charts, diagrams, bars. The style sheet colours their texts and lines, in light and in dark."""

from collections.abc import Mapping
from html import escape
from typing import Any

from nicegui import ui

from daicho.console.parts.text import html
from daicho.console.words.kinds import COLOURS

__all__ = ["bar", "bar_html", "chart", "diagram"]

_GRID = "#8894a340"
_PALETTE = [COLOURS[name] for name in ("command", "event", "view", "policy", "external")]


def chart(options: Mapping[str, Any], *, height: int = 260) -> ui.echart:
    """ECharts, drawn as SVG: `.d-chart` in the style sheet colours its texts and lines."""
    axes = {
        name: {"splitLine": {"lineStyle": {"color": _GRID}}, **options[name]}
        for name in ("xAxis", "yAxis")
        if name in options
    }
    return (
        ui.echart({"color": _PALETTE, "animation": False, **options, **axes}, renderer="svg")
        .classes("d-chart")
        .style(f"height:{height}px")
    )


def diagram(text: str) -> ui.mermaid:
    """Mermaid. Names in it were cleaned by whoever made the text; `strict` keeps scripts and links out all the same."""
    config = {
        "securityLevel": "strict",
        "theme": "neutral",
        "fontFamily": "inherit",
        "flowchart": {"htmlLabels": False, "curve": "basis", "useMaxWidth": True},
    }
    return ui.mermaid(text, config=config).classes("d-diagram")


def bar(share: float, text: str, colour: str = "command") -> ui.html:
    """How much of something: from 0 to 1."""
    return html(bar_html(share, text, colour))


def bar_html(share: float, text: str, colour: str = "command") -> str:
    width = 100 * min(1.0, max(0.0, share))
    return (
        f'<div class="d-bar"><div class="d-track"><div style="width:{width:.1f}%;background:var(--{escape(colour)})">'
        f"</div></div><span>{escape(text)}</span></div>"
    )
