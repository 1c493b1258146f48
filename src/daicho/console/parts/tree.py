"""Data as a tree that folds."""

from collections.abc import Mapping
from html import escape
from typing import Any, cast

from nicegui import ui

__all__ = ["tree"]

_OPEN = 3
_MOST = 200
_LONGEST = 2000


def tree(data: Any) -> ui.html:
    """JSON-like data; the first levels are open. Of long lists and texts, the beginning is shown."""
    return ui.html(_node(data, 0, "")).classes("d-tree")


def _node(value: Any, depth: int, name: str) -> str:
    key = f'<span class="k">{escape(name)}: </span>' if name else ""
    if isinstance(value, dict):
        pairs = [(str(k), v) for k, v in cast("Mapping[Any, Any]", value).items()]
        return _branch(key, "{", "}", pairs, depth)
    if isinstance(value, list | tuple):
        return _branch(key, "[", "]", [(str(n), v) for n, v in enumerate(cast("list[Any]", value))], depth)
    return f"<div>{key}{_leaf(value)}</div>"


def _branch(key: str, left: str, right: str, pairs: list[tuple[str, Any]], depth: int) -> str:
    if not pairs:
        return f"<div>{key}{left}{right}</div>"
    inner = "".join(_node(value, depth + 1, name) for name, value in pairs[:_MOST])
    if len(pairs) > _MOST:
        inner += f"<div>… {len(pairs) - _MOST:,}</div>"
    is_open = " open" if depth < _OPEN else ""
    count = f' <span class="k">{len(pairs)}</span>' if left == "[" else ""
    return f"<details{is_open}><summary>{key}{left}{count}</summary>{inner}<div>{right}</div></details>"


def _leaf(value: Any) -> str:
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}… ({len(value):,})"
        return f'<span class="s">"{escape(text)}"</span>'
    if isinstance(value, bool) or value is None:
        return f'<span class="l">{ {True: "true", False: "false", None: "null"}[value] }</span>'
    return f'<span class="n">{escape(str(value))}</span>'
