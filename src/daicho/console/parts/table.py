"""A table: links, pages, and what it shows as CSV and JSON."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, TypeAlias

import msgspec
from nicegui import ui

from daicho.console.parts.text import anchor, badge_html
from daicho.console.screen import Place

__all__ = ["Column", "Row", "Table", "as_csv", "table"]

Row: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["text", "number", "time", "mono", "badge"]
_SHORT = 30
"""Characters that stay in one line, or are parted between words alone."""
_CSS = {"text": "", "number": "n", "time": "t", "mono": "m", "badge": ""}


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    """The key in each row, and the column's name in exports."""
    title: str
    kind: Kind = "text"
    link: Callable[[Row], str | None] | None = None
    """The address behind a cell, made by `place.link`."""
    colour: Callable[[Row], str] | None = None
    """Of a badge: command, event, view, policy, external, good, bad, warn."""
    words: str = ""
    """Where the values are words: the beginning of their keys, `state` for `state.paused`. Exports have the values."""


class Table:
    """What stands on the page; `show` replaces its rows."""

    def __init__(self, place: Place, name: str, columns: Sequence[Column]) -> None:
        self._place, self._name, self._columns = place, name, columns
        self._rows: Sequence[Row] = ()
        self._body = ui.html("").classes("d-tablewrap")
        self._count: ui.label | None = None

    def show(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._body.set_content(self._markup())
        if self._count is not None:
            self._count.set_text(self._counted())

    def _markup(self) -> str:
        head = "".join(f'<th class="{_CSS[c.kind]}">{escape(c.title)}</th>' for c in self._columns)
        body = "".join(f"<tr>{''.join(self._cell(c, row) for c in self._columns)}</tr>" for row in self._rows)
        return f'<table class="d-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def _cell(self, column: Column, row: Row) -> str:
        value = row.get(column.name)
        if column.kind == "time":
            text = escape(self._place.time(value))
        elif column.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
            text = f"{value:,}"
        elif value in (None, ""):
            text = ""
        else:
            shown = self._place.word(column.words, str(value)) if column.words else str(value)
            is_badge = column.kind == "badge"
            text = badge_html(shown, column.colour(row) if column.colour else "") if is_badge else escape(shown)
        if column.link is not None and (target := column.link(row)):
            text = f'<a href="{escape(target)}">{text}</a>'
        is_short, is_word = len(str(value)) <= _SHORT, " " not in str(value)
        width = "l" if not is_short else "w" if is_word or column.kind == "badge" else "b"
        return f'<td class="{_CSS[column.kind]} {width}">{text}</td>'

    def tools(self) -> None:
        """Buttons that download what is shown."""
        self._count = ui.label(self._counted()).classes("d-dim")
        for form in ("CSV", "JSON"):
            button = ui.element("button").classes("d-button").props('type="button"')
            button.on("click", lambda _, form=form: self._export(form))
            with button:
                ui.icon("download")
                ui.label(form)

    def _counted(self) -> str:
        count = len(self._rows)
        return self._place.t("table.row" if count == 1 else "table.rows", n=count)

    def _export(self, form: str) -> None:
        names = [column.name for column in self._columns]
        rows = [{name: row.get(name) for name in names} for row in self._rows]
        content = as_csv(names, rows) if form == "CSV" else msgspec.json.format(msgspec.json.encode(rows), indent=2)
        ui.download.content(content, f"{self._name}.{form.lower()}")


def table(
    place: Place,
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    following: str | None = None,
    first: str | None = None,
) -> Table:
    """`name`: of the file that it is exported to. `following`, `first`: addresses of other pages, made by
    `place.here(after=...)`: pages are read from the store one by one, never all of it."""
    made = Table(place, name, columns)
    made.show(rows)
    with ui.element("div").classes("d-row"):
        made.tools()
        ui.element("span").classes("d-space")
        if first:
            anchor(place.t("table.first"), first).classes("d-button")
        if following:
            anchor(place.t("table.next"), following).classes("d-button")
    return made


def as_csv(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    """RFC 4180. A text that a spreadsheet would take for a formula gets a quote in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_harmless(row.get(name)) for name in names])
    return buffer.getvalue().encode("utf-8-sig")


def _harmless(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return "" if value is None else value
    text = value if isinstance(value, str) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
