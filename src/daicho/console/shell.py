"""The frame around every screen: navigation, search, language, light and dark, time zone, who is looking."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from html import escape

from nicegui import ui

from daicho.console.parts.text import anchor, heading
from daicho.console.screen import GROUPS, Place, Screen
from daicho.console.words import LANGUAGES
from daicho.console.words.kinds import COLOURS

__all__ = ["frame", "not_allowed"]

_ZONES = ("UTC", "Asia/Tokyo", "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles")


@contextmanager
def frame(place: Place) -> Generator[None]:
    """Everything but the screen, which is built inside."""
    title = name_of(place, place.screen)
    ui.page_title(f"{title} · {place.app.name}")
    _head(place)
    with ui.element("div").classes("d-shell"):
        _top(place)
        with ui.element("nav").classes("d-nav").props(f'aria-label="{escape(place.t("shell.menu"))}"'):
            _navigation(place)
        with ui.element("div").classes("d-main").props('id="main"'):
            if place.screen.listed and "{" not in place.screen.path:
                heading(title, 1)
            yield


def not_allowed(place: Place) -> None:
    with ui.element("div").classes("d-empty"):
        ui.icon("lock")
        ui.label(place.t("forbidden.title")).classes("d-strong")
        ui.label(place.t("action.not.allowed", role=place.t(f"shell.role.{place.viewer.role}")))


def name_of(place: Place, screen: Screen) -> str:
    pair = screen.words[screen.title]
    return pair[1] if place.language == "ja" else pair[0]


def _head(place: Place) -> None:
    ui.dark_mode({"dark": True, "light": False}.get(place.theme))
    colours = "".join(f"--{name}:{value};" for name, value in COLOURS.items())
    ground = {"dark": "html{background:#10151c}", "light": "html{background:#f4f6f9}"}.get(place.theme, "")
    ui.add_head_html(
        f"<style>:root{{{colours}}}{ground}</style>"
        f'<link rel="stylesheet" href="{escape(place.root)}/_daicho/console.css">'
        f'<script src="{escape(place.root)}/_daicho/console.js" defer></script>'
    )


def _top(place: Place) -> None:
    with ui.element("header").classes("d-top"):
        _client_button("menu", "d-menu", place.t("shell.menu"), "menu")
        with anchor(target=place.link("/")).classes("d-brand"):
            ui.label("台帳").classes("d-seal")
            ui.label(place.app.name).classes("d-app")
        palette = json.dumps(_palette(place), ensure_ascii=False)
        search = ui.element("button").classes("d-search").props('type="button" data-do="palette"')
        search.props["data-screens"] = palette
        search.props["data-search"] = place.link("/search")
        search.props["data-hint"] = place.t("shell.search.hint")
        with search:
            ui.icon("search")
            ui.label(place.t("shell.search")).classes("d-wide")
            ui.label("Ctrl K").classes("d-key d-wide")
        with ui.element("div").classes("d-tools"):
            _choice("lang", "translate", place.t("shell.language"), place.language, dict(LANGUAGES))
            themes = {each: place.t(f"shell.theme.{each}") for each in ("auto", "light", "dark")}
            _choice("theme", "contrast", place.t("shell.theme"), place.theme, themes)
            zones = {"here": place.t("shell.zone.here"), **{zone: zone for zone in _ZONES}}
            zones.setdefault(place.zone_name, place.zone_name)
            _choice("zone", "schedule", place.t("shell.zone"), place.zone_name, zones)
            _who(place)


def _who(place: Place) -> None:
    viewer = place.viewer
    with ui.element("details").classes("d-pop"):
        with ui.element("summary").props(f'aria-label="{escape(viewer.actor)}"'):
            ui.icon("account_circle")
            ui.label(viewer.actor).classes("d-wide")
        with ui.element("div").classes("d-popped"):
            ui.label(viewer.actor).classes("d-strong")
            ui.label(place.t(f"shell.role.{viewer.role}"))
            ui.label(place.t(f"shell.payloads.{viewer.payloads}")).classes("d-dim")
            if not place.sessions.is_local:
                form = ui.element("form").props(f'method="post" action="{escape(place.link("/logout"))}"')
                with form, ui.element("button").classes("d-button").props('type="submit"'):
                    ui.label(place.t("shell.logout"))


def _choice(name: str, icon: str, label: str, chosen: str, options: dict[str, str]) -> None:
    """Kept in a cookie by console.js; the page is loaded again."""
    with ui.element("details").classes("d-pop"):
        with ui.element("summary").props(f'aria-label="{escape(label)}" title="{escape(label)}"'):
            ui.icon(icon)
        with ui.element("div").classes("d-popped"):
            ui.label(label).classes("d-strong")
            for value, text in options.items():
                mark = "d-choice d-chosen" if value == chosen else "d-choice"
                button = ui.element("button").classes(mark).props('type="button" data-do="choose"')
                button.props["data-name"], button.props["data-value"] = name, value
                with button:
                    ui.label(text)


def _navigation(place: Place) -> None:
    for group in GROUPS:
        found = [each for each in place.screens if each.group == group and _is_listed(each)]
        if not found:
            continue
        ui.label(place.t(f"group.{group}")).classes("d-group")
        for screen in found:
            _entry(place, screen)


def _entry(place: Place, screen: Screen) -> None:
    path = place.screen.under or place.screen.path
    here = path == screen.path or (screen.path != "/" and path.startswith(f"{screen.path}/"))
    link = anchor(target=place.link(screen.path)).classes("d-entry d-here" if here else "d-entry")
    if here:
        link.props('aria-current="page"')
    if not place.may(screen.needs):
        link.classes("d-locked")
    with link:
        ui.icon(screen.icon)
        ui.label(name_of(place, screen))


def _palette(place: Place) -> list[dict[str, str]]:
    return [
        {
            "name": name_of(place, each),
            "also": each.words[each.title][0],
            "href": place.link(each.path),
            "keys": each.keys,
        }
        for each in place.screens
        if _is_listed(each) and place.may(each.needs)
    ]


def _is_listed(screen: Screen) -> bool:
    return screen.listed and not screen.under


def _client_button(icon: str, css: str, label: str, does: str) -> None:
    with ui.element("button").classes(css).props(f'type="button" data-do="{does}" aria-label="{escape(label)}"'):
        ui.icon(icon)
