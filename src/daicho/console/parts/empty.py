"""Nothing here yet, and how to change that."""

from nicegui import ui

from daicho.console.parts.text import code
from daicho.console.screen import Place

__all__ = ["empty"]


def empty(place: Place, text: str, *, fill: str = "", icon: str = "inbox") -> None:
    """`fill`: the command line that fills it, or the code to write."""
    with ui.element("div").classes("d-empty"):
        ui.icon(icon)
        ui.label(text).classes("d-strong")
        if fill:
            ui.label(place.t("empty.fill"))
            code(fill)
