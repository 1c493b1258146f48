"""Filters that live in the address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from nicegui import ui

from daicho.console.parts.text import anchor
from daicho.console.screen import Place

__all__ = ["Field", "filters"]


@dataclass(frozen=True, kw_only=True)
class Field:
    name: str
    """In the query: `?name=value`."""
    label: str
    kind: Literal["text", "select", "date"] = "text"
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of a select: by value, what is shown. `all` is always there."""


def filters(place: Place, fields: Sequence[Field]) -> None:
    """A plain form: what is chosen is in the address, which can be kept and sent to somebody. Pages begin anew."""
    with ui.element("form").classes("d-filters").props(f'method="get" action="{escape(place.here())}"'):
        for each in fields:
            with ui.element("label").classes("d-field"):
                ui.label(each.label)
                _input(place, each)
        for name, value in place.query.items():
            if name not in {each.name for each in fields} and name != "after":
                hidden = ui.element("input").props('type="hidden"')
                hidden.props["name"], hidden.props["value"] = name, value
        with ui.element("button").classes("d-button d-primary").props('type="submit"'):
            ui.label(place.t("filter.apply"))
        if any(place.query.get(each.name) for each in fields):
            cleared: dict[str, object] = {each.name: None for each in fields}
            anchor(place.t("filter.clear"), place.here(**cleared, after=None)).classes("d-button")


def _input(place: Place, each: Field) -> None:
    chosen = place.query.get(each.name, "")
    if each.kind == "select":
        select = ui.element("select")
        select.props["name"] = each.name
        with select:
            for value, text in {"": place.t("filter.all"), **each.options}.items():
                option = ui.element("option")
                option.props["value"] = value
                if value == chosen:
                    option.props["selected"] = True
                with option:
                    ui.html(escape(text), tag="span")
        return
    box = ui.element("input")
    box.props["type"] = "datetime-local" if each.kind == "date" else "search"
    box.props["name"], box.props["value"] = each.name, chosen
