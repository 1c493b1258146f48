"""The state of an aggregate as fields, and what changed between two of them."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from daicho.core.aggregate import Aggregate
from daicho.core.plain import plain

__all__ = ["changes", "state_fields"]


def state_fields(state: Any) -> dict[str, Any]:
    """Every attribute of an aggregate, those it only has from its class included; every field of a value."""
    if not isinstance(state, Aggregate):
        found = plain(state)
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {"state": found}
    names = [
        name
        for base in reversed(type(state).__mro__)
        if base not in (object, Aggregate)
        for name in vars(base).get("__annotations__", {})
    ]
    names = list(dict.fromkeys([*names, *vars(state)]))
    return {name: plain(getattr(state, name)) for name in names if hasattr(state, name)}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Leaf by leaf: `{"field": "lines[0].sku", "before": ..., "after": ...}`; absent ones are None."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    return [
        {"field": path, "before": old.get(path), "after": new.get(path)}
        for path in dict.fromkeys([*old, *new])
        if path not in old or path not in new or old[path] != new[path]
    ]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for n, inner in enumerate(cast("Sequence[Any]", value)):
            yield from _leaves(inner, f"{path}[{n}]")
    else:
        yield path, value
