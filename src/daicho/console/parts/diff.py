"""What is different between two states, field by field."""

import json
from collections.abc import Iterator
from difflib import SequenceMatcher
from html import escape
from typing import Any

from nicegui import ui

from daicho.console.screen import Place

__all__ = ["diff", "diff_markup"]

_AROUND = 3


def diff(place: Place, before: Any, after: Any, *, whole: bool = False) -> ui.html:
    """Lines that went and came, with a few around them, or all."""
    return ui.html(diff_markup(place, before, after, whole=whole)).classes("d-diff")


def diff_markup(place: Place, before: Any, after: Any, *, whole: bool = False) -> str:
    old, new = _lines(before), _lines(after)
    if old == new and not whole:
        return f'<div class="same">{escape(place.t("diff.same"))}</div>'
    return "".join(_marked(old, new, whole))


def _marked(old: list[str], new: list[str], whole: bool) -> Iterator[str]:
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            lines = old[i1:i2]
            if not whole and len(lines) > 2 * _AROUND:
                lines = [*lines[:_AROUND], "…", *lines[-_AROUND:]]
            yield from (f'<div class="same">  {escape(line)}</div>' for line in lines)
            continue
        yield from (f'<div class="cut">− {escape(line)}</div>' for line in old[i1:i2])
        yield from (f'<div class="add">+ {escape(line)}</div>' for line in new[j1:j2])


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    return json.dumps(value, indent=2, ensure_ascii=False, default=str).splitlines()
