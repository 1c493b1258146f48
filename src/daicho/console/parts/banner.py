"""What is wrong, why, and what to do."""

from nicegui import ui

from daicho.console.screen import Place
from daicho.core.errors import DaichoError

__all__ = ["problem", "told"]


def problem(place: Place, error: DaichoError) -> None:
    """An error, in its own words."""
    with ui.element("div").classes("d-problem").props('role="alert"'):
        ui.label(f"{error.what}  ({error.code})").classes("d-strong")
        if error.why:
            ui.label(f"{place.t('problem.why')}: {error.why}")
        if error.do:
            ui.label(f"{place.t('problem.do')}: {error.do}")


def told(text: str, kind: str = "warn", detail: str = "") -> ui.element:
    """`kind`: good, warn or bad."""
    box = ui.element("div").classes(f"d-problem {kind}").props('role="status"')
    with box:
        ui.label(text).classes("d-strong")
        if detail:
            ui.label(detail)
    return box
