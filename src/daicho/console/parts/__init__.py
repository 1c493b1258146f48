"""What screens are made of. Whatever comes from data is escaped here, so that no screen has to think of it."""

from daicho.console.parts.action import action
from daicho.console.parts.banner import problem, told
from daicho.console.parts.diff import diff
from daicho.console.parts.empty import empty
from daicho.console.parts.figures import card, sparkline
from daicho.console.parts.filters import Field, filters
from daicho.console.parts.table import Column, Table, table
from daicho.console.parts.text import anchor, badge, code, copy_button, facts, heading, html, link, panel, short, tabs
from daicho.console.parts.tree import tree

__all__ = [
    "Column",
    "Field",
    "Table",
    "action",
    "anchor",
    "badge",
    "card",
    "code",
    "copy_button",
    "diff",
    "empty",
    "facts",
    "filters",
    "heading",
    "html",
    "link",
    "panel",
    "problem",
    "short",
    "sparkline",
    "table",
    "tabs",
    "told",
    "tree",
]
