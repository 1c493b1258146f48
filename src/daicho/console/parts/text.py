"""Words on a page."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from nicegui import ui

__all__ = [
    "anchor",
    "badge",
    "badge_html",
    "code",
    "copy_button",
    "facts",
    "heading",
    "html",
    "link",
    "panel",
    "short",
    "tabs",
]


def html(markup: str, *, tag: str = "div", css: str = "") -> ui.html:
    """Markup in which everything that comes from data went through `html.escape`. The browser cleans it once more."""
    return ui.html(markup, tag=tag).classes(css)


def heading(text: str, level: int = 2) -> ui.html:
    return html(escape(text), tag=f"h{level}")


def panel(title: str = "") -> ui.element:
    """`with panel("Steps"):`"""
    found = ui.element("section").classes("d-panel")
    if title:
        with found:
            heading(title)
    return found


def anchor(text: str = "", target: str = "") -> ui.element:
    """A link as it is: NiceGUI's own would put the root of the console before the address once more."""
    made = ui.element("a")
    made.props["href"] = target
    if text:
        with made:
            ui.label(text)
    return made


def link(text: str, target: str, *, css: str = "d-link") -> ui.element:
    """To an address that `place.link` made."""
    return anchor(text, target).classes(css)


def badge(text: str, kind: str = "") -> ui.html:
    """`kind`: command, event, view, policy, external, good, bad or warn."""
    return html(escape(text), tag="span", css=f"d-badge {kind}")


def badge_html(text: str, kind: str = "") -> str:
    return f'<span class="d-badge {escape(kind)}">{escape(text)}</span>'


def code(text: str, *, copy: str = "") -> None:
    """Something to be typed or read letter by letter; `copy`: the label of a button that copies it."""
    html(escape(text), tag="pre", css="d-code")
    if copy:
        copy_button(copy, text)


def copy_button(label: str, text: str) -> None:
    button = ui.element("button").classes("d-button").props('type="button" data-do="copy"')
    button.props["data-text"] = text
    with button:
        ui.icon("content_copy")
        ui.label(label)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line. A value that is a callable draws itself."""
    with ui.element("div").classes("d-facts"):
        for name, value in pairs:
            ui.label(name)
            if callable(value):
                with ui.element("div"):
                    value()
            else:
                ui.label("–" if value in (None, "") else str(value))


def tabs(entries: Sequence[tuple[str, str, bool]]) -> None:
    """Text, address, whether it is this one."""
    with ui.element("div").classes("d-tabs"):
        for text, target, here in entries:
            anchor(text, target).classes("d-here" if here else "")


def short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
